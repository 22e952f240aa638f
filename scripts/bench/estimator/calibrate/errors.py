"""The table of errors of a measured grid as Markdown, bad rows included, and what follows from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.estimator.calibrate.fitting import held_out_seconds
from bench.estimator.measurements import Row, configuration_of
from bench.estimator.predict import predict, seconds_by_profile
from ray_ft.planning.profile import DEFAULT, Profile

GIB = 2**30


@dataclass(frozen=True)
class Compared:
    """A row beside what the estimator says of it now, and what it said before anything was measured."""

    row: Row
    now: dict[str, Any]
    held_out_seconds: float | None  # step time by rates that this row had no part in
    unmeasured_seconds: float | None = None  # by what the package knows of a GPU that nobody has measured

    @property
    def ran(self) -> bool:
        return bool(self.row["outcome"] == "ok")

    def memory_error(self, kind: str) -> float:
        """Predicted over measured, less 1; `kind` is allocated, reserved or device."""
        return float(self.now[f"predicted_{kind}_bytes"] / self.row[f"measured_{kind}_bytes"] - 1)

    @property
    def time_before(self) -> float | None:
        """As `memory_error`, with what the package knew before."""
        seconds = self.row.get("predicted_seconds")
        return None if seconds is None else float(seconds / self.row["measured_seconds"] - 1)

    @property
    def time_after(self) -> float | None:
        return None if self.held_out_seconds is None else self.held_out_seconds / self.row["measured_seconds"] - 1

    @property
    def time_unmeasured(self) -> float | None:
        return None if self.unmeasured_seconds is None else self.unmeasured_seconds / self.row["measured_seconds"] - 1


def compare(rows: Sequence[Row], *, gpu: str, profile: Profile) -> list[Compared]:
    """Every row that was measured, as the estimator sees it with `profile`."""
    held_out = held_out_seconds([row for row in rows if row["outcome"] == "ok"], gpu=gpu)
    return [
        Compared(
            row,
            predict(configuration_of(row), gpu=gpu, profile=profile),
            held_out.get(row["name"]),
            seconds_by_profile(configuration_of(row), gpu=gpu)(DEFAULT),
        )
        for row in rows
    ]


def report(compared: Sequence[Compared]) -> str:
    """The summary and the table."""
    return "\n".join([*summary(compared), "", *table(compared)]) + "\n"


def summary(compared: Sequence[Compared]) -> Iterator[str]:
    """Medians, 95th percentiles and counts of what did and did not fit."""
    ran = [c for c in compared if c.ran]
    yield f"{len(compared)} configurations: {len(ran)} ran, {count(compared, 'out of memory')} ran out of memory, " \
          f"{count(compared, 'error')} failed."  # fmt: skip
    yield ""
    yield "| error of | median | 95th percentile | largest too low | largest too high | rows |"
    yield "|---|---|---|---|---|---|"
    for kind in ("allocated", "reserved", "device"):
        yield spread(f"peak memory, {kind}", [c.memory_error(kind) for c in ran])
    yield spread("step time, before calibration", [c.time_before for c in ran if c.time_before is not None])
    unmeasured = [c.time_unmeasured for c in ran if c.time_unmeasured is not None]
    yield spread("step time, by published runs alone", unmeasured)
    yield spread("step time, after, rows held out", [c.time_after for c in ran if c.time_after is not None])
    yield ""
    yield from fits(compared)


def fits(compared: Sequence[Compared]) -> Iterator[str]:
    """How often the estimator's yes or no was wrong."""
    tried = [c for c in compared if c.row["outcome"] != "error"]
    yes, no = ([c for c in tried if c.now["predicted_fits"] is wanted] for wanted in (True, False))
    ran_out = [c.row["name"] for c in yes if not c.ran]
    fitted = [c.row["name"] for c in no if c.ran]
    yield f"Predicted to fit, ran out of memory: {len(ran_out)} of {len(yes)}{named(ran_out)}."
    yield ""
    yield f"Predicted not to fit, would have fitted: {len(fitted)} of {len(no)}{named(fitted)}."


def table(compared: Sequence[Compared]) -> Iterator[str]:
    """A line for every configuration, in the order of its model and strategy."""
    yield "| configuration | allocated GiB | error | device GiB | error | phase | s/step | before | after |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for c in sorted(compared, key=order):
        name, predicted = c.row["name"], c.now["predicted_device_bytes"] / GIB
        if not c.ran:
            yes = "predicted to fit" if c.now["predicted_fits"] else "predicted not to fit"
            why = c.row["outcome"] if c.row["outcome"] == "out of memory" else c.row["error"].replace("|", "/")[:90]
            yield f"| {name} | {why} | | {predicted:.1f} {yes} | | {c.now['predicted_phase']} | | | |"
            continue
        row = c.row
        yield (
            f"| {name} | {row['measured_allocated_bytes'] / GIB:.2f} | {percent(c.memory_error('allocated'))} "
            f"| {row['measured_device_bytes'] / GIB:.2f} | {percent(c.memory_error('device'))} "
            f"| {c.now['predicted_phase']} | {row['measured_seconds']:.3f} | {percent(c.time_before)} "
            f"| {percent(c.time_after)} |"
        )


def order(compared: Compared) -> tuple[Any, ...]:
    row = compared.row
    return row["num_gpus"], row["model"].split("/")[-1], row["strategy"], row["zero_stage"], row["name"]


def spread(what: str, errors: Sequence[float]) -> str:
    """Of absolute errors, and the two ends."""
    if not errors:
        return f"| {what} | - | - | - | - | 0 |"
    absolute = [abs(error) for error in errors]
    low, high = min(0.0, *errors), max(0.0, *errors)
    return (
        f"| {what} | {100 * median(absolute):.1f}% | {100 * percentile(absolute, 0.95):.1f}% "
        f"| {percent(low)} | {percent(high)} | {len(errors)} |"
    )


def percentile(values: Sequence[float], share: float) -> float:
    """By linear interpolation between neighbours, as numpy has it."""
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (at - below) * (ordered[above] - ordered[below])


def count(compared: Sequence[Compared], outcome: str) -> int:
    return sum(c.row["outcome"] == outcome for c in compared)


def named(names: Sequence[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


def percent(error: float | None) -> str:
    return "-" if error is None else f"{100 * error:+.1f}%"
