"""Formulas and traces beside what a GPU allocated, for the grid of scripts/calibrate; minutes of one core."""

import math
import statistics
import time
from pathlib import Path


def trace_page(path: Path) -> str:
    """Markdown of all rows that ended well."""
    from bench.estimator.measurements import configuration_of, read_rows
    from bench.estimator.predict import asked, estimated
    from ray_ft.hardware import catalogue_name
    from ray_ft.planning.profile import profile_for
    from ray_ft.planning.trace.check import trace_estimate
    from ray_ft.planning.trace.worker import trace

    lines, formula, traced = [], [], []
    for row in read_rows(path):
        gpu = catalogue_name(row["gpu"])
        if row.get("outcome") != "ok" or gpu is None:
            continue
        configuration, profile = configuration_of(row), profile_for(gpu)
        _, job = asked(configuration, gpu=gpu, profile=profile)
        estimate = estimated(configuration, gpu=gpu, profile=profile)
        began = time.monotonic()
        memory = trace_estimate(estimate, job, config=configuration.model_config(), run=trace)
        seconds = time.monotonic() - began
        measured = row["measured_allocated_bytes"]
        errors = estimate.memory.allocated / measured - 1, memory.allocated / measured - 1
        formula.append(abs(errors[0]))
        traced.append(abs(errors[1]))
        print(f"{configuration.name}: {errors[0]:+.1%} {errors[1]:+.1%}, {seconds:.1f} s", flush=True)
        lines.append(
            f"| {configuration.name} | {measured / 2**30:.2f} | {errors[0]:+.1%} | {errors[1]:+.1%} | {memory.phase} |"
        )
    return "\n".join([
        _INTRODUCTION.format(runs=len(lines)),
        "",
        "| | median error | 95th percentile | largest |",
        "|---|---|---|---|",
        _line("formula", formula),
        _line("trace", traced),
        "",
        "| run | measured GiB | formula | trace | phase of the trace's peak |",
        "|---|---|---|---|---|",
        *lines,
        "",
    ])  # fmt: skip


def _line(name: str, errors: list[float]) -> str:
    sizes = sorted(errors)
    at = sizes[math.ceil(0.95 * len(sizes)) - 1]
    return f"| {name} | {statistics.median(sizes):.1%} | {at:.1%} | {sizes[-1]:.1%} |"


_INTRODUCTION = """# Formula and trace on H200

What `ray-ft plan --check` compares, beside the memory that tensors took at most in {runs} runs of the estimator's grid
(`max_memory_allocated`). The formula is `ray_ft/planning`, with the packaged profile. The trace runs two and three
layers of the very model without data, through the kernels' own code, and draws a line through both; states of the
optimizer and of ZeRO are the plan's in both columns. Made by

```console
$ scripts/compare_estimators --trace docs/benchmarks/trace-h200.md
```"""
