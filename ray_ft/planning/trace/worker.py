"""What process.py starts: one request as a line of JSON on standard input, one answer as a line on standard output."""

import gc
import importlib
import json
import os
import sys
import time
import warnings
from typing import Any

from ray_ft.errors import RayFTError
from ray_ft.planning.trace.request import Line, TraceRequest, TraceResult, request_from_json

HEAVY = (
    "torch",
    "torch._dynamo",
    "torch._functorch.aot_autograd",
    "transformers.modeling_layers",
    "ray_ft.planning.trace.step",
)
"""Imported before anyone has asked."""


def main() -> int:
    warnings.filterwarnings("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever prints goes to the log
    gc.disable()  # half a second of looking through modules; what a trace drops goes by its count of references
    for name in HEAVY:
        importlib.import_module(name)
    for line in sys.stdin:
        try:
            answer = trace(request_from_json(line)).to_json()
        except RayFTError as error:
            answer = json.dumps({"error": str(error)})
        answers.write(answer + "\n")
        answers.flush()
        gc.collect()
    return 0


def trace(request: TraceRequest) -> TraceResult:
    """Lines through the bytes of two and of three layers; where kinds of layers alternate, of one and two rounds."""
    import torch._functorch.config
    from torch._subclasses.fake_tensor import FakeTensorMode

    from ray_ft.planning.trace.step import config_of, trace_step

    started = time.monotonic()
    inner = request.config.get("text_config") or request.config
    total = int(inner["num_hidden_layers"])
    period = _period(inner.get("layer_types") or [])
    few = max(4 if request.offloaded else 2, period)  # fetching ahead reaches over two layers
    mode, traced = FakeTensorMode(allow_non_fake_inputs=True), dict[Any, Any]()
    # Looking for equal subexpressions changes no tensor here and imports half of Inductor: two seconds.
    with torch._functorch.config.patch(cse=False):
        low, high = (
            trace_step(request, config_of(request.config, count), mode=mode, traced=traced)
            for count in (few, few + period)
        )
    lines = {}
    for name, value in low.items():
        slope = (high.get(name, value) - value) // period
        lines[name] = Line(value - slope * few, slope)
    return TraceResult(
        num_layers=total,
        weights=lines.pop("weights"),
        trained=lines.pop("trained"),
        phases={name: line for name, line in lines.items() if name},
        seconds=round(time.monotonic() - started, 2),
    )


def _period(kinds: list[str]) -> int:
    """After how many layers their kinds repeat."""
    for period in range(1, len(kinds) // 2 + 1):
        if all(kind == kinds[i % period] for i, kind in enumerate(kinds)):
            return period
    return 1


if __name__ == "__main__":
    sys.exit(main())
