"""Rows of docs/benchmarks/examples.md, made of the files beside that page."""

import csv
from collections import Counter, defaultdict
from pathlib import Path

from document_blocks import REPOSITORY

BENCHMARKS = REPOSITORY / "docs" / "benchmarks"
PATTERNS = ("navigation", "encoded", "template", "part", "contents")


def graded_lines() -> list[str]:
    """By recipe, and by tree and recipe: shares of useful and wrong rows, counted from the grades themselves."""
    grades: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for row in _rows(BENCHMARKS / "examples-grades.csv"):
        for version in row["versions"].split("+"):
            grades[row["tree"], row["recipe"], version][row["grade"]] += 1
            grades["all", row["recipe"], version][row["grade"]] += 1
    made = {(row["tree"], row["recipe"], row["version"]): row for row in _rows(BENCHMARKS / "examples.csv")}
    lines = []
    for tree, recipe in sorted({key[:2] for key in grades}):
        cells = [f"`{recipe}`"] if tree == "all" else [tree, f"`{recipe}`"]
        for version in ("before", "after"):
            found = grades[tree, recipe, version]
            total = found.total() or 1
            cells.append(f"{found['useful'] / total:.0%}, {found['wrong'] / total:.0%}")
        for key in ("rows_per_mb", "useful_per_mb"):
            cells.append(" to ".join(f"{float(made[tree, recipe, v][key]):,.0f}" for v in ("before", "after")))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def pattern_lines() -> list[str]:
    """How many rows of all trees hold what no row should hold."""
    lines = []
    for version in ("before", "after"):
        rows = [row for row in _rows(BENCHMARKS / "examples-patterns.csv") if row["version"] == version]
        total = sum(int(row["rows"]) for row in rows)
        counts = [sum(int(row[pattern]) for row in rows) for pattern in PATTERNS]
        cells = [version, f"{total:,}", *(f"{count:,} ({count / total:.2%})" for count in counts)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))
