"""Evaluation sets that training must not see: a text that shares a long enough run of words with one is left out."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ray_ft.data.dedup.shingles import Hashes, runs_of, word_hashes
from ray_ft.errors import ConfigError, first_line

RUN_WORDS = 13  # as GPT-3's authors chose (arXiv 2005.14165, appendix C)
MIN_WORDS = 8  # of an item; what is shorter is too common to tell anything


@dataclass(frozen=True)
class EvaluationRuns:
    """Sorted hashes of the evaluation sets' runs of words, by the number of words of a run."""

    hashes: Mapping[int, Hashes]

    def found_in(self, text: str) -> bool:
        """Whether the text holds one of the runs."""
        if not self.hashes:
            return False
        words = word_hashes(text)
        return any(_holds(runs, words, size) for size, runs in self.hashes.items())


def read_evaluation_sets(paths: Iterable[str]) -> EvaluationRuns:
    """The runs of every item of these JSONL, Parquet or text files. Raises ConfigError for one that cannot be read.

    Each text of a line of JSON or of a row is an item, and so is each line of a text file; one of MIN_WORDS to
    RUN_WORDS words is looked for as a whole.
    """
    runs: dict[int, list[Hashes]] = {}
    for path in paths:
        num_used = 0
        for item in _items(Path(path).expanduser()):
            words = word_hashes(item)
            if len(words) >= MIN_WORDS:
                size = min(len(words), RUN_WORDS)
                runs.setdefault(size, []).append(runs_of(words, size))
                num_used += 1
        if not num_used:
            raise ConfigError(f"data.decontaminate: {path!r} holds no item of at least {MIN_WORDS} words")
    return EvaluationRuns({size: np.unique(np.concatenate(found)) for size, found in sorted(runs.items())})


def _holds(runs: Hashes, words: Hashes, size: int) -> bool:
    if len(words) < size:
        return False
    own = runs_of(words, size)
    places = np.minimum(np.searchsorted(runs, own), len(runs) - 1)
    return bool((runs[places] == own).any())


def _items(path: Path) -> Iterator[str]:
    """One item after another."""
    try:
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet as pq

            for row in pq.read_table(path).to_pylist():
                yield from _texts(row)
            return
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                if path.suffix.lower() not in (".jsonl", ".json", ".ndjson"):
                    yield line
                elif line.strip():
                    yield from _json_texts(line, path, number)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"data.decontaminate: cannot read {str(path)!r} ({first_line(error)}, from {Path.cwd()}); "
            "give JSONL, Parquet or text files"
        ) from None


def _json_texts(line: str, path: Path, number: int) -> Iterator[str]:
    try:
        yield from _texts(json.loads(line))
    except json.JSONDecodeError as error:
        raise ConfigError(f"data.decontaminate: {path}:{number}: not valid JSON: {error.msg}") from None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
