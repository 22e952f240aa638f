"""`scripts/bench_evaluation`: simulated exams to CSV, and a page of docs/benchmarks from the CSV."""

import argparse
import csv
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.evaluation.page import page

BENCHMARKS = Path(__file__).resolve().parents[3] / "docs/benchmarks"
NAMES = ("verdicts", "verdict-families", "verdict-power", "interval-coverage")


def main(arguments: list[str] | None = None) -> int:
    """Simulate unless --report, then write the page; `forgetting` makes real runs instead."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["forgetting"]:
        from bench.evaluation import forgetting

        return forgetting.main(given[1:])
    parser = argparse.ArgumentParser(prog="scripts/bench_evaluation", description=__doc__)
    parser.add_argument("--output", type=Path, default=BENCHMARKS, help="folder of the CSV files and of verdicts.md")
    parser.add_argument("--exams", type=int, default=400, help="simulated exams for each row")
    parser.add_argument("--draws", type=int, default=1000, help="bootstrap draws and sign patterns for each exam")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", action="store_true", help="simulate nothing: the page from the CSV files")
    options = parser.parse_args(given)
    if not options.report:
        from bench.evaluation.coverage import coverage_rows
        from bench.evaluation.exams import family_rows, power_rows, verdict_rows

        options.output.mkdir(parents=True, exist_ok=True)
        for name, made in zip(NAMES, (verdict_rows, family_rows, power_rows, coverage_rows), strict=True):
            rows = made(num_exams=options.exams, num_draws=options.draws, seed=options.seed)
            write(options.output / f"{name}.csv", rows)
    (options.output / "verdicts.md").write_text(rendered(options.output), encoding="utf-8")
    print(f"wrote {options.output / 'verdicts.md'}")
    return 0


def rendered(folder: Path) -> str:
    """The page that the folder's CSV files speak for."""
    return page(*(read(folder / f"{name}.csv") for name in NAMES))


def write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Row by row, so that what was simulated is there when the time is over."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer: csv.DictWriter[str] | None = None
        for row in rows:
            if writer is None:
                writer = csv.DictWriter(stream, list(row), lineterminator="\n")
                writer.writeheader()
            writer.writerow(row)
            stream.flush()


def read(path: Path) -> list[dict[str, float]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]
