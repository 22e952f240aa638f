"""The CSV of a grid: one row per configuration, added as it ends; imports neither torch nor ray_ft's stages."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.estimator.configuration import Configuration, from_values
from bench.estimator.phase_watch import PHASES

Row = dict[str, Any]

CONFIGURATION = (
    "name", "model", "strategy", "zero_stage", "num_gpus", "sequence", "micro_batch", "accumulation", "checkpointing",
    "rank", "layers", "evaluate", "backend",
)  # fmt: skip
PREDICTED = (
    "predicted_allocated_bytes", "predicted_reserved_bytes", "predicted_device_bytes", "predicted_phase",
    "predicted_phase_bytes", "predicted_fits", "predicted_seconds", "predicted_tokens_per_second", "prediction_error",
)  # fmt: skip
MEASURED = (
    "outcome", "error", "measured_allocated_bytes", "measured_reserved_bytes", "measured_device_bytes",
    "measured_seconds", "measured_tokens_per_second", "timed_steps",
    *(f"{kind}_{phase}_bytes" for kind in ("allocated", "reserved") for phase in PHASES),
    "phases", "outside_bytes", "allocated_before_bytes", "left_bytes", "row_seconds",
)  # fmt: skip
MACHINE = ("gpu", "gpu_bytes", "versions")
COLUMNS = (*CONFIGURATION, *PREDICTED, *MEASURED, *MACHINE)
PLAN_COLUMNS = ("plan", "config", "overrides", "role", "expected", "happened", "as_expected", "usable_bytes")
"""In front of the others, where the rows are what plans chose and refused."""

INTEGERS = {"zero_stage", "num_gpus", "sequence", "micro_batch", "accumulation", "rank", "layers", "timed_steps"}
NUMBERS = {name for name in COLUMNS if name.endswith(("_seconds", "_per_second"))}
FLAGS = {"checkpointing", "evaluate", "predicted_fits", "as_expected"}
JSON_COLUMNS = {"predicted_phase_bytes", "versions"}


def with_totals(row: Row) -> Row:
    """The row with its peaks: of all phases, and of the device, which holds more than torch knows of."""
    if row.get("outcome") != "ok":
        return row
    totals = {}
    for kind in ("allocated", "reserved"):
        peaks = [row[f"{kind}_{phase}_bytes"] for phase in PHASES if row.get(f"{kind}_{phase}_bytes")]
        if peaks:
            totals[f"measured_{kind}_bytes"] = max(peaks)
    if "measured_reserved_bytes" in totals:
        totals["measured_device_bytes"] = totals["measured_reserved_bytes"] + row["outside_bytes"]
    return row | totals


def append_row(path: Path, row: Row, *, columns: Sequence[str] = COLUMNS) -> None:
    """Add one row, and the header to a file that does not exist yet."""
    new = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="raise")
        if new:
            writer.writeheader()
        writer.writerow(_as_text(row))


def write_rows(path: Path, rows: Iterable[Row], *, columns: Sequence[str] = COLUMNS) -> None:
    """All rows, in place of what there was, which stays until they are written."""
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    for row in rows:
        append_row(partial, row, columns=columns)
    if partial.is_file():
        partial.replace(path)
    else:
        path.unlink(missing_ok=True)


def read_rows(path: Path) -> list[Row]:
    """Rows with numbers as numbers; empty cells are left out."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{k: _value(k, v) for k, v in row.items() if v not in ("", None)} for row in csv.DictReader(file)]


def configuration_of(row: Row) -> Configuration:
    """What the row is a measurement of."""
    return from_values(row)


def is_finished(row: Row) -> bool:
    """Whether measuring it again would tell nothing new."""
    return row["outcome"] in ("ok", "out of memory")


def _as_text(row: Row) -> Row:
    return {name: json.dumps(value) if name in JSON_COLUMNS else value for name, value in row.items()}


def _value(name: str, text: str) -> Any:
    if name in JSON_COLUMNS:
        return json.loads(text)
    if name in FLAGS:
        return text == "True"
    if name in INTEGERS or name.endswith("_bytes"):
        return int(text)
    return float(text) if name in NUMBERS else text
