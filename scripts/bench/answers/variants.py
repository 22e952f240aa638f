"""What `ray-ft bench` measures, on a base and an adapter with random weights: which has no exam, but greedy answers."""

import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.answers.models import make_adapters, make_base

ORDER = (
    ("none", "base"), ("nf4", "base"), ("int8", "base"), ("none", "adapter"), ("none", "merged"), ("nf4", "adapter"),
    ("int8", "adapter"), ("nf4", "merged"), ("int8", "merged"),
)  # fmt: skip
"""What says most comes first, for when the time is over."""
NUM_QUESTIONS = 16


class TimeIsOver(Exception):
    """Stops after a variant; what was measured is written."""


def measure(
    folder: Path, *, shape: str, dtype: str, repeats: int, seconds: float, output: Path | None, only: str = ""
) -> list[Any]:
    """A row for each variant, printed and written as it is there, with those that could not be measured.

    `only` names some as ORDER does, with commas between: "none adapter,int8 adapter".
    """
    order = [place for place in ORDER if not only or " ".join(place) in only.split(",")]
    if not order:
        raise SystemExit(f"--only {only!r} names no variant; there are {', '.join(' '.join(place) for place in ORDER)}")
    import ray

    from ray_ft.artifacts import TunedModel, to_json
    from ray_ft.artifacts.bench import Variant
    from ray_ft.config import BenchConfig, EvaluationConfig, ModelConfig
    from ray_ft.engines import AutoEngine
    from ray_ft.evaluation.bench.run import measure_variants
    from ray_ft.evaluation.bench.variants import engine_of, loads_of
    from ray_ft.evaluation.exam.tasks import Done
    from ray_ft.models.folder import base_digest
    from ray_ft.quiet import quiet_libraries
    from ray_ft.strategies import STRATEGIES
    from ray_ft.training.export.model_folder import export_model

    quiet_libraries()
    started = time.monotonic()
    base = make_base(folder / shape, shape, dtype=dtype)
    adapter = make_adapters(folder / f"{shape}-adapters", base, 1)["adapter00"]
    tuned = TunedModel(
        base_model=shape, base_path=base, base_digest=base_digest(base), path=adapter, is_adapter=True,
        strategy=STRATEGIES["lora"](), metrics={}, steps=0, fingerprint="random",
    )  # fmt: skip
    merged = folder / f"{shape}-merged"
    if not (merged / "config.json").is_file():
        export_model(tuned, path=str(merged), merge=True)
    print({"made_s": round(time.monotonic() - started, 1)}, flush=True)
    tiny = shape == "tiny"
    bench = BenchConfig(
        prompt_tokens=32 if tiny else 256, new_tokens=8 if tiny else 32, batch_size=4 if tiny else 8, repeats=repeats
    )
    if not ray.is_initialized():
        ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    on_gpu = bool(ray.cluster_resources().get("GPU"))
    loads = loads_of(
        bench, engine_of(AutoEngine(dtype=dtype)), base_path=base, tuned=tuned, merged_path=str(merged), dtype=dtype
    )
    by_place = {(getattr(load.engine, "quantization"), load.form): load for load in loads}  # noqa: B009
    rows: list[dict[str, Any]] = []
    lines = output.open("w") if output else None

    def told(variant: Variant, done: Sequence[Done]) -> None:
        row = {"variant": variant.name, "seconds_so_far": round(time.monotonic() - started, 1), **to_json(variant)}
        rows.append(row)
        print(shown(row), flush=True)
        if lines:
            lines.write(json.dumps(row) + "\n")
            lines.flush()
        if time.monotonic() - started > seconds:
            raise TimeIsOver

    try:
        measured = measure_variants(
            [by_place[place] for place in order],
            bench=bench,
            questions=questions(NUM_QUESTIONS),
            model=ModelConfig(name=shape),
            evaluation=EvaluationConfig(max_new_tokens=bench.new_tokens),
            seed=0,
            on_row=told,
        )
        print({"device": measured[0][1].device, "memory": measured[0][1].memory_meaning, "on_gpu": on_gpu}, flush=True)
    except TimeIsOver:
        print({"stopped": f"after {seconds:.0f} s, {len(rows)} of {len(order)} variants"}, flush=True)
    finally:
        if lines:
            lines.close()
    return rows


def questions(count: int) -> list[Any]:
    """Letters drawn by lot, without references: random weights know nothing, but may answer alike."""
    from ray_ft.rows import Question

    draw = random.Random(3)
    texts = ["".join(draw.choice("abcdefghijklmnop ") for _ in range(60)) for _ in range(count)]
    return [Question(f"q{i}", f"d{i}", "", text, "", answerable=False) for i, text in enumerate(texts)]


def shown(row: dict[str, Any]) -> str:
    """One line of a row for people."""
    if row["refused"]:
        return f"{row['variant']}: not measured: {row['refused']}"
    speeds = "; ".join(
        f"{s['batch_size']} at once: first {1e3 * s['seconds_to_first']['median']:.1f} ms, each "
        f"{1e3 * s['seconds_per_token']['median']:.2f} ms, {s['tokens_per_second']['median']:.0f} tokens/s"
        for s in row["speeds"]
    )
    memory = ", ".join(f"{key} {value / 2**30:.2f} GiB" for key, value in row["memory"].items())
    agree = (
        f"{row['num_same']} of {row['num_answers']} answers as {row['same_as']}, {100 * row['mean_common']:.0f}% alike"
    )
    at = f"{row['variant']} ({row['seconds_so_far']:.0f} s)"
    return f"{at}: loaded in {row['load_seconds']:.1f} s; {speeds}; {memory}; {agree}"
