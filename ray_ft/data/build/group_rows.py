"""The rows of one group while they are made: its tables, encoded examples and questions, written at the end."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray_ft.data.build.examples import Edged
from ray_ft.data.build.job import NUMBER, QUESTION_PARTS, GroupJob, GroupResult
from ray_ft.data.build.mixture import num_repeats
from ray_ft.data.build.packing import write_shards
from ray_ft.data.documents import ReadFile, Record
from ray_ft.data.filters.apply import CleanFile
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
from ray_ft.rows import Chunk, Question, Split, as_row


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
        if is_ok and isinstance(read, CleanFile):
            self.result.redacted.update(dict(read.redacted))

    def add_record(self, record: Record, split: str, cluster: str) -> None:
        """A line's row; `split` is "" for one that is left out."""
        self._tables[DOCUMENTS].append(record_row(record, split, cluster))

    def add_passages(self, passages: Sequence[Chunk], split: Split) -> None:
        """Passages of the retrieval index."""
        self._tables[PASSAGES] += [passage_row(p, split=split) for p in passages]

    def add_example(self, edged: Edged, split: Split, place: Verbatim | None = None) -> None:
        """Tokenise an example and note how often an epoch shows it; held-out ones count once, whatever the weight."""
        example, encoded, repeats = edged.example, list[Encoded](), 0
        if example.origin == "generated":
            self.result.generated[f"{example.recipe}: {example.dropped or 'kept'}"] += 1
        if not example.dropped:
            made = self.encoder.encode(example, ends=edged.ends, place=place)
            encoded, reason = ([], made) if isinstance(made, str) else (made, "")
            key = "\0".join((example.recipe, example.chunk_id, example.prompt, example.completion))
            repeats = num_repeats(edged.weight, key, seed=self.job.seed) if split == "train" else 1
            if not reason and not any(label != IGNORED for e in encoded for label in e.labels[1:]):
                reason = "no target token"
            self._count_share(edged, split, [] if reason else encoded, repeats)
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
