"""Encoded examples to full rows and rows to immutable shards, which training reads by index."""

import hashlib
import io
import json
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ray_ft.data.tokenization.encoded import IGNORED, Encoded
from ray_ft.rows import Split

MAX_SHARD_BYTES = 64 * 2**20
INPUT_IDS, LABELS, POSITION_IDS = 0, 1, 2


@dataclass(frozen=True)
class Shard:
    """One file of packed rows, as the manifest lists it."""

    split: Split
    file: str
    num_rows: int
    num_tokens: int  # padding excluded
    num_target_tokens: int
    sha256: str


def pack_rows(lengths: Sequence[int], max_seq_len: int) -> list[list[int]]:
    """Indices of examples that share a row, by best-fit decreasing: each goes where it leaves the least space.

    Every length must be in 1..max_seq_len. Rows, and examples within a row, come in the order of the input.
    """
    rows: list[list[int]] = []
    spaces: list[tuple[int, int]] = []  # (free tokens, row), sorted
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        place = bisect_left(spaces, (lengths[i], -1))
        if place == len(spaces):
            free, row = max_seq_len, len(rows)
            rows.append([])
        else:
            free, row = spaces.pop(place)
        assert 0 < lengths[i] <= free, f"an example of {lengths[i]} tokens does not fit a row of {max_seq_len}"
        rows[row].append(i)
        if free > lengths[i]:
            insort(spaces, (free - lengths[i], row))
    return sorted(sorted(row) for row in rows)


def fill_row(examples: Sequence[Encoded], max_seq_len: int, pad_id: int) -> npt.NDArray[np.int32]:
    """int32 [3, max_seq_len]: input ids, unshifted labels, and positions that restart with every example.

    Padding is one more example, and each example's first label is IGNORED: nothing is predicted across a border.
    """
    row = np.full((3, max_seq_len), IGNORED, dtype=np.int32)
    row[INPUT_IDS] = pad_id
    start = 0
    for example in examples:
        end = start + len(example.input_ids)
        row[INPUT_IDS, start:end] = example.input_ids
        row[LABELS, start + 1 : end] = example.labels[1:]
        row[POSITION_IDS, start:end] = np.arange(end - start)
        start = end
    row[POSITION_IDS, start:] = np.arange(max_seq_len - start)
    return row


def write_shards(
    examples: Sequence[tuple[str, Encoded]],
    *,
    split: Split,
    group: int,
    folder: Path,
    max_seq_len: int,
    pad_id: int,
    repeats: Sequence[int] | None = None,
) -> list[Shard]:
    """Pack (chunk id, encoded) pairs and write SPLIT-GROUP-NN.npy files with their chunk ids beside them.

    `repeats` says how often each is packed, None once; the repeats of an example are never in one row.
    """
    rows = _rows_with_repeats([len(e.input_ids) for _, e in examples], repeats or [1] * len(examples), max_seq_len)
    shards: list[Shard] = []
    for part, members in enumerate(_runs(rows, max(1, MAX_SHARD_BYTES // (12 * max_seq_len)))):
        array = np.stack([fill_row([examples[i][1] for i in row], max_seq_len, pad_id) for row in members])
        buffer = io.BytesIO()
        np.save(buffer, array)
        content = buffer.getvalue()
        name = f"{split}-{group:05d}-{part:02d}"
        (folder / f"{name}.npy").write_bytes(content)
        chunks = "".join(json.dumps([examples[i][0] for i in row], ensure_ascii=False) + "\n" for row in members)
        (folder / f"{name}.chunks.jsonl").write_text(chunks, encoding="utf-8")
        shards.append(
            Shard(
                split=split,
                file=f"{name}.npy",
                num_rows=len(members),
                num_tokens=sum(len(examples[i][1].input_ids) for row in members for i in row),
                num_target_tokens=int((array[:, LABELS] != IGNORED).sum()),
                sha256=hashlib.sha256(content).hexdigest(),
            )
        )
    return shards


def _rows_with_repeats(lengths: Sequence[int], repeats: Sequence[int], max_seq_len: int) -> list[list[int]]:
    """Every example once, then again those that are repeated, and so on."""
    rows: list[list[int]] = []
    for number in range(max(repeats, default=0)):
        members = [i for i, count in enumerate(repeats) if count > number]
        packed = pack_rows([lengths[i] for i in members], max_seq_len)
        rows += [[members[i] for i in row] for row in packed]
    return rows


def _runs(rows: list[list[int]], size: int) -> Iterator[list[list[int]]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def manifest(
    shards: Sequence[Shard],
    *,
    max_seq_len: int,
    tokenizer_digest: str,
    template_digest: str,
    data_digest: str,
    num_chat_examples: Mapping[str, int] | None = None,
    mixture: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Content of shards/manifest.json: what the rows were made with, and each split's files in order.

    `num_chat_examples` counts, per split, those with a masked prompt; `mixture` holds the share of each recipe and
    dataset.
    """
    splits: dict[str, Any] = {}
    for shard in sorted(shards, key=lambda s: s.file):
        about = splits.setdefault(shard.split, {"num_rows": 0, "num_tokens": 0, "num_target_tokens": 0, "shards": []})
        for key in ("num_rows", "num_tokens", "num_target_tokens"):
            about[key] += getattr(shard, key)
        about["shards"].append({"file": shard.file, "num_rows": shard.num_rows, "sha256": shard.sha256})
    for split, about in splits.items():
        about["num_chat_examples"] = (num_chat_examples or {}).get(split, 0)
    return {
        "version": 1,
        "max_seq_len": max_seq_len,
        "tokenizer_digest": tokenizer_digest,
        "template_digest": template_digest,
        "data_digest": data_digest,
        "mixture": dict(mixture or {}),
        "splits": splits,
    }
