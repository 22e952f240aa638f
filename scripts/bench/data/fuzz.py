"""Texts that nobody writes, through every parser, filter, recipe and regular expression of the data stage.

Seeds are small files of every format; inputs are these cut, repeated, spliced and with bytes changed, drawn from a
fixed seed. Each goes the way that prepare takes it: decoded, parsed (in a child process where prepare does so),
cleaned, signed, and cut by every recipe, within the budget of a file. Regular expressions get texts made against them.
"""

import argparse
import io
import json
import random
import sys
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.data.patterns import SECONDS, Expression, attacks, patterns_of_package, seconds_of
from bench.data.seeds import seeds_of
from ray_ft.data.dedup.heads import heads_of
from ray_ft.data.documents import SourceFile
from ray_ft.data.filters.apply import Cleaning, clean_record
from ray_ft.data.formats import FORMATS
from ray_ft.data.ingest import reading
from ray_ft.data.ingest.records import Origin, read_line
from ray_ft.data.ingest.sandbox import CHILD, Limits
from ray_ft.data.ingest.stage import parse_item
from ray_ft.data.run.budget import OutOfTime, budget
from ray_ft.overlap import Runs
from ray_ft.recipes import RECIPES
from ray_ft.recipes.chunking.chunks import make_passages

LIMITS = Limits(seconds=2.0, memory_bytes=2**30)
MAX_BYTES = 8000  # of an input
BREAKERS = (
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\x1b[", b"${", b"<!--", b"-->", b"```", b"]]>", b"\\", b"'''", b"\t",
    b"(" * 50, b"[" * 50, b"<a>" * 50, b"{" * 50, b"\n" * 50, b"-" * 50, b"=" * 50, b"*" * 50, b"_" * 50, b"#" * 50,
    "\u202e".encode(), "\ud83d".encode("utf-8", "surrogatepass"), "é\u0301".encode(), b"eyJ", b"@", b"://",
)  # fmt: skip


@dataclass
class Result:
    """What the inputs became."""

    num_inputs: Counter[str] = field(default_factory=Counter)  # by format
    states: Counter[str] = field(default_factory=Counter)
    slowest_seconds: float = 0.0
    slowest: str = ""
    findings: list[str] = field(default_factory=list)  # escaped errors, and what went beyond its budget


def mutated(seeds: Sequence[bytes], lot: random.Random) -> bytes:
    """One input: a seed after one to five changes; of an archive of parts, mostly one part is changed."""
    data = lot.choice(seeds)
    if data.startswith(b"PK") and lot.random() < 0.8:
        return _with_changed_part(data, lot)
    for _ in range(lot.choice((1, 1, 2, 3, 5))):
        a, b = sorted(lot.randrange(len(data) + 1) for _ in range(2))
        what = lot.randrange(8)
        if what == 0:
            data = data[:a] + data[b:]
        elif what == 1:  # a stretch many times
            data = data[:a] + data[a : min(b, a + 64)] * lot.choice((2, 20, 400)) + data[b:]
        elif what == 2:
            data = data[:a] + lot.choice(BREAKERS) * lot.choice((1, 1, 3, 100)) + data[a:]
        elif what == 3:
            data = (
                data[:a]
                + bytes(lot.randrange(lot.choice((128, 128, 128, 256))) for _ in range(lot.choice((1, 4, 16))))
                + data[b:]
            )
        elif what == 4:
            other = lot.choice(seeds)
            data = data[:a] + other[lot.randrange(len(other) + 1) :]
        elif what == 5 and data:
            place = lot.randrange(len(data))
            data = data[:place] + bytes([data[place] ^ (1 << lot.randrange(8))]) + data[place + 1 :]
        elif what == 6:
            data = data[:a]
        else:
            lines = data.split(b"\n")
            lot.shuffle(lines)
            data = b"\n".join(lines)
        data = data[:MAX_BYTES]
    return data


def _with_changed_part(data: bytes, lot: random.Random) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
        parts = [name for name in old.namelist() if name.endswith((".xml", ".rels"))]
        telling = [n for n in parts if n.endswith(("document.xml", "slide1.xml", "sheet1.xml", "sharedStrings.xml"))]
        changed = lot.choice(telling if telling and lot.random() < 0.6 else parts)
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, mutated([content], lot) if name == changed else content)
    return made.getvalue()


def through_prepare(name: str, data: bytes, result: Result) -> None:
    """One input as prepare takes a file of this name, or a line of a dataset."""
    started = time.monotonic()
    state = ""
    try:
        with budget(LIMITS.seconds, LIMITS.memory_bytes):
            state = _line(data) if name.endswith(".jsonl") else _file(name, data)
    except OutOfTime:
        state = "quarantined: took too long"
    except MemoryError:
        state = "quarantined: took too much memory"
    except Exception as error:  # none is to leave the task
        last = traceback.extract_tb(error.__traceback__)[-1]
        state = "escaped"
        words = f"{name}: {type(error).__name__}: {error} at {Path(last.filename).name}:{last.lineno}: {data[:60]!r}"
        result.findings.append(words[:300])
    seconds = time.monotonic() - started
    if seconds > result.slowest_seconds:
        result.slowest_seconds, result.slowest = seconds, f"{name}: {data[:40]!r}"
    if seconds > 2 * LIMITS.seconds + 3:  # and what a child takes to begin
        result.findings.append(f"{name}: {seconds:.1f} s: {data[:60]!r}")
    result.num_inputs[Path(name).suffix] += 1
    result.states[state] += 1


def _file(name: str, data: bytes) -> str:
    file = SourceFile(name, f"/{name}", len(data))
    reading.read_bytes = lambda kind, location: data
    (read,) = parse_item(file, Cleaning(), LIMITS)
    assert not hasattr(read, "examples")
    heads_of([read], Runs({}))
    if read.document is not None:
        for recipe in (RECIPES[kind]() for kind in RECIPES):
            if recipe.applies_to(read.document):
                recipe.examples(recipe.chunk(read.document, _tokens), None)
        make_passages(read.document, recipe="passage", max_tokens=64, count_tokens=_tokens)
    return f"{read.status}: {read.reason}".removesuffix(": ")


def _line(data: bytes) -> str:
    record = clean_record(read_line(data.split(b"\n")[0], Origin("a.jsonl:1", "a")), Cleaning())
    heads_of([record], Runs({}))
    return f"skipped: {record.reason}" if record.reason else "ok"


def _tokens(text: str) -> int:
    return len(text) // 4 + 1


def through_patterns(num_inputs: int, seed: int, result: Result) -> None:
    """Texts against every expression, each in less than SECONDS of processor time."""
    found, _ = patterns_of_package()
    for name, text, expression in _against(found, num_inputs, seed):
        seconds = seconds_of(expression, text)
        result.num_inputs["patterns"] += 1
        if seconds >= SECONDS / 2:
            result.findings.append(f"{name}: {seconds:.2f} s: {text[:60]!r}")


def _against(found: dict[str, Expression], num_inputs: int, seed: int) -> Iterator[tuple[str, str, Expression]]:
    lot, made = random.Random(seed), 0
    while True:
        for name, expression in found.items():
            for text in attacks(expression.pattern, lot.choice((60, 600, 6000)), lot):
                yield name, text, expression
                made += 1
                if made >= num_inputs:
                    return


def main(arguments: list[str]) -> int:
    """Exit status 1 where there are findings."""
    parser = argparse.ArgumentParser(prog="scripts/bench_data fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=60_000, help="of which half go to regular expressions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=30.0, help="after which what is left is left out")
    parser.add_argument("--json", type=Path, help="file for the figures")
    given = parser.parse_args(arguments)
    result, started, lot = Result(), time.monotonic(), random.Random(given.seed)
    through_patterns(given.inputs // 2, given.seed, result)
    seeds = seeds_of()
    names = [f"a{suffix}" for suffix in (*FORMATS, ".jsonl")]
    binary = {name for name in names if name != "a.jsonl" and FORMATS[Path(name).suffix].is_binary}
    while sum(result.num_inputs.values()) < given.inputs and time.monotonic() - started < 60 * given.minutes:
        name = lot.choice(names)
        if name in binary and lot.random() < 0.8:  # which take ten times as long
            continue
        through_prepare(name, mutated(seeds[Path(name).suffix], lot), result)
    CHILD.close()
    minutes = (time.monotonic() - started) / 60
    about: dict[str, Any] = {"seed": given.seed, "minutes": round(minutes, 1), "python": sys.version.split()[0]}
    about |= {"total": sum(result.num_inputs.values()), **vars(result)}
    if given.json:
        given.json.write_text(json.dumps(about, indent=1, ensure_ascii=True) + "\n")
    print(json.dumps(about, indent=1, ensure_ascii=True))
    return 1 if result.findings else 0
