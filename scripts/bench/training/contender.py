"""One process of one measurement: reads a spec, runs it, and writes what came of it, an error included."""

import importlib.util
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.timed_steps.processes import device_and_dtype, versions
from bench.timed_steps.stopwatch import Finished, Stopwatch
from bench.training import curves, ours, rivals
from bench.training.spec import Spec, read_spec

MATRIX = 8192


def run_rate(spec: Spec) -> dict[str, Any]:
    """Rate of a square bf16 product of random numbers, which shares are of: held over 200, and in a burst of 30.

    A GPU meets its power limit within a fraction of a second, so what it holds is less than what it starts with.
    """
    import torch

    device, dtype = device_and_dtype()
    on_gpu = device.type == "cuda"
    size = MATRIX if on_gpu else 512
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty_like(left)

    def rate(number: int) -> float:
        watch = Stopwatch(device, warmup=3, steps=number)
        try:
            while True:
                watch.step()
                torch.mm(left, right, out=out)
        except Finished:
            return float(2 * size**3 / watch.seconds)

    burst, held = (rate(30), rate(200)) if on_gpu else (rate(2), rate(5))
    name = torch.cuda.get_device_name() if on_gpu else "CPU"
    return {"flops_per_second": held, "burst_flops_per_second": burst, "device": name}


RUNS: dict[str, Callable[[Spec], dict[str, Any]]] = {
    "rate": run_rate,
    "peft": rivals.run_peft,
    "unsloth": rivals.run_unsloth,
    "save_weights": rivals.run_save_weights,
    "short_padded": rivals.run_short_padded,
    "fit": ours.run_fit,
    "bare": ours.run_bare,
    "curves": curves.run_curves,
    "losses": curves.run_losses,
}


def main() -> None:
    """`python -m bench.training.contender SPEC RESULT`; RESULT appears whole, and only from rank 0."""
    spec, target = read_spec(Path(sys.argv[1])), Path(sys.argv[2])
    result: dict[str, Any]
    began = time.perf_counter()
    try:
        if spec.rival and importlib.util.find_spec(spec.rival) is None:
            raise ModuleNotFoundError(f"{spec.rival} is not installed")
        result = RUNS[spec.run](spec)
        result["versions"] = versions()
    except BaseException as error:
        traceback.print_exc()
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        result = {"error": f"{type(error).__name__}: {lines[0] if lines else ''}"[:400]}
    result["process_seconds"] = time.perf_counter() - began
    sys.stdout.flush()
    sys.stderr.flush()
    if int(os.environ.get("RANK", "0")) == 0 or "error" in result:
        partial = target.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(result))
        partial.rename(target)
    # Process groups, trackers and CUDA graphs may wait for each other at exit; everything is written.
    os._exit(1 if "error" in result else 0)


if __name__ == "__main__":
    main()
