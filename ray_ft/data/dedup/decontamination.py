"""Evaluation sets that training must not see: a text that shares a long enough run of words with one is left out."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ray_ft.data.dedup.shingles import Hashes
from ray_ft.errors import ConfigError, first_line
from ray_ft.overlap import Runs, runs_of, word_hashes

RUN_WORDS = 13  # as GPT-3's authors chose (arXiv 2005.14165, appendix C)
MIN_WORDS = 8  # of an item; what is shorter is too common to tell anything


def read_evaluation_sets(paths: Iterable[str]) -> Runs:
    """The runs of every item of these JSONL, Parquet or text files. Raises ConfigError for one that cannot be read.

    Each text of a line of JSON or of a row is an item, and so is each line of a text file; one of MIN_WORDS to
    RUN_WORDS words is looked for as a whole.
    """
    runs: list[tuple[int, Hashes]] = []
    for path in paths:
        num_used = 0
        for item in _items(Path(path).expanduser()):
            words = word_hashes(item)
            if len(words) >= MIN_WORDS:
                size = min(len(words), RUN_WORDS)
                runs.append((size, runs_of(words, size)))
                num_used += 1
        if not num_used:
            raise ConfigError(f"data.decontaminate: {path!r} holds no item of at least {MIN_WORDS} words")
    return Runs.of(runs)


def read_common(paths: Iterable[str]) -> list[str]:
    """The texts that questions may share with training. Raises ConfigError for a file that cannot be read."""
    texts = []
    for path in paths:
        try:
            texts.append(Path(path).expanduser().read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"data.common: cannot read {path!r} ({first_line(error)}, from {Path.cwd()})") from None
    return texts


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
