"""What a group gives, from examples to full rows: encoded, packed, and written as immutable shards beside its tables.

Training reads the shards by index.
"""

import hashlib
import io
import json
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ray_ft.data.build.job import NUMBER, QUESTION_PARTS, GroupJob, GroupResult, Shard
from ray_ft.data.build.mixture import num_repeats
from ray_ft.data.documents import ReadFile, Record, told_of_encoding
from ray_ft.data.schemas import (
    DOCUMENTS,
    EXAMPLES,
    PASSAGES,
    SPLITS,
    document_row,
    example_row,
    passage_row,
    record_row,
    write_part,
)
from ray_ft.data.tokenization.chat import ChatEncoder
from ray_ft.data.tokenization.document_tokens import Verbatim
from ray_ft.data.tokenization.encoded import IGNORED, Encoded
from ray_ft.rows import Chunk, Example, Question, Split, as_row

MAX_SHARD_BYTES = 64 * 2**20
INPUT_IDS, LABELS, POSITION_IDS = 0, 1, 2


@dataclass(frozen=True)
class Edged:
    """An example, whether it holds the end of its document, and what it counts for in the mixture."""

    example: Example
    ends: bool
    part: str = ""  # recipe or dataset that it comes from
    weight: float = 1.0
    span: tuple[int, int] = (0, 0)  # characters of the document's text that the chunk is


class GroupRows:
    """What a group has given so far, and the counts of it in `result`."""

    def __init__(self, job: GroupJob, encoder: ChatEncoder) -> None:
        self.job = job
        self.encoder = encoder
        self.result = GroupResult()
        self.questions: list[Question] = []
        self._tables: dict[str, list[dict[str, Any]]] = {DOCUMENTS: [], EXAMPLES: [], PASSAGES: []}
        self._encoded: dict[Split, list[tuple[str, Encoded]]] = {split: [] for split in SPLITS}
        self._repeats: dict[Split, list[int]] = {split: [] for split in SPLITS}

    def add_file(self, read: ReadFile, split: Split, cluster: str) -> None:
        """A file's row and its place in the counts."""
        is_ok = read.status == "ok"
        self._tables[DOCUMENTS].append(document_row(read, split if is_ok else "", cluster))
        self.result.files["ok" if is_ok else f"{read.status}: {read.reason}"] += 1
        self.result.num_bytes += read.file.num_bytes
        if is_ok:
            self.result.redacted.update(dict(read.redacted))
            if read.num_common:
                self.result.common.update(files=1, blocks=read.num_common)
            if read.document is not None and (unread := int(read.document.metadata.get("need_ocr", 0))):
                self.result.scanned.update(files=1, pages=int(read.document.metadata["pages"]), unread=unread)
            self.result.guessed.update([kind] if (kind := told_of_encoding(read.note)) else [])

    def add_record(self, record: Record, split: str, cluster: str) -> None:
        """A line's row; `split` is "" for one that is left out."""
        self._tables[DOCUMENTS].append(record_row(record, split, cluster))

    def add_passages(self, passages: Sequence[Chunk], split: Split) -> None:
        """Passages of the retrieval index."""
        self._tables[PASSAGES] += [passage_row(p, split=split) for p in passages]

    def encode(self, edged: Edged, place: Verbatim | None = None) -> list[Encoded] | str:
        """An example as tokens, or why it is dropped; nothing is added yet."""
        if edged.example.dropped:
            return edged.example.dropped
        encoded = self.encoder.encode(edged.example, ends=edged.ends, place=place)
        if isinstance(encoded, str) or any(label != IGNORED for e in encoded for label in e.labels[1:]):
            return encoded
        return "no target token"

    def add_example(self, edged: Edged, split: Split, made: list[Encoded] | str) -> None:
        """Add what `encode` made, and note how often an epoch shows it: held-out ones once, whatever the weight."""
        example, repeats = edged.example, 0
        encoded, reason = ([], made) if isinstance(made, str) else (made, "")
        if example.origin == "generated":
            self.result.generated[f"{example.recipe}: {example.dropped or 'kept'}"] += 1
        if not example.dropped:
            key = "\0".join((example.recipe, example.chunk_id, example.prompt, example.completion))
            repeats = num_repeats(edged.weight, key, seed=self.job.seed) if split == "train" else 1
            self._count_share(edged, split, encoded, repeats)
            example = replace(example, dropped=reason or ("" if repeats else f"not drawn at weight {edged.weight:g}"))
        if example.dropped:
            self.result.dropped[example.dropped] += 1
            encoded, repeats = [], 0
        self.result.examples[split] += repeats
        self.result.chats[split] += repeats if example.prompt or example.messages else 0
        self.result.truncated += sum(e.is_truncated for e in encoded)
        self.result.shortened += sum(e.is_shortened for e in encoded)
        self._encoded[split] += [(example.chunk_id, e) for e in encoded]
        self._repeats[split] += [repeats] * len(encoded)
        num_tokens = sum(len(e.input_ids) for e in encoded)
        row = example_row(example, split=split, num_tokens=num_tokens, repeats=repeats, span=edged.span)
        self._tables[EXAMPLES].append(row)

    def _count_share(self, edged: Edged, split: Split, encoded: Sequence[Encoded], repeats: int) -> None:
        """Into the mixture's account, with the examples that were not drawn."""
        if split == "train" and encoded:
            self.result.mixture.count(
                edged.part,
                weight=edged.weight,
                repeats=repeats,
                num_tokens=sum(len(e.input_ids) for e in encoded),
                num_target_tokens=sum(len(rest) - rest.count(IGNORED) for e in encoded if (rest := e.labels[1:])),
            )

    def write(self, folder: Path) -> None:
        """All of it, below a folder of the group's own."""
        for table, rows in self._tables.items():
            write_part(folder, table, NUMBER, rows)
        (folder / "shards").mkdir(parents=True, exist_ok=True)
        for split, examples in self._encoded.items():
            self.result.shards += write_shards(
                examples,
                split=split,
                group=NUMBER,
                folder=folder / "shards",
                max_seq_len=self.job.max_seq_len,
                pad_id=self.encoder.pad_id,
                repeats=self._repeats[split],
            )
        (folder / QUESTION_PARTS).mkdir(parents=True, exist_ok=True)
        lines = "".join(json.dumps(as_row(q), ensure_ascii=False) + "\n" for q in self.questions)
        (folder / QUESTION_PARTS / f"{NUMBER:05d}.jsonl").write_text(lines, encoding="utf-8")


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
