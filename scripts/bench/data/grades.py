"""What a reader's grades say of two versions: shares by tree and recipe with intervals, and useful rows for each MB."""

import csv
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

GRADES = ("useful", "poor", "wrong")
MIN_USEFUL, MAX_WRONG, MIN_KEPT = 0.85, 0.03, 0.5
Z = 1.959964  # of an interval of 95%
HEAD = (
    "tree", "recipe", "version", "graded", *GRADES, "useful_share", "low", "high", "wrong_share", "rows", "rows_per_mb",
    "useful_per_mb",
)  # fmt: skip


def score(key: Path, grades: Sequence[Path], *, output: Path | None = None) -> int:
    """Print the table of a drawing's grades, with what falls short of the goals, and write it; 1 where some lack."""
    drawn = json.loads(key.read_text())
    given = read_grades(grades)
    if unknown := sorted(set(given) - set(drawn["ids"])):
        raise ValueError(f"{len(unknown)} grades of rows that were not drawn, such as {unknown[0]}")
    table = list(score_rows(drawn, given))
    print(_markdown(table))
    for line in shortfalls(table):
        print(line)
    missing = len(drawn["ids"]) - len(given)
    if missing:
        print(f"{missing:,} of {len(drawn['ids']):,} rows have no grade yet")
    if output:
        with output.open("w", newline="") as file:
            writer = csv.DictWriter(file, HEAD, lineterminator="\n")
            writer.writeheader()
            writer.writerows(table)
    return int(missing > 0)


def read_grades(paths: Iterable[Path]) -> dict[str, str]:
    """Grades by id, of JSON lines or of CSV (`id,grade[,why]`, a header or none).

    Raises ValueError for a word that is no grade, and for a row that has two.
    """
    found: dict[str, str] = {}
    for path in paths:
        for name, grade in _lines(path):
            if grade not in GRADES:
                raise ValueError(f"{path}: {name} is graded {grade!r}; a grade is {', '.join(GRADES)}")
            if found.setdefault(name, grade) != grade:
                raise ValueError(f"{path}: {name} is {grade}, and was {found[name]} before")
    return found


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    with path.open(newline="") as file:
        if path.suffix == ".csv":
            yield from ((row[0], row[1].strip()) for row in csv.reader(file) if row and row[0] != "id")
            return
        for line in file:
            if line.strip():
                row = json.loads(line)
                yield str(row["id"]), str(row["grade"])


def score_rows(drawn: dict[str, Any], given: dict[str, str]) -> Iterator[dict[str, Any]]:
    """A row for each tree, recipe and version, then one for all trees together."""
    counts: dict[tuple[str, str, str], Counter[str]] = {}
    for name, about in drawn["ids"].items():
        for version in about["versions"] if name in given else ():
            for tree in (about["tree"], "all"):
                counts.setdefault((tree, about["recipe"], version), Counter())[given[name]] += 1
    trees = {name: (tree["mb"], tree["rows"]) for name, tree in drawn["trees"].items()}
    recipes = sorted({recipe for _, rows in trees.values() for recipe in rows})
    for tree in (*trees, "all"):
        below = [trees[tree]] if tree in trees else list(trees.values())
        for recipe in recipes:
            with_it = [(mb, rows[recipe]) for mb, rows in below if recipe in rows]
            for version in ("before", "after"):
                graded = counts.get((tree, recipe, version), Counter())
                num_rows, mb = sum(rows[version] for _, rows in with_it), sum(mb for mb, _ in with_it)
                if with_it:
                    yield _row(tree, recipe, version, graded, num_rows, mb)


def _row(tree: str, recipe: str, version: str, graded: Counter[str], num_rows: int, mb: float) -> dict[str, Any]:
    total, per_mb = graded.total(), num_rows / mb
    low, high = wilson(graded["useful"], total)
    share = graded["useful"] / total if total else math.nan
    found = [tree, recipe, version, total, *(graded[grade] for grade in GRADES), share, low, high]
    found += [graded["wrong"] / total if total else math.nan, num_rows, per_mb, share * per_mb if num_rows else 0.0]
    return {name: round(v, 4) if isinstance(v, float) else v for name, v in zip(HEAD, found, strict=True)}


def wilson(successes: int, total: int) -> tuple[float, float]:
    """Wilson's interval of a share, 95% (JASA 22, 1927): it holds at 0 and at 1 and for few."""
    if not total:
        return 0.0, 1.0
    share, z2 = successes / total, Z * Z
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def shortfalls(table: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What falls short of the goals, a line each: shares useful and wrong, and half of the useful rows before."""
    before = {(row["tree"], row["recipe"]): row["useful_per_mb"] for row in table if row["version"] == "before"}
    for row in (row for row in table if row["version"] == "after"):
        name = f"{row['tree']}, {row['recipe']}"
        if row["useful_share"] < MIN_USEFUL:
            yield f"{name}: {row['useful_share']:.0%} are useful, below {MIN_USEFUL:.0%}"
        if row["wrong_share"] > MAX_WRONG:
            yield f"{name}: {row['wrong_share']:.0%} are wrong, above {MAX_WRONG:.0%}"
        if row["useful_per_mb"] < MIN_KEPT * before[row["tree"], row["recipe"]]:
            yield f"{name}: {row['useful_per_mb']:.1f} useful rows per MB, below half of those before"


def _markdown(table: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| tree | recipe | version | useful | poor | wrong | useful, 95% | rows | rows/MB | useful rows/MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in table:
        share = f"{r['useful_share']:.0%} [{r['low']:.0%}, {r['high']:.0%}]" if r["graded"] else "not graded"
        useful = f"{r['useful_per_mb']:,.1f}" if r["graded"] or not r["rows"] else ""
        lines.append(
            f"| {r['tree']} | {r['recipe']} | {r['version']} | {r['useful']} | {r['poor']} | {r['wrong']} "
            f"| {share} | {r['rows']:,} | {r['rows_per_mb']:,.1f} | {useful} |"
        )
    return "\n".join(lines)
