"""What is asked, held against what was trained, span by span: hashed runs of words, looked for in Ray tasks.

A question must not stand in training; of a held-out one, neither must its answer: no run of RUN_WORDS words of either,
and no shorter answer that names a fact. Words are those of `ray_ft.words`, so that layout, case, marks and spellings of
numbers hide nothing.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_ft.rows import Question
from ray_ft.storage import files_of, part_of, resolved
from ray_ft.words import is_number, pieces, split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]

RUN_WORDS = 8
BASE = 0x9E3779B97F4A7C15  # odd, hence with an inverse modulo 2**64
STEPS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # of the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)
ROWS_AT_A_TIME = 1024
LOOKED_AT = "looked at"
KINDS = ("question", "reference", "run")
"""How an item overlaps: its question stands in training, its short answer does, a run of its words does."""


@dataclass(frozen=True)
class Runs:
    """Sorted hashes of runs of words, by the number of words of a run."""

    hashes: "Mapping[int, Hashes]"

    @staticmethod
    def of(runs: "Iterable[tuple[int, Hashes]]") -> "Runs":
        """All of these, each once."""
        import numpy as np

        found: dict[int, list[Hashes]] = {}
        for size, some in runs:
            found.setdefault(size, []).append(some)
        return Runs({size: np.unique(np.concatenate(some)) for size, some in sorted(found.items())})

    def held_by(self, words: "Hashes") -> "Iterator[tuple[int, Hashes]]":
        """Those of the runs that a text of these words holds."""
        import numpy as np

        for size, runs in self.hashes.items():
            if size <= len(words):
                own = runs_of(words, size)
                places = np.minimum(np.searchsorted(runs, own), len(runs) - 1)
                if (held := own[runs[places] == own]).size:
                    yield size, held

    def found_in(self, text: str) -> bool:
        """Whether the text holds one of the runs."""
        return bool(self.hashes) and any(True for _ in self.held_by(word_hashes(text)))

    def has(self, words: "Hashes") -> int:
        """How many of a text's runs of RUN_WORDS words are among these; a shorter text is one run."""
        import numpy as np

        own = runs_of(words, RUN_WORDS)
        return int(np.isin(own, self.hashes.get(min(RUN_WORDS, len(words)), own[:0])).sum())


def word_hashes(text: str) -> "Hashes":
    """One hash for each word."""
    import numpy as np

    return np.array([_hash(word) for word in split(text)], dtype=np.uint64)


def runs_of(words: "Hashes", num_words: int) -> "Hashes":
    """Hashes of all runs of `num_words` of these words, in order; a shorter text that has words is one run."""
    import numpy as np

    size = min(num_words, len(words))
    if not size:
        return words
    total = np.zeros(len(words) - size + 1, dtype=np.uint64)
    for i in range(size):
        total = total * np.uint64(BASE) + words[i : len(words) - size + 1 + i]
    return mix(total)


def mix(values: "Hashes") -> "Hashes":
    """Spread the bits, which sums of products leave uneven."""
    import numpy as np

    values = (values ^ (values >> np.uint64(30))) * np.uint64(STEPS[0])
    values = (values ^ (values >> np.uint64(27))) * np.uint64(STEPS[1])
    return values ^ (values >> np.uint64(31))


@lru_cache(maxsize=1 << 18)
def _hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def overlaps(questions: Sequence[Question], training_set: str | Path, *, common: Iterable[str] = ()) -> list[str]:
    """How each question overlaps with the training examples of a folder: one of KINDS, or "".

    Of `common` passages, what they hold may stand on both sides. One task of Ray for each file of examples, where Ray
    is up; a text is read once however many examples hold it.
    """
    items = [_Item.of(question) for question in questions]
    wanted = Runs.of(run for item in items for run in item.runs())
    allowed = Runs.of(held for text in common for held in wanted.held_by(word_hashes(text)))
    found = Runs.of(_without(held, allowed) for held in _scan(resolved(training_set), wanted))
    return [item.overlap(found) for item in items]


def table(questions: Sequence[Question], found: Sequence[str]) -> dict[str, dict[str, int]]:
    """By stratum: how many were looked at, and how many overlap in each way."""
    rows: dict[str, Counter[str]] = {}
    for question, kind in zip(questions, found, strict=True):
        row = rows.setdefault(question.stratum, Counter(dict.fromkeys((LOOKED_AT, *KINDS), 0)))
        row[LOOKED_AT] += 1
        if kind:
            row[kind] += 1
    return {stratum: dict(row) for stratum, row in sorted(rows.items())}


@dataclass(frozen=True)
class _Item:
    """A question's words, and its answer's where these must not have been trained on."""

    question: "Hashes"
    answer: "Hashes"
    is_held_out: bool

    @staticmethod
    def of(question: Question) -> "_Item":
        held_out = question.stratum == "held_out"
        reference = question.reference if held_out else ""
        words = word_hashes(reference)
        if len(words) < RUN_WORDS and not names_a_fact(reference):
            words = words[:0]
        return _Item(word_hashes(question.question), words, held_out)

    def runs(self) -> "Iterator[tuple[int, Hashes]]":
        for words in (self.question, self.answer):
            if len(words):
                yield min(RUN_WORDS, len(words)), runs_of(words, RUN_WORDS)

    def overlap(self, found: Runs) -> str:
        if len(self.question) > 1 and found.has(self.question) == max(1, len(self.question) - RUN_WORDS + 1):
            return "question"
        if len(self.answer) and found.has(self.answer):
            return "run" if len(self.answer) >= RUN_WORDS else "reference"
        is_long = len(self.question) >= RUN_WORDS
        return "run" if self.is_held_out and is_long and found.has(self.question) else ""


def names_a_fact(text: str) -> bool:
    """Whether a short answer would tell something if it stood elsewhere: a name, an identifier, or a number of what."""
    found = list(pieces(text))
    if len(found) < 2:
        return any(not p.is_number and any(c.isdigit() or c == "_" or c.isupper() for c in p.text[1:]) for p in found)
    return any(is_number(p.word) or any(c.isdigit() or c.isupper() or c == "_" for c in p.text) for p in found)


def _without(run: "tuple[int, Hashes]", allowed: Runs) -> "tuple[int, Hashes]":
    import numpy as np

    size, hashes = run
    return size, hashes[~np.isin(hashes, allowed.hashes.get(size, hashes[:0]))]


def _scan(training_set: str, wanted: Runs) -> "Iterator[tuple[int, Hashes]]":
    """The wanted runs that training holds."""
    import ray

    if not wanted.hashes:
        return
    files = [name for name in files_of(training_set, "examples.parquet") if name.endswith(".parquet")]
    if not ray.is_initialized() or len(files) < 2:
        for file in files:
            yield from _scan_file(training_set, file, wanted).items()
        return
    task = ray.remote(_scan_file)
    shared = ray.put(wanted)
    waiting = [task.remote(training_set, file, shared) for file in files]
    while waiting:
        ready, waiting = ray.wait(waiting)
        for made in ray.get(ready):
            yield from made.items()


def _scan_file(training_set: str, file: str, wanted: Runs) -> "Mapping[int, Hashes]":
    seen: set[int] = set()
    found: list[tuple[int, Hashes]] = []
    for text in _trained_texts(part_of(training_set, file)):
        if (key := hash(text)) not in seen:
            seen.add(key)
            found += wanted.held_by(word_hashes(text))
    return Runs.of(found).hashes


def _trained_texts(file: Path) -> Iterator[str]:
    import pyarrow.parquet as pq

    def turns(row: Mapping[str, Any]) -> Iterator[str]:
        yield from (turn["content"] for turn in row.get("messages") or ())
        if not row.get("messages"):
            yield from (row["prompt"], row["completion"])

    with pq.ParquetFile(file) as examples:
        names = set(examples.schema_arrow.names)
        columns = [c for c in ("prompt", "completion", "messages", "split", "dropped") if c in names]
        for batch in examples.iter_batches(batch_size=ROWS_AT_A_TIME, columns=columns):
            for row in batch.to_pylist():
                if row["split"] == "train" and not row.get("dropped"):
                    yield from turns(row)
