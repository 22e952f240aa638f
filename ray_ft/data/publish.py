"""Last steps of prepare: one file of questions from the groups' parts, and the finished folder in its place."""

import heapq
import json
import shutil
from collections.abc import Iterator
from pathlib import Path


def merge_questions(parts: Path, target: Path, max_per_stratum: int) -> int:
    """Draw questions by the hash of their ids from the groups' files, which are then removed; returns their number."""
    strata = ("held_out", "seen")
    lines: list[str] = []
    for stratum in strata:
        drawn = heapq.nsmallest(max_per_stratum, _lines(parts, stratum))
        lines += [line for _, line in drawn]
    target.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    shutil.rmtree(parts)
    return len(lines)


def _lines(parts: Path, stratum: str) -> Iterator[tuple[str, str]]:
    for part in sorted(parts.glob("*.jsonl")):
        with part.open(encoding="utf-8") as stream:
            for line in stream:
                question = json.loads(line)
                if question["stratum"] == stratum:
                    yield question["id"], line.rstrip("\n")


def put_in_place(partial: Path, output: Path) -> None:
    """Put the finished folder in place; what was there goes only after that."""
    old = Path(f"{output}.old")
    shutil.rmtree(old, ignore_errors=True)
    if output.exists():
        output.rename(old)
    partial.rename(output)
    shutil.rmtree(old, ignore_errors=True)
