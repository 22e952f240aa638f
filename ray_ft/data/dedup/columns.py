"""What is told of all documents, as arrays: some fifty bytes of memory for each, the rest in files beside the run.

So ten million documents are placed in the memory of one ordinary process. Sections, edges and signatures are longer
than that; they are written once, in the order of the documents, and read in portions.
"""

import os
import shutil
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ray_ft.data.dedup.heads import EDGE, SECTION, Head
from ray_ft.data.dedup.minhash import NUM_PERMUTATIONS, Indices, Signatures
from ray_ft.rows import Split

Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[Any]

SPLITS: tuple[Split, ...] = ("test", "validation", "train")  # a cluster goes with the first that one of it was given
NONE_GIVEN = len(SPLITS)
HELD = np.dtype([("key", "<u8"), ("size", "<u4"), ("owner", "<u4")])  # a section or an edge, and the document it is of
IN_MEMORY, MAX_PARTS = 1 << 20, 256  # records that are sorted at a time, a hundred bytes each; files of more of them
KEY_CHARACTERS = 32  # of a document's key that tell it from others: 128 bits
IS_FILE, IS_USABLE, IS_CONTAMINATED = 1, 2, 4


class Records:
    """Pairs of a key and the document that has it, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stream = path.open("wb")

    def add(self, rows: Numbers) -> None:
        """Append rows of HELD."""
        self.stream.write(rows.tobytes())

    def __len__(self) -> int:
        self.stream.flush()
        return self.path.stat().st_size // HELD.itemsize

    def portions(self) -> Iterator[Numbers]:
        """All rows in the order in which they came."""
        self.stream.flush()
        with self.path.open("rb") as stream:
            while len(rows := np.fromfile(stream, dtype=HELD, count=IN_MEMORY)):
                yield rows

    def parts(self, field: str, end: int, used: Flags | None = None) -> Iterator[Numbers]:
        """The rows of the `used` documents, those with equal values of a field together, by ascending ranges of it.

        `end` lies above all values of the field. Within a part the order is that in which the rows came.
        """
        count = min(-(-len(self) // IN_MEMORY), MAX_PARTS)
        if count <= 1:
            for rows in self.portions():
                yield _of_used(rows, used)
            return
        width = -(-end // count)
        with tempfile.TemporaryDirectory(dir=self.path.parent) as folder:
            paths = [Path(folder, str(i)) for i in range(count)]
            with ExitStack() as stack:
                streams = [stack.enter_context(path.open("wb")) for path in paths]
                for rows in self.portions():
                    rows = _of_used(rows, used)
                    part = rows[field] // np.uint64(width)
                    for i in np.unique(part).tolist():
                        streams[int(i)].write(rows[part == i].tobytes())
            for path in paths:
                yield np.fromfile(path, dtype=HELD)
                path.unlink()


def _of_used(rows: Numbers, used: Flags | None) -> Numbers:
    chosen: Numbers = rows if used is None else rows[used[rows["owner"]]]
    return chosen


class Columns:
    """One place for each document, in their order.

    `folder` holds what is too long for memory until `close`, or until nobody holds the columns.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="placing-", dir=folder))
        self._removed = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self._numbers = {
            name: array(code)
            for name, code in (
                ("first", "Q"), ("second", "Q"), ("thread", "Q"), ("names", "Q"), ("keys", "Q"),
                ("size", "I"), ("structure", "I"), ("total", "I"), ("signed", "i"), ("flags", "B"), ("given", "B"),
            )
        }  # fmt: skip
        self.sections, self.edges = Records(self.folder / "sections"), Records(self.folder / "edges")
        self._signatures = (self.folder / "signatures").open("w+b")
        self._words = (self.folder / "words").open("w+b")  # names and keys
        self._num_signed = self._num_words = 0
        self.num_edged = 0  # documents that have edges

    @staticmethod
    def of(heads: Iterable[Head], folder: Path | None = None) -> "Columns":
        """All that is told of documents, in their order."""
        columns = Columns(folder)
        for head in heads:
            columns.add(head)
        return columns.finished()

    def add(self, head: Head) -> None:
        """Append a document."""
        number, put = len(self), self._numbers
        first = head.key[:KEY_CHARACTERS].ljust(KEY_CHARACTERS, "0")
        put["first"].append(int(first[:16], 16))
        put["second"].append(int(first[16:], 16))
        put["thread"].append(head.thread)
        put["size"].append(head.size)
        put["structure"].append(head.structure)
        put["flags"].append(
            IS_FILE * head.is_file | IS_USABLE * head.is_usable | IS_CONTAMINATED * head.is_contaminated
        )
        put["given"].append(SPLITS.index(head.given) if head.given in SPLITS else NONE_GIVEN)
        put["signed"].append(self._num_signed if head.signature else -1)
        if head.signature:
            self._signatures.write(head.signature)
            self._num_signed += 1
        put["total"].append(_add_held(self.sections, np.frombuffer(head.sections, dtype=SECTION), number))
        if head.edges:
            edges = np.frombuffer(head.edges, dtype=EDGE).view([("key", EDGE)])
            _add_held(self.edges, edges, number)
            self.num_edged += 1
        put["names"].append(self._add_words(head.name))
        put["keys"].append(self._add_words(head.key))

    def _add_words(self, words: str) -> int:
        start, raw = self._num_words, words.encode("utf-8", "surrogatepass")
        self._words.write(raw)
        self._num_words += len(raw)
        return start

    def __len__(self) -> int:
        return len(self._numbers["flags"])

    def finished(self) -> "Columns":
        """Make what was added readable."""
        self._signatures.flush()
        self._words.flush()
        read = {name: np.frombuffer(held, dtype=held.typecode) for name, held in self._numbers.items()}
        self.first, self.second, self.thread = read["first"], read["second"], read["thread"]
        self.size, self.structure, self.total = read["size"], read["structure"], read["total"]
        self.given, self.signed = read["given"], read["signed"]
        flags = read["flags"]
        self.is_file: Flags = (flags & IS_FILE) > 0
        self.is_usable: Flags = (flags & IS_USABLE) > 0
        self.is_contaminated: Flags = (flags & IS_CONTAMINATED) > 0
        self._names, self._keys = read["names"], read["keys"]
        return self

    def name(self, number: int) -> str:
        """What a document is called."""
        return self._said(int(self._names[number]), int(self._keys[number]))

    def key(self, number: int) -> str:
        """What is equal for documents of equal content."""
        end = int(self._names[number + 1]) if number + 1 < len(self) else self._num_words
        return self._said(int(self._keys[number]), end)

    def _said(self, start: int, end: int) -> str:
        self._words.seek(start)
        return self._words.read(end - start).decode("utf-8", "surrogatepass")

    def signatures(self, rows: Indices) -> Signatures:
        """Some rows of the file of signatures, [rows, NUM_PERMUTATIONS]; `signed` says which is a document's.

        They are read, not mapped: around each row that is touched the system would map sixteen pages.
        """
        size = NUM_PERMUTATIONS * 4
        if len(rows) and bool((np.diff(rows) == 1).all()):
            raw = os.pread(self._signatures.fileno(), len(rows) * size, int(rows[0]) * size)
        else:
            raw = b"".join([os.pread(self._signatures.fileno(), size, row * size) for row in rows.tolist()])
        return np.frombuffer(raw, dtype=np.uint32).reshape(-1, NUM_PERMUTATIONS)

    def equal(self) -> Indices:
        """For each document the first one of equal content; its own number where it cannot be used."""
        usable = np.flatnonzero(self.is_usable)
        order = usable[np.lexsort((self.second[usable], self.first[usable]))]
        is_first = differs(self.first[order]) | differs(self.second[order])
        equal = np.arange(len(self), dtype=np.int64)
        if len(order):
            equal[order] = order[np.flatnonzero(is_first)][np.cumsum(is_first) - 1]
        return equal

    def by_key(self) -> npt.NDArray[np.uint32]:
        """The place of each document among all by key, and by number where keys are equal."""
        rank = np.empty(len(self), dtype=np.uint32)
        rank[np.lexsort((self.second, self.first))] = np.arange(len(self), dtype=np.uint32)
        return rank

    def close(self) -> None:
        """Remove the files."""
        for stream in (self._signatures, self._words, self.sections.stream, self.edges.stream):
            stream.close()
        self._removed()


def _add_held(records: Records, found: Numbers, owner: int) -> int:
    """Note what a document has; returns the characters of it all, where they are told."""
    if not len(found):
        return 0
    rows = np.empty(len(found), dtype=HELD)
    rows["key"], rows["owner"] = found["key"], owner
    rows["size"] = found["size"] if "size" in (found.dtype.names or ()) else 0
    records.add(rows)
    return int(rows["size"].sum(dtype=np.int64))


def differs(values: Numbers) -> Flags:
    """Where a value differs from the one before; the first does."""
    return np.concatenate(([True], values[1:] != values[:-1])) if len(values) else np.empty(0, dtype=bool)


class Shared:
    """What of some records several documents have, a part at a time: each key's documents stand together.

    `key`, `owner` and `size`, all of a length, are ordered by key and then by owner; `start` says where each key
    begins, with the length at the end.
    """

    def __init__(self, rows: Numbers) -> None:
        rows = rows[np.lexsort((rows["owner"], rows["key"]))]
        is_new = differs(rows["key"]) | differs(rows["owner"])
        starts = np.flatnonzero(is_new)
        key, owner = rows["key"][starts], rows["owner"][starts]
        size = np.add.reduceat(rows["size"], starts, dtype=np.int64) if len(starts) else np.empty(0, dtype=np.int64)
        counts = np.diff(np.append(np.flatnonzero(differs(key)), len(key)))
        several = np.repeat(counts > 1, counts)
        self.key, self.owner, self.size = key[several], owner[several].astype(np.int64), size[several]
        self.start: Indices = np.append(np.flatnonzero(differs(self.key)), len(self.key)).astype(np.int64)

    @property
    def counts(self) -> Indices:
        """How many documents have each key."""
        return np.diff(self.start)

    @staticmethod
    def of(records: Records, used: Flags) -> "Iterator[Shared]":
        """All of some records that more than one of the used documents has, by ascending keys."""
        for rows in records.parts("key", 1 << 64, used):
            yield Shared(rows)
