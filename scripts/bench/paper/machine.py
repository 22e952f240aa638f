"""Tables of memory and time: what was measured on one H200 at the paper's shapes, and what plans say of its A100."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from bench.estimator.measurements import Row, read_rows
from bench.paper.experiments import FOLDER, REPOSITORY
from ray_ft.artifacts import Plan
from ray_ft.errors import DoesNotFitError

BENCHMARKS = REPOSITORY / "docs" / "benchmarks"
FILES = ("paper-shapes.csv", "estimator-h200.csv", "plans-h200.csv")
GIB = 2**30
PAPER_ROWS = (508, 5_080, 50_800, 508_000)
"""At 1, 10, 100 MB and 1 GB (Figure 3): about 2 KB, or 500 tokens, a row."""
ROW_TOKENS = 500
BENCH = BENCHMARKS / "bench-h200.jsonl"


def blocks() -> dict[str, str]:
    """Every part by its name."""
    adapters, whole, answering = (yaml.safe_load((FOLDER / f"{n}.yaml").read_text()) for n in ("t02", "f03", "t01"))
    return {
        "t02": "\n".join(memory(adapters)),
        "t05 machine": "\n".join(memory(whole)),
        "f03": "\n".join(hours(whole)),
        "t01": "\n".join(answers(answering)),
        "f02": "\n".join(latency(_lines(BENCH))),
    }


def memory(table: dict[str, Any]) -> Iterator[str]:
    """What a step takes: measured on an H200, planned for it and for the paper's GPU."""
    yield "| | measured on one H200 | tokens/s | planned, H200 | planned, A100-80GB | the paper, A100-80GB |"
    yield "|---|---|---|---|---|---|"
    for name, row in table["rows"].items():
        found = _measured(row.get("measured", ()))
        cells = [_taken(found), _speed(found)]
        cells += [_planned(table["config"], row["plan"], gpu) for gpu in ("H200", "A100-80GB")]
        yield f"| {name} | {' | '.join(cells)} | {row['paper']} |"


def hours(table: dict[str, Any]) -> Iterator[str]:
    """Figure 3: hours by rows; every row padded to its length, as the paper had it, and packed."""
    heads = [f"{n:,}" for n in PAPER_ROWS]
    yield f"| rows | {' | '.join(heads)} |"
    yield "|---|" + "---|" * len(heads)
    for name, row in table["rows"].items():
        yield f"| {name}, the paper | {' | '.join(f'{h:g}' for h in row['hours'])} |"
        found = _measured(row.get("measured", ()))
        if found is None or found["outcome"] != "ok":
            continue
        speed = 3600 * found["measured_tokens_per_second"]
        for what, tokens in (("padded", found["sequence"]), ("packed", ROW_TOKENS)):
            told = (f"{n * tokens / speed:.3g}" for n in PAPER_ROWS)
            yield f"| {name}, one H200, {what} | {' | '.join(told)} |"


def answers(table: dict[str, Any]) -> Iterator[str]:
    """Table 1: memory of answering, by plan."""
    yield "| | planned, one A100-80GB |"
    yield "|---|---|"
    for name, overrides in table["answering"].items():
        made = _plan(table["config"], (*overrides, "plan.gpu=A100-80GB"))
        assert isinstance(made, Plan)
        note = next(n for n in made.notes if n.startswith("answering by"))
        yield f"| {name} | {note.split(' takes ')[1].split(';')[0]} |"


def latency(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Figure 2: what `ray-ft bench` measured of the variants that ran, with its intervals."""
    found = [row for row in rows if row.get("speeds")]
    if not found:
        yield "Not measured yet."
        return
    yield "| | answers at once | each output token, ms | first token, ms | memory, GiB | greedy answers as |"
    yield "|---|---|---|---|---|---|"
    for row in found:
        memory = f"{row['memory']['loaded'] / GIB:.1f} loaded, {row['memory']['peak'] / GIB:.1f} at most"
        name = f"{row['name']}, run {row['run']}" if "run" in row else row["name"]
        same = f"{row['same_as']}: {row['num_same']} of {row['num_answers']}" if row["same_as"] else ""
        for speed in row["speeds"]:
            times = (_milliseconds(speed[time]) for time in ("seconds_per_token", "seconds_to_first"))
            yield f"| {name} | {speed['batch_size']} | {' | '.join(times)} | {memory} | {same} |"


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def _milliseconds(timing: dict[str, Any]) -> str:
    middle, low, high = (1000 * timing[name] for name in ("median", "low", "high"))
    return f"{middle:.1f} [{low:.1f}, {high:.1f}]"


@cache
def _rows() -> dict[str, Row]:
    """By name, the first file's before the others'."""
    return {row["name"]: row for file in reversed(FILES) for row in read_rows(BENCHMARKS / file)}


def _measured(names: Sequence[str]) -> Row | None:
    """The first row of these that some file has."""
    return next((_rows()[name] for name in names if name in _rows()), None)


def _taken(row: Row | None) -> str:
    if row is None:
        return ""
    rows = f"{row['micro_batch']} x {row['sequence']:,} tokens" + (", checkpointing" if row["checkpointing"] else "")
    if row["outcome"] != "ok":
        return f"{row['outcome']} ({rows})"
    return f"{row['measured_device_bytes'] / GIB:.1f} GiB ({rows})"


def _speed(row: Row | None) -> str:
    return "" if row is None or row["outcome"] != "ok" else f"{row['measured_tokens_per_second']:,.0f}"


def _planned(config: str, overrides: Sequence[str], gpu: str) -> str:
    made = _plan(config, (*overrides, f"plan.gpu={gpu}"))
    if made is None:
        return "does not fit"
    e = made.estimate
    rows = f"{e.micro_batch_size} x" + (", checkpointing" if e.gradient_checkpointing else "")
    rows += "" if e.strategy.offload == "none" else f", {e.strategy.offload} in host memory"
    return f"{e.memory.total / GIB:.1f} GiB ({rows}), {e.tokens_per_second:,.0f} tokens/s"


@cache
def _plan(config: str, overrides: tuple[str, ...]) -> Plan | None:
    import ray_ft

    with tempfile.TemporaryDirectory(prefix="paper-plan-") as folder:
        try:
            return ray_ft.plan(ray_ft.load_config(REPOSITORY / config, [*overrides, f"output_dir={folder}"]))
        except DoesNotFitError:
            return None
