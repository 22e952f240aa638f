"""Three errors of the same rows: as predicted before they ran, with their family of models held out, and in sample."""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.estimator.calibrate.errors import percent, percentile
from bench.estimator.calibrate.fitting import fit_memory, fit_rates
from bench.estimator.measurements import Row, configuration_of
from bench.estimator.predict import predict

KINDS = {
    "memory, allocated": "allocated_bytes",
    "memory, reserved": "reserved_bytes",
    "memory, device": "device_bytes",
    "step time": "seconds",
}
"""What is predicted, with the end of its columns."""
WAYS = ("frozen", "family held out", "in sample")


def family(model: str) -> str:
    """Llama-2, Llama-3, Qwen2 or Qwen3: the name up to its first number."""
    found = re.match(r"[A-Za-z]+-?\d+", model.split("/")[-1])
    return found.group() if found else model


def predicted_thrice(rows: Sequence[Row], *, gpu: str) -> Iterator[dict[str, Any]]:
    """Measured and predicted figures of every row that ran.

    Held out and in sample differ by the profile alone, whose figures are fitted to the other families' rows or to all;
    the formulas are today's, and whoever corrected them had seen all rows.
    """
    good = [row for row in rows if row["outcome"] == "ok"]
    everything = fit_rates(good, fit_memory(good, gpu=gpu), gpu=gpu)
    for name in dict.fromkeys(family(row["model"]) for row in good):
        others = [row for row in good if family(row["model"]) != name]
        without = fit_rates(others, fit_memory(others, gpu=gpu), gpu=gpu)
        for row in (row for row in good if family(row["model"]) == name):
            made = {"frozen": row}
            for way, profile in zip(WAYS[1:], (without, everything), strict=True):
                made[way] = predict(configuration_of(row), gpu=gpu, profile=profile)
            yield {
                "name": row["name"],
                "family": name,
                **{f"measured {end}": row[f"measured_{end}"] for end in KINDS.values()},
                **{f"{way} {end}": made[way][f"predicted_{end}"] for way in WAYS for end in KINDS.values()},
            }


def errors(rows: Sequence[dict[str, Any]], way: str, end: str) -> list[float]:
    """Predicted over measured, less 1."""
    return [float(row[f"{way} {end}"]) / float(row[f"measured {end}"]) - 1 for row in rows]


def summary(found: Sequence[float]) -> dict[str, str]:
    """Median and 95th percentile of absolute errors, and the largest with its sign."""
    sizes = [abs(error) for error in found]
    return {
        "median": f"{100 * median(sizes):.1f}%",
        "percentile": f"{100 * percentile(sizes, 0.95):.1f}%",
        "worst": percent(max(found, key=abs)),
    }


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A line for each quantity: the three ways side by side."""
    yield "| error of | " + " | ".join(f"{way}: median, 95th percentile, worst" for way in WAYS) + " | rows |"
    yield "|---|" + "---|" * (len(WAYS) + 1)
    for title, end in KINDS.items():
        cells = [", ".join(summary(errors(rows, way, end)).values()) for way in WAYS]
        yield f"| {title} | {' | '.join(cells)} | {len(rows)} |"


def write(rows: Sequence[dict[str, Any]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
