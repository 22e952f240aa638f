"""The tables of docs/benchmarks/several-gpus.md, made of the files beside it."""

import json
from pathlib import Path

GIB = 2**30


def losses_table(path: Path) -> list[str]:
    """Of each strategy and stage the losses on one worker and on two."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [
        "| | loss, one worker | loss, two workers | largest difference in 20 steps |",
        "|---|---|---|---|",
    ]
    for one, two in zip(rows[::2], rows[1::2], strict=True):
        assert (one["strategy"], one["zero_stage"]) == (two["strategy"], two["zero_stage"])
        ends = [f"{row['losses'][0]:.4f} → {row['losses'][-1]:.4f}" for row in (one, two)]
        differences = [abs(a - b) / a for a, b in zip(one["losses"], two["losses"], strict=True)]
        assert abs(max(differences) - two["difference"]) < 1e-9
        assert two["within"] == (two["difference"] <= two["tolerance"])
        lines.append(
            f"| {one['strategy']}, ZeRO-{one['zero_stage']} | {ends[0]} | {ends[1]} | {100 * two['difference']:.2f}% |"
        )
    return lines


def memory_table(path: Path) -> list[str]:
    """Of each pair of GPUs what was predicted before the run, and by the figures that were taken from it."""
    from bench.estimator.measurements import configuration_of, read_rows
    from bench.estimator.predict import predict

    lines = [
        "| two GPUs | backend | allocated GiB | predicted | device GiB | predicted then | since | step, s | said |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in read_rows(path):
        configuration = configuration_of(row)
        now = predict(configuration, gpu="H200")
        gib = {key: value / GIB for key, value in row.items() if key.endswith("_bytes") and isinstance(value, int)}
        measured, then = gib["measured_allocated_bytes"], gib["predicted_allocated_bytes"]
        cells = [
            configuration.name.removesuffix(" deepspeed"),
            "DeepSpeed" if configuration.backend == "deepspeed" else "ours", f"{measured:.2f}",
            f"{then:.2f} ({100 * (then / measured - 1):+.1f}%)", f"{gib['measured_device_bytes']:.1f}",
            f"{gib['predicted_device_bytes']:.1f}", f"{now['predicted_device_bytes'] / GIB:.1f}",
            f"{row['measured_seconds']:.3f}", f"{row['predicted_seconds']:.3f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines
