"""The check that closes prepare, and that anyone can run again: nothing trained on stands in another split too.

It looks at what was written, not at how: documents, clusters of duplicates, examples, passages and the packed rows
themselves. Asked to be thorough, it finds duplicates and near duplicates anew from the texts.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ray_ft.data.dedup.minhash import NUM_PERMUTATIONS, NearDuplicates, signature
from ray_ft.data.dedup.shingles import shingles
from ray_ft.data.dedup.splits import content_key
from ray_ft.data.schemas import DOCUMENTS, EXAMPLES, PASSAGES

ROWS_AT_A_TIME = 256


def find_leaks(path: Path, *, thorough: bool = False, threshold: float = 0.8) -> list[str]:
    """One line for each document, cluster, example or row that is in two splits; empty where all is well.

    `thorough` also compares the texts of all documents, at some ten megabytes a second.
    """
    splits: dict[str, str] = {}  # of documents, by id and by path
    clusters: dict[str, str] = {}
    leaks: list[str] = []
    for row in _rows(path / DOCUMENTS, ["id", "path", "split", "status", "cluster"]):
        if row["status"] != "ok":
            continue
        for name in (row["id"], row["path"]):
            if splits.setdefault(name, row["split"]) != row["split"]:
                leaks.append(f"document {name} is in {splits[name]} and in {row['split']}")
        if row["cluster"] and clusters.setdefault(row["cluster"], row["split"]) != row["split"]:
            leaks.append(f"duplicates of {row['path']} are in {clusters[row['cluster']]} and in {row['split']}")
    for table in (EXAMPLES, PASSAGES):
        for row in _rows(path / table, ["document_id", "split"]):
            if row["split"] and splits.get(row["document_id"], row["split"]) != row["split"]:
                where = splits[row["document_id"]]
                leaks.append(f"{table}: {row['document_id']} is in {row['split']}, its document in {where}")
    leaks += _packed(path / "shards", splits)
    leaks += _near(path, threshold) if thorough else ()
    return leaks


def _packed(folder: Path, splits: Mapping[str, str]) -> Iterator[str]:
    """Chunks in packed rows of a split that is not their document's."""
    for file in sorted(folder.glob("*.chunks.jsonl")):
        split = file.name.split("-")[0]
        with file.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream):
                for chunk in json.loads(line):
                    own = splits.get(chunk) or splits.get(chunk.rsplit("#", 1)[0])
                    if own is None:
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
    import pyarrow.parquet as pq

    for part in sorted(folder.glob("*.parquet")):
        with pq.ParquetFile(part) as table:
            for batch in table.iter_batches(batch_size=ROWS_AT_A_TIME, columns=columns):
                yield from batch.to_pylist()
