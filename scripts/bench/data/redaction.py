"""Precision and recall of redaction on labelled snippets: what is found of the secrets, and what else is.

Each line of the file holds a snippet, its language, and the secrets in it; a mark breaks tokens apart, that no scanner
may take this repository for one that leaks. A secret counts as found where all of it is replaced.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ray_ft.data.filters.apply import Cleaning, find

SNIPPETS = Path(__file__).parents[3] / "tests" / "data" / "redaction" / "snippets.jsonl"
BREAK = "⁂"
DOCUMENTS = frozenset({"markdown", "text", "csv", "http"})  # languages that are none of code


class Rates(NamedTuple):
    """How much of what is replaced is secret, and how much of what is secret is replaced."""

    num_snippets: int
    precision: float
    recall: float
    wrong: tuple[str, ...]  # a line for each that was missed or is none


class Snippet(NamedTuple):
    """A piece of text with the secrets that stand in it."""

    language: str
    text: str
    secrets: tuple[str, ...]


def snippets(path: Path = SNIPPETS) -> Iterator[Snippet]:
    """The labelled snippets, whole."""
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line.replace(BREAK, ""))
        yield Snippet(row["language"], row["text"], tuple(row["secrets"]))


def measure(path: Path = SNIPPETS) -> Rates:
    """The rates over all snippets of a file."""
    num_snippets = right = missed = others = 0
    wrong: list[str] = []
    for snippet in snippets(path):
        num_snippets += 1
        found = find(snippet.text, Cleaning(), is_code=snippet.language not in DOCUMENTS)
        spans = [(start := snippet.text.index(secret), start + len(secret)) for secret in snippet.secrets]
        for start, end in spans:
            is_found = any(f.start <= start and end <= f.end for f in found)
            right, missed = right + is_found, missed + (not is_found)
            wrong += [] if is_found else [f"missed in {snippet.language}: {snippet.text[start:end]}"]
        for f in found:
            if not any(f.start < end and start < f.end for start, end in spans):
                others += 1
                wrong.append(f"no secret in {snippet.language}: {snippet.text[f.start : f.end]} ({f.kind})")
    return Rates(num_snippets, right / max(1, right + others), right / max(1, right + missed), tuple(wrong))


def main(arguments: list[str]) -> int:
    """Print the rates and what went wrong."""
    parser = argparse.ArgumentParser(prog="scripts/bench_data redaction", description=__doc__)
    parser.add_argument("--snippets", type=Path, default=SNIPPETS, help="JSONL of language, text and secrets")
    rates = measure(parser.parse_args(arguments).snippets)
    print(f"{rates.num_snippets} snippets: precision {rates.precision:.3f}, recall {rates.recall:.3f}")
    for line in rates.wrong:
        print(f"  {line}")
    return 0
