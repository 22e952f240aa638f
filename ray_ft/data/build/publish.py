"""Last steps of prepare: the groups' files under their numbers, one file of questions, the finished folder in place."""

import heapq
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ray_ft.data.build.packing import Shard
from ray_ft.data.build.task import NUMBER, RESULT

OWN = f"{NUMBER:05d}"


def publish_group(folder: Path, number: int, target: Path) -> None:
    """Put a group's files into the training set under its number; the group keeps them too, without a second copy."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.name != RESULT:
            place = target / file.relative_to(folder).parent / numbered(file.name, number)
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(file, place)
            except OSError:  # file systems that know no links
                shutil.copyfile(file, place)


def numbered(name: str, number: int) -> str:
    """The name that a group's file has in the training set."""
    return name.replace(OWN, f"{number:05d}", 1)


def published_shard(shard: Shard, number: int) -> Shard:
    """A group's shard as the manifest lists it."""
    return replace(shard, file=numbered(shard.file, number))


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
