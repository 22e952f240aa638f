"""The check that closes prepare, and that anyone can run again: nothing trained on stands in another split too.

It looks at what was written, not at how: documents, clusters of duplicates, examples, passages and the packed rows
themselves. Asked to be thorough, it finds duplicates and near duplicates anew from the texts.
"""

import json
from array import array
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ray_ft.data.dedup.minhash import NUM_PERMUTATIONS, NearDuplicates, signature
from ray_ft.data.dedup.shingles import shingles
from ray_ft.data.dedup.splits import content_key
from ray_ft.data.schemas import DOCUMENTS, EXAMPLES, PASSAGES

ROWS_AT_A_TIME = 256


def find_leaks(path: Path, *, thorough: bool = False, threshold: float = 0.8) -> list[str]:
    """One line for each document, cluster, example or row that is in two splits; empty where all is well.

    Some fifty bytes of memory for each document. `thorough` also compares the texts of all documents, at some ten
    megabytes a second, and holds them.
    """
    documents, clusters = _Known(), _Known()
    for row in _usable(path):
        for name in (row["id"], row["path"]):
            documents.add(name, row["split"])
        if row["cluster"]:
            clusters.add(row["cluster"], row["split"])
    leaks = list(_mixed(path, documents, clusters))
    for table in (EXAMPLES, PASSAGES):
        for rows in _batches(path / table, ["document_id", "split"]):
            rows = [row for row in rows if row["split"]]
            for row, own in zip(rows, documents.of([row["document_id"] for row in rows]), strict=True):
                if own and own != row["split"]:
                    leaks.append(f"{table}: {row['document_id']} is in {row['split']}, its document in {own}")
    leaks += _packed(path / "shards", documents)
    leaks += _near(path, threshold) if thorough else ()
    return leaks


class _Known:
    """The split of each name, known by the hash of the name; of one that has several, the first."""

    def __init__(self) -> None:
        self._hashes, self._splits = array("q"), array("B")
        self._names: list[str] = []  # of splits
        self._firsts: dict[str, str] = {}  # of names whose hash has several splits
        self._sorted: tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]] | None = None

    def add(self, name: str, split: str) -> None:
        if split not in self._names:
            self._names.append(split)
        self._hashes.append(hash(name))
        self._splits.append(self._names.index(split))
        self._sorted = None

    def _in_order(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
        if self._sorted is None:
            hashes = np.array(self._hashes, dtype=np.int64)
            order = np.argsort(hashes, kind="stable")
            self._sorted = hashes[order], np.array(self._splits, dtype=np.uint8)[order]
        return self._sorted

    def mixed(self) -> set[int]:
        """Hashes that have several splits: of one name, or of two that are alike by chance."""
        hashes, splits = self._in_order()
        differs = (hashes[1:] == hashes[:-1]) & (splits[1:] != splits[:-1])
        return set(hashes[1:][differs].tolist())

    def first(self, name: str, split: str) -> str:
        """The split that a name of the mixed ones had when it was first asked for."""
        return self._firsts.setdefault(name, split)

    def of(self, names: Sequence[str]) -> list[str]:
        """The split of each name, "" for one that is not known."""
        hashes, splits = self._in_order()
        if not len(hashes):
            return [""] * len(names)
        wanted = np.array([hash(name) for name in names], dtype=np.int64)
        places = np.minimum(np.searchsorted(hashes, wanted), len(hashes) - 1)
        found = zip(names, (hashes[places] == wanted).tolist(), splits[places].tolist(), strict=True)
        return [self._firsts.get(name, self._names[split]) if is_there else "" for name, is_there, split in found]


def _mixed(path: Path, documents: _Known, clusters: _Known) -> Iterator[str]:
    """Documents and clusters that are in several splits, by their names, if there may be any."""
    names, labels = documents.mixed(), clusters.mixed()
    for row in _usable(path) if names or labels else ():
        for name in (row["id"], row["path"]):
            if hash(name) in names and (first := documents.first(name, row["split"])) != row["split"]:
                yield f"document {name} is in {first} and in {row['split']}"
        if hash(row["cluster"]) in labels and (first := clusters.first(row["cluster"], row["split"])) != row["split"]:
            yield f"duplicates of {row['path']} are in {first} and in {row['split']}"


def _usable(path: Path) -> Iterator[dict[str, Any]]:
    """What tells the documents of a set."""
    columns = ["id", "path", "split", "status", "cluster"]
    return (row for row in _rows(path / DOCUMENTS, columns) if row["status"] == "ok")


def _packed(folder: Path, documents: _Known) -> Iterator[str]:
    """Chunks in packed rows of a split that is not their document's."""
    for file in sorted(folder.glob("*.chunks.jsonl")):
        split = file.name.split("-")[0]
        with file.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream):
                chunks = json.loads(line)
                whole = documents.of(chunks)
                parts = documents.of([chunk.rsplit("#", 1)[0] for chunk in chunks])
                for chunk, *found in zip(chunks, whole, parts, strict=True):
                    own = found[0] or found[1]
                    if not own:
                        yield f"{file.name}: row {number} holds {chunk}, which belongs to no document"
                    elif own != split:
                        yield f"{file.name}: row {number} holds {chunk}, whose document is in {own}"


def _near(path: Path, threshold: float) -> Iterator[str]:
    """Documents of different splits with texts that are equal or near."""
    first: dict[str, tuple[str, str]] = {}
    texts: list[tuple[str, str, str]] = []
    signatures: list[Any] = []
    for row in _rows(path / DOCUMENTS, ["path", "split", "status", "text"]):
        if row["status"] != "ok" or not row["text"]:
            continue
        name, split = first.setdefault(content_key(row["text"]), (row["path"], row["split"]))
        if split != row["split"]:
            yield f"{row['path']} in {row['split']} is a duplicate of {name} in {split}"
        if (signed := signature(shingles(row["text"]))) is not None:
            texts.append((row["path"], row["split"], row["text"]))
            signatures.append(signed)
    if not signatures:
        return
    matrix = np.stack(signatures).reshape(len(signatures), NUM_PERMUTATIONS)
    labels = NearDuplicates(len(matrix), matrix.__getitem__, lambda i: texts[i][2], threshold).clusters()
    for i, label in enumerate(labels.tolist()):
        name, split, text = texts[label]
        if texts[i][1] != split and content_key(texts[i][2]) != content_key(text):
            yield f"{texts[i][0]} in {texts[i][1]} is near to {name} in {split}"


def _rows(folder: Path, columns: list[str]) -> Iterator[dict[str, Any]]:
    return chain.from_iterable(_batches(folder, columns))


def _batches(folder: Path, columns: list[str]) -> Iterator[list[dict[str, Any]]]:
    import pyarrow.parquet as pq

    for part in sorted(folder.glob("*.parquet")):
        with pq.ParquetFile(part) as table:
            for batch in table.iter_batches(batch_size=ROWS_AT_A_TIME, columns=columns):
                yield batch.to_pylist()
