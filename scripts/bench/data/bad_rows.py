"""Rows that hold what no training example should hold, found by patterns and counted by tree and recipe."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.data.trees import rows_of, trees_below

CODE = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1|\Z)|``?[^`\n]++``?|^(?: {3}|\t).*$", re.DOTALL | re.MULTILINE)
WAYS = frozenset(["prev", "previous", "next", "up", "home", "top", "back", "contents", "index", ">", ">>", "<", "<<"])
BETWEEN = re.compile(r"[|·»«•\][]|[ \t]{2,}")
LINKED = re.compile(r"^(?:next|prev(?:ious)?|up): ?[^,\n]{1,80}, ?(?:next|prev(?:ious)?|up):", re.IGNORECASE)
MARKS = " \t*-+•:«»←→"
MAX_ROW = 200  # characters of a row of ways
DATA_URI = re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w=-]+)*;base64,|data:image/", re.IGNORECASE)
RUN = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{200,}+={0,2}")
ENCODED_LINES = re.compile(r"(?:^[ \t]*[A-Za-z0-9+/]{60,}+={0,2}[ \t]*$\n?){4}", re.MULTILINE)
TEMPLATE = re.compile(r"\{\{[^{}\n]{1,200}\}\}|\{%[^{}\n]{1,200}%\}")
PART = re.compile(r"\(part \d+ of \d+\)", re.IGNORECASE)
LEADER = re.compile(r"(?:\. ?){4,}\s*\d*\s*$|^\W*\[[^\]\n]+\]\([^)\n]*\)\W*$")
MIN_LINES = 4


def is_navigation(prompt: str, text: str) -> bool:
    """A row of ways to other pages, such as `Prev | Up | Next`, or a list of them."""
    before = ""
    for line in (prompt + "\n" + text).split("\n"):
        if len(line) > MAX_ROW:
            continue
        way = line.strip(MARKS).lower()
        in_words, in_cells = way.split(), [cell.strip(MARKS).lower() for cell in BETWEEN.split(line)]
        is_row = len(in_words) > 1 and WAYS.issuperset(in_words)
        if is_row or len(WAYS.intersection(in_cells)) > 1 or LINKED.match(line):
            return True
        if way in WAYS and before in WAYS and way != before:
            return True
        before = way
    return False


def is_encoded(prompt: str, text: str) -> bool:
    """A file written out as text, in one line or in several."""
    runs = (match.group(0) for match in RUN.finditer(text))
    return bool(DATA_URI.search(text)) or any(map(_is_mixed, runs)) or bool(ENCODED_LINES.search(text))


def is_template(prompt: str, text: str) -> bool:
    """Signs that a program fills in, outside of code."""
    return bool(TEMPLATE.search(CODE.sub("", text)) or TEMPLATE.search(prompt))


def is_part(prompt: str, text: str) -> bool:
    """A prompt that counts passages, which nobody does who asks."""
    return bool(PART.search(prompt) or PART.search(text))


def is_contents(prompt: str, text: str) -> bool:
    """A page of contents: most lines are titles with dots behind them, or links and nothing else."""
    lines = [line for line in text.split("\n") if line.strip()]
    return len(lines) >= MIN_LINES and 2 * sum(bool(LEADER.search(line)) for line in lines) > len(lines)


def _is_mixed(run: str) -> bool:
    """Letters in both cases and digits: neither a line of signs nor a number in hexadecimal."""
    return any(c.isupper() for c in run) and any(c.islower() for c in run) and any(c.isdigit() for c in run)


PATTERNS: dict[str, Callable[[str, str], bool]] = {
    "navigation": is_navigation,
    "encoded": is_encoded,
    "template": is_template,
    "part": is_part,
    "contents": is_contents,
}
HEAD = ("tree", "recipe", "rows", *PATTERNS)


def bad_in(row: dict[str, Any]) -> list[str]:
    """Names of the patterns that a row shows; rows of the code recipes are code, and only files in them are bad."""
    prompt, text = row["prompt"] or "", row["completion"] or ""
    if row["recipe"].startswith("code"):
        return ["encoded"] if is_encoded(prompt, text) else []
    return [name for name, shows in PATTERNS.items() if shows(prompt, text)]


def patterns(root: Path, *, output: Path | None = None) -> int:
    """Print how many rows of each tree and recipe show each pattern, and write it."""
    table = [line for run in trees_below(root) for line in _counted(run)]
    print(_markdown(table))
    if output:
        with output.open("w", newline="") as file:
            writer = csv.DictWriter(file, HEAD, lineterminator="\n")
            writer.writeheader()
            writer.writerows(table)
    return 0


def _counted(run: Path) -> list[dict[str, Any]]:
    rows: Counter[str] = Counter()
    bad: Counter[tuple[str, str]] = Counter()
    for row in rows_of(run):
        rows[row["recipe"]] += 1
        bad.update((row["recipe"], name) for name in bad_in(row))
    return [
        {"tree": run.name, "recipe": recipe, "rows": rows[recipe]} | {name: bad[recipe, name] for name in PATTERNS}
        for recipe in sorted(rows)
    ]


def _markdown(table: Sequence[dict[str, Any]]) -> str:
    lines = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    total = {"tree": "all", "recipe": "all"} | {name: sum(row[name] for row in table) for name in HEAD[2:]}
    for row in (*table, total):
        shares = (f"{row[name]:,} ({row[name] / row['rows']:.2%})" if row[name] else "0" for name in PATTERNS)
        lines.append(f"| {row['tree']} | {row['recipe']} | {row['rows']:,} | {' | '.join(shares)} |")
    return "\n".join(lines)
