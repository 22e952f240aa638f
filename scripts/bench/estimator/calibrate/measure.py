"""A process that measures configurations one after another through the real training loop, without Ray.

`python -m bench.estimator.calibrate.measure SCRATCH` reads one configuration per line of JSON from its standard input
and answers each with one line: what was measured, what went wrong, and what memory did not come back afterwards.
Imports, CUDA's context and kernels serve all of them; the model, the optimizer and everything compiled are made anew.
"""

import gc
import json
import os
import sys
import time
import traceback
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from bench.estimator.configuration import Configuration, from_values
from bench.estimator.phase_watch import PhaseWatch
from bench.timed_steps import shards
from bench.timed_steps.models import random_causal_lm
from bench.timed_steps.processes import device_and_dtype, start_process_group
from bench.timed_steps.stopwatch import Finished

WARMUP = 2  # steps: the first compiles and makes the optimizer's moments, which are there from the second on
TIMED_SECONDS, FEWEST, MOST = 2.0, 2, 8
SEED = 5
LARGE = 2**20  # bytes of a tensor that is worth taking back
LEFT_BYTES = 64 * 2**20  # that are not worth looking for


def main() -> None:
    """Answers go to the standard output that we were given; everything that prints goes to the log instead."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    scratch = Path(sys.argv[1])
    import_everything()
    device: Any = None
    for number, line in enumerate(sys.stdin):
        wanted = json.loads(line)
        if device is None:  # not before, so that a process that waits takes nothing of a GPU
            device, _ = device_and_dtype()
            start_process_group(device)
            remember_engines()
        # A folder for each row, as no rank knows when the others are done with the last one's.
        row = measure(
            from_values(wanted), predicted_seconds=wanted.get("predicted_seconds"), scratch=scratch / f"row-{number}"
        )
        answers.write(json.dumps(row) + "\n")
        answers.flush()
    # Process groups and trackers may wait for each other at exit; every answer is written.
    os._exit(0)


def import_everything() -> None:
    """What a first configuration would otherwise wait for."""
    for name in ("torch", "transformers", "peft", "bitsandbytes", "liger_kernel.transformers",
                 "flash_attn.cute.interface", "torch._inductor.compile_fx", "ray_ft.training.worker"):  # fmt: skip
        try:
            __import__(name)
        except (ImportError, OSError) as error:
            print(f"without {name}: {error}", file=sys.stderr)


def measure(configuration: Configuration, *, predicted_seconds: float | None, scratch: Path) -> dict[str, Any]:
    """The measured columns of a row; `outcome` is ok, out of memory, or error."""
    import torch

    from ray_ft.errors import DoesNotFitError

    device, _ = device_and_dtype()
    began, left = time.perf_counter(), allocated_bytes(device)
    steps = timed_steps(predicted_seconds)
    watch = PhaseWatch(
        device, warmup=WARMUP, steps=steps, accumulation=configuration.accumulation, evaluates=configuration.evaluate
    )
    outcome, problem = "ok", ""
    try:
        run(configuration, watch, scratch=scratch)
    except Finished:
        pass
    except (DoesNotFitError, torch.OutOfMemoryError) as error:
        outcome, problem = "out of memory", first_line(error)
        traceback.clear_frames(error.__traceback__)
    except Exception as error:
        traceback.print_exc()
        outcome, problem = "error", first_line(error)
        traceback.clear_frames(error.__traceback__)
    watch.leave(at_end=True)
    measured = {
        "outcome": outcome, "error": problem, "measured_seconds": watch.seconds or None, "timed_steps": steps,
        "measured_tokens_per_second": configuration.tokens_per_step / watch.seconds if watch.seconds else None,
        "phases": " ".join(watch.seen), "allocated_before_bytes": left, "outside_bytes": watch.outside_bytes,
        **{f"allocated_{phase}_bytes": value for phase, value in watch.allocated.items()},
        **{f"reserved_{phase}_bytes": value for phase, value in watch.reserved.items()},
    }  # fmt: skip
    del watch
    measured["left_bytes"] = clean_up(device)
    return measured | {"row_seconds": time.perf_counter() - began}


def timed_steps(predicted_seconds: float | None) -> int:
    """About TIMED_SECONDS of them; the same on all ranks, which must stop together."""
    if not predicted_seconds:
        return FEWEST
    return max(FEWEST, min(MOST, round(TIMED_SECONDS / predicted_seconds)))


def run(configuration: Configuration, watch: PhaseWatch, *, scratch: Path) -> None:
    """`fit` of the training worker until the watch has seen enough; nothing of it is replaced."""
    from ray_ft.training.worker import fit

    base, rows = prepare(configuration, scratch / f"rank-{os.environ.get('RANK', '0')}")
    task = make_task(configuration, watch, base=base, rows=rows, run_path=scratch / "run")
    fit(task, report=lambda *_: None)
    raise RuntimeError("the run ended before everything was measured")


def prepare(configuration: Configuration, folder: Path) -> tuple[Path, Path]:
    """Folders of config.json and of packed rows. Every rank makes its own: they are equal and small."""
    base, rows = folder / "base", folder / "rows"
    base.mkdir(parents=True)
    config = configuration.model_config()
    (base / "config.json").write_text(json.dumps(config))
    count = configuration.micro_batch * configuration.num_gpus * configuration.accumulation
    made = shards.full_rows(count, sequence=configuration.sequence, vocabulary=config["vocab_size"], seed=SEED)
    shards.write_training_set(rows, made, num_held_out=count if configuration.evaluate else 0)
    return base, rows


def make_task(configuration: Configuration, watch: PhaseWatch, *, base: Path, rows: Path, run_path: Path) -> Any:
    """What `fine_tune` would tell its workers."""
    import torch

    from ray_ft.config import TrainConfig
    from ray_ft.training.task import TrainingTask

    run_path.mkdir(parents=True, exist_ok=True)
    steps = watch.warmup + watch.steps
    train = TrainConfig(
        max_steps=steps + 2, learning_rate=1e-4, lr_scheduler="constant", warmup_ratio=0.0, max_failures=0,
        global_batch_size=configuration.micro_batch * configuration.num_gpus * configuration.accumulation,
    )  # fmt: skip
    about_base = {"base_model": configuration.model, "base_digest": "random", "tokenizer_digest": "random"}
    strategy = random_base(configuration, watch)
    return TrainingTask(
        training_set_path=str(rows), base_path=str(base), about_base=about_base, chat_template=None,
        run_path=str(run_path), strategy=strategy, use_gpu=torch.cuda.is_available(),
        backend=configuration.backend_of(strategy),
        precision="bf16" if torch.cuda.is_available() else "fp32",
        num_threads=1, micro_batch_size=configuration.micro_batch,
        gradient_accumulation_steps=configuration.accumulation,
        gradient_checkpointing=configuration.checkpointing, train=train, learning_rate=1e-4, num_steps=steps + 2,
        eval_every=steps if configuration.evaluate else 10**9, checkpoint_every=10**9, seed=SEED,
        identity={"inputs": {}, "data_digest": "random", "base_digest": "random", "seed": SEED}, plan={},
        planned_bytes=0, planned_phase="",
    )  # fmt: skip


def random_base(configuration: Configuration, watch: PhaseWatch) -> Any:
    """The strategy, with a base of random weights made on the device in place of one read from a folder."""
    strategy = strategy_of(configuration)

    class RandomBase(type(strategy)):  # type: ignore[misc]
        def load_model(self, model_path: str, *, dtype: Any, device: Any, seed: int) -> Any:
            base = make_base(self, model_path, dtype=dtype, device=device)
            model = self.add_adapters(base, seed=seed) if self.is_adapter else base
            watch.watch(model)
            return model

    return RandomBase(**{f.name: getattr(strategy, f.name) for f in fields(strategy)})


def strategy_of(configuration: Configuration) -> Any:
    """The strategy as a plan would fix it."""
    from ray_ft.strategies import STRATEGIES

    strategy = STRATEGIES[configuration.strategy](zero_stage=configuration.zero_stage, offload="none")
    if strategy.is_adapter:
        strategy = replace(strategy, r=configuration.rank, lora_alpha=2 * configuration.rank)  # type: ignore[call-arg]
    return strategy


def make_base(strategy: Any, model_path: str, *, dtype: Any, device: Any) -> Any:
    """Under ZeRO-3 each rank makes and keeps its part of every weight alone, as when it reads them."""
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.integrations import is_deepspeed_zero3_enabled

    config = AutoConfig.from_pretrained(model_path, use_cache=False)
    quantization = strategy.quantization(dtype) if strategy.is_quantised else None
    if is_deepspeed_zero3_enabled() and quantization is None:
        return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")
    return random_causal_lm(config, device=device, dtype=dtype, seed=SEED, quantization=quantization)


# --- after a configuration --------------------------------------------------------------------------------------------

engines: list[Any] = []
"""DeepSpeed's engines of this configuration, which are in cycles that only they can break."""


def remember_engines() -> None:
    """Let `clean_up` find the engines that the loop makes."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return
    import deepspeed

    initialize = deepspeed.initialize

    def initialize_and_remember(*arguments: Any, **options: Any) -> Any:
        made = initialize(*arguments, **options)
        engines.append(made[0])
        return made

    deepspeed.initialize = initialize_and_remember


def clean_up(device: Any) -> int:
    """Forget everything that a configuration has made; returns the bytes that are still allocated."""
    import torch

    torch._dynamo.reset()
    while engines:
        try:
            engines.pop().destroy()
        except Exception:
            traceback.print_exc()
    gc.collect()
    if device.type != "cuda":
        return 0
    torch.cuda.synchronize(device)
    torch._C._cuda_clearCublasWorkspaces()
    if allocated_bytes(device) > LEFT_BYTES:
        take_back()
    torch.cuda.empty_cache()
    if hasattr(torch._C, "_host_emptyCache"):
        torch._C._host_emptyCache()
    torch.cuda.reset_peak_memory_stats(device)
    return allocated_bytes(device)


def take_back() -> None:
    """Empty the tensors that something holds where collection does not see; nobody uses them any more."""
    import torch

    for thing in gc.get_objects():
        kind = type(thing)  # isinstance would ask proxies, which import what they stand for
        if not issubclass(kind, torch.Tensor) or kind.__name__ == "FakeTensor":
            continue
        try:
            if thing.is_cuda and thing.untyped_storage().nbytes() >= LARGE:
                print(f"taken back: {tuple(thing.shape)} {thing.dtype}", file=sys.stderr)
                thing.untyped_storage().resize_(0)
        except (ReferenceError, RuntimeError, NotImplementedError) as error:
            print(f"not taken back: {first_line(error)}", file=sys.stderr)
    gc.collect()


def allocated_bytes(device: Any) -> int:
    import torch

    return int(torch.cuda.memory_allocated(device)) if device.type == "cuda" else 0


def first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:400]


if __name__ == "__main__":
    main()
