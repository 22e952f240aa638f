"""Parquet files of the training set: fixed schemas, one part per group of files, equal bytes for equal rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_ft.data.documents import ReadFile, Record
from ray_ft.rows import Chunk, Example, Split, as_row

if TYPE_CHECKING:
    import pyarrow as pa

DOCUMENTS, EXAMPLES, PASSAGES = "documents.parquet", "examples.parquet", "passages.parquet"

SPLITS: tuple[Split, ...] = ("train", "validation", "test")

COLUMNS: Mapping[str, Mapping[str, str]] = {
    DOCUMENTS: {
        "id": "str", "path": "str", "format": "str", "language": "str", "split": "str", "status": "str",
        "reason": "str", "note": "str", "cluster": "str", "encoding": "str", "num_bytes": "int", "text": "str",
    },
    EXAMPLES: {
        "prompt": "str", "completion": "str", "chunk_id": "str", "document_id": "str", "recipe": "str",
        "origin": "str", "dropped": "str", "messages": "messages", "evidence": "str", "start": "int", "end": "int",
        "num_tokens": "int", "copies": "int", "split": "str",
    },
    PASSAGES: {
        "id": "str", "document_id": "str", "text": "str", "num_tokens": "int", "heading_path": "strings",
        "start": "int", "end": "int", "metadata": "pairs", "split": "str",
    },
}  # fmt: skip


def write_part(folder: Path, table: str, group: int, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one group's rows of a table as TABLE/part-GROUP.parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, _type(kind)) for name, kind in COLUMNS[table].items()])
    (folder / table).mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.Table.from_pylist([dict(r) for r in rows], schema=schema),
        folder / table / f"part-{group:05d}.parquet",
        compression="zstd",
    )


def document_row(read: ReadFile, split: str, cluster: str) -> dict[str, Any]:
    """One source file, whether it was read or not; `cluster` is shared with its duplicates and near duplicates."""
    document = read.document
    return {
        "id": document.id if document else f"{read.content_id or 'unread'}:{read.file.path}",
        "path": read.file.path,
        "format": document.format if document else "",
        "language": document.language if document else "",
        "split": split,
        "status": read.status,
        "reason": read.reason,
        "note": read.note,
        "cluster": cluster,
        "encoding": read.encoding,
        "num_bytes": read.file.num_bytes,
        "text": document.text if document else "",
    }


def example_row(
    example: Example, *, split: str, num_tokens: int, repeats: int, span: tuple[int, int] = (0, 0)
) -> dict[str, Any]:
    """One example and how often an epoch shows it; those left out of training keep their reason and have no split.

    `span` is where its chunk stands in the document's text.
    """
    kept = "" if example.dropped else split
    place = {"start": span[0], "end": span[1]}
    return {**as_row(example), **place, "num_tokens": num_tokens, "copies": repeats, "split": kept}


def record_row(record: Record, split: str, cluster: str) -> dict[str, Any]:
    """One line of a dataset, whether it could be used or not; a conversation's turns are in the examples."""
    return {
        "id": record.id,
        "path": record.name,
        "format": record.format,
        "language": "",
        "split": split,
        "status": "skipped" if record.reason else "ok",
        "reason": record.reason,
        "note": record.note,
        "cluster": cluster,
        "encoding": "utf-8",
        "num_bytes": record.num_bytes,
        "text": "" if record.reason else record.text,
    }


def passage_row(passage: Chunk, *, split: str) -> dict[str, Any]:
    """One passage of the retrieval index."""
    return {**as_row(passage), "split": split}


def _type(kind: str) -> "pa.DataType":
    import pyarrow as pa

    pair = pa.struct([("key", pa.string()), ("value", pa.string())])
    message = pa.struct([("role", pa.string()), ("content", pa.string()), ("trained", pa.bool_())])
    types = {
        "str": pa.string(), "int": pa.int64(), "strings": pa.list_(pa.string()), "pairs": pa.list_(pair),
        "messages": pa.list_(message),
    }  # fmt: skip
    return types[kind]
