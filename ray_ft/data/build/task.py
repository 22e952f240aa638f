"""One group of parsed files, to the end: the function that the second Ray Data job maps over groups.

A group is written into a folder of its own, named by all that it is made of, which appears whole or not at all: what an
earlier run wrote of equal groups is taken as it is.
"""

import json
import pickle
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ray_ft.data.build.examples import (
    Edged,
    evaluation_qa,
    make_examples,
    make_questions,
    passages_of,
    record_questions,
)
from ray_ft.data.build.job import GroupJob, GroupResult
from ray_ft.data.build.mixture import num_copies
from ray_ft.data.build.packing import write_shards
from ray_ft.data.build.schemas import (
    DOCUMENTS,
    EXAMPLES,
    PASSAGES,
    document_row,
    example_row,
    passage_row,
    record_row,
    write_part,
)
from ray_ft.data.dedup.clusters import Placement
from ray_ft.data.dedup.splits import position
from ray_ft.data.filters.apply import CleanFile
from ray_ft.data.formats.text import parse_text
from ray_ft.data.generation.response_cache import Answered
from ray_ft.data.generation.response_cache import as_row as as_request_row
from ray_ft.data.ingest.listing import ReadFile
from ray_ft.data.ingest.records import Record
from ray_ft.data.ingest.task import Item, load
from ray_ft.data.run.journal import Ref
from ray_ft.data.tokenization.chat import IGNORED, ChatEncoder, Encoded, TokenCounter, token_counter
from ray_ft.data.tokenization.document_tokens import Verbatim
from ray_ft.data.tokenization.tokenizer_cache import load_lean
from ray_ft.errors import ConfigError, GenerationError, RayFTError
from ray_ft.rows import Chunk, CountTokens, Document, Generate, Question, Split, as_row

QUESTION_PARTS = "questions"  # folder of one JSONL per group, merged at the end
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
MAX_NAMED_LINES = 5
RESULT = "result.json"
NUMBER = 0  # of every group in its own folder; publishing gives them their places


@dataclass(frozen=True)
class Placed:
    """An item of a group: where its parsed documents lie, and what becomes of each."""

    item: Item
    ref: Ref | None
    placements: tuple[Placement, ...]


def write_group(row: dict[str, Any], *, job: GroupJob) -> dict[str, Any]:
    """Make and write a group; where recipes may ask an engine, it has answered."""
    return {"result": _finish(row, job, Answered(job.answers) if job.answers is not None else None).to_text()}


def requests_of(row: dict[str, Any], *, job: GroupJob) -> Iterator[dict[str, str]]:
    """What the recipes want to ask about a group's documents and no engine has answered yet."""
    assert job.answers is not None
    engine = Answered(job.answers)
    group = _Group(Path(job.output_path), job, engine)
    for placed in pickle.loads(row["work"]):
        for parsed, placement in zip(load(placed.item, placed.ref), placed.placements, strict=True):
            if isinstance(parsed, ReadFile):
                group.ask(parsed, placement)
    yield from map(as_request_row, engine.missing.values())


def _finish(row: dict[str, Any], job: GroupJob, generate: Generate | None) -> GroupResult:
    """Write a group, unless it is there; a full disk or a failing engine ends the job with its own words."""
    placed: list[Placed] = pickle.loads(row["work"])
    folder = Path(job.output_path) / str(row["name"])
    if (folder / RESULT).is_file():  # its task is run again because the machine that held its answer is gone
        return GroupResult.from_text((folder / RESULT).read_text(encoding="utf-8"))
    partial = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        result = _Group(partial, job, generate).run(placed)
        (partial / RESULT).write_text(result.to_text() + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)  # half of a removal
        partial.rename(folder)
        return result
    except OSError as error:
        return GroupResult(error=f"cannot write {error.filename or job.output_path}: {error.strerror}")
    except (GenerationError, ConfigError) as error:
        return GroupResult(error=str(error))
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class _Group:
    """Rows of one group while they are made; written at the end."""

    def __init__(self, folder: Path, job: GroupJob, generate: Generate | None) -> None:
        self.folder = folder
        self.job = job
        self.generate = generate
        self.encoder = _encoder(
            job.model_path, job.tokenizer_path, job.chat_template, job.system_prompt, job.max_seq_len
        )
        self.result = GroupResult()
        self.tables: dict[str, list[dict[str, Any]]] = {DOCUMENTS: [], EXAMPLES: [], PASSAGES: []}
        self.encoded: dict[Split, list[tuple[str, Encoded]]] = {split: [] for split in SPLITS}
        self.copies: dict[Split, list[int]] = {split: [] for split in SPLITS}
        self.questions: list[Question] = []

    def run(self, group: Sequence[Placed]) -> GroupResult:
        """Every file through the recipes and every line of a dataset as it is, then to disk."""
        for placed in group:
            documents: Sequence[ReadFile | Record] = load(placed.item, placed.ref)
            for parsed, placement in zip(documents, placed.placements, strict=True):
                if isinstance(parsed, Record):
                    self._take(parsed, placement)
                else:
                    self._account(self._process(parsed, placement), placement)
        self.result.num_items = len(group)
        self._write()
        return self.result

    def _account(self, read: ReadFile, placement: Placement) -> None:
        """A file's row and its place in the counts."""
        is_ok = read.status == "ok"
        split, cluster = (placement.split, placement.cluster) if is_ok else ("", placement.cluster)
        self.tables[DOCUMENTS].append(document_row(read, split, cluster))
        self.result.files["ok" if is_ok else f"{read.status}: {read.reason}"] += 1
        self.result.num_bytes += read.file.num_bytes
        if is_ok and isinstance(read, CleanFile):
            self.result.redacted.update(dict(read.redacted))

    def _process(self, read: ReadFile, placement: Placement) -> ReadFile:
        """Examples, passages and questions of one file; a recipe that fails on it skips the file, not the job."""
        document, split = read.document, placement.split
        if document is None:
            return read
        if placement.reason:
            return replace(read, status="skipped", reason=placement.reason, note=placement.note, document=None)
        count_tokens = token_counter(self.encoder)
        try:
            edged = make_examples(document, self.job.recipes, count_tokens, self.generate)
            passages = passages_of(document, self.job.passage_tokens, count_tokens)
            questions = self._questions(document, split, passages, edged, count_tokens)
        except (RayFTError, OSError):
            raise
        except Exception as error:
            return replace(read, status="skipped", reason=f"recipe failed: {type(error).__name__}", note=str(error))
        self.result.documents[split] += 1
        tokens = count_tokens.tokens_of(document.text) if isinstance(count_tokens, TokenCounter) else None
        for one in edged:
            place = tokens.find(one.example.completion.strip(), *one.span) if tokens is not None else None
            self._encode(one, split, place)
        self.tables[PASSAGES] += [passage_row(p, split=split) for p in passages]
        self.questions += questions
        return read

    def ask(self, read: ReadFile, placement: Placement) -> None:
        """Let every recipe ask about a document, each as far as it gets; nothing is made of it yet."""
        document = read.document
        if document is None or placement.reason:
            return
        count_tokens = token_counter(self.encoder)
        for recipe in self.job.recipes:
            with suppress(Exception):  # not answered yet, or a bug that writing will report
                make_examples(document, [recipe], count_tokens, self.generate)
        with suppress(Exception):
            self._questions(document, placement.split, [], [], count_tokens)

    def _take(self, record: Record, placement: Placement) -> None:
        """The examples of one line of a dataset; the passages and questions that it gives."""
        if placement.reason:
            record = replace(record, reason=placement.reason, note=placement.note)
        self.result.num_bytes += record.num_bytes
        self.result.records[f"skipped: {record.reason}" if record.reason else "ok"] += 1
        if record.reason:
            if len(self.result.bad_lines) < MAX_NAMED_LINES:
                self.result.bad_lines.append(record.problem)
            self.tables[DOCUMENTS].append(record_row(record, "", placement.cluster))
            return
        self._check_template(record)
        self.result.formats[record.format] += 1
        split = placement.split
        self.result.documents[split] += 1
        if record.note:
            self.result.notes[record.note] += 1
        for example in record.examples:
            self._encode(Edged(example, ends=True, part=record.dataset, weight=record.weight), split)
        count_tokens = token_counter(self.encoder)
        if record.text:
            blocks = parse_text(record.text).blocks
            document = Document(record.id, record.text, record.name, record.format, blocks=blocks)
            passages = passages_of(document, self.job.passage_tokens, count_tokens)
            self.tables[PASSAGES] += [passage_row(p, split=split) for p in passages]
        self.questions += record_questions(
            record,
            split=split,
            system_prompt=self.job.system_prompt,
            max_tokens=self.job.max_seq_len // 2,
            count_tokens=count_tokens,
        )
        self.tables[DOCUMENTS].append(record_row(record, split, placement.cluster))

    def _check_template(self, record: Record) -> None:
        """Raise ConfigError at the first line that the chat template cannot be used for, whatever the line says."""
        if record.text:
            return
        several = any(sum(m.trained for m in e.messages) > 1 for e in record.examples)
        if problem := self.job.chat_problem or (self.job.multi_turn_problem if several else ""):
            raise ConfigError(f"{record.name}: {problem}")

    def _questions(
        self, document: Document, split: Split, passages: list[Chunk], edged: list[Edged], count_tokens: CountTokens
    ) -> list[Question]:
        """Questions for all test documents and, of trained ones, for the drawn share."""
        lot = position(f"questions:{document.id}", seed=self.job.seed)
        if split == "validation" or (split == "train" and lot >= self.job.seen_fraction):
            return []
        return make_questions(
            document,
            split=split,
            passages=passages,
            examples=edged,
            qa=evaluation_qa(self.job.recipes, self.job.passage_tokens),
            count_tokens=count_tokens,
            generate=self.generate,
        )

    def _encode(self, edged: Edged, split: Split, place: Verbatim | None = None) -> None:
        """Tokenise an example and note how often an epoch shows it; held-out ones count once, whatever the weight."""
        example, encoded, copies = edged.example, list[Encoded](), 0
        if example.origin == "generated":
            self.result.generated[f"{example.recipe}: {example.dropped or 'kept'}"] += 1
        if not example.dropped:
            made = self.encoder.encode(example, ends=edged.ends, place=place)
            encoded, reason = ([], made) if isinstance(made, str) else (made, "")
            key = "\0".join((example.recipe, example.chunk_id, example.prompt, example.completion))
            copies = num_copies(edged.weight, key, seed=self.job.seed) if split == "train" else 1
            if not reason and not any(label != IGNORED for e in encoded for label in e.labels[1:]):
                reason = "no target token"
            self._count_share(edged, split, [] if reason else encoded, copies)
            example = replace(example, dropped=reason or ("" if copies else f"not drawn at weight {edged.weight:g}"))
        if example.dropped:
            self.result.dropped[example.dropped] += 1
            encoded, copies = [], 0
        self.result.examples[split] += copies
        self.result.chats[split] += copies if example.prompt or example.messages else 0
        self.result.truncated += sum(e.is_truncated for e in encoded)
        self.result.shortened += sum(e.is_shortened for e in encoded)
        self.encoded[split] += [(example.chunk_id, e) for e in encoded]
        self.copies[split] += [copies] * len(encoded)
        num_tokens = sum(len(e.input_ids) for e in encoded)
        row = example_row(example, split=split, num_tokens=num_tokens, copies=copies, span=edged.span)
        self.tables[EXAMPLES].append(row)

    def _count_share(self, edged: Edged, split: Split, encoded: Sequence[Encoded], copies: int) -> None:
        """Into the mixture's account, with the examples that were not drawn."""
        if split == "train" and encoded:
            self.result.mixture.count(
                edged.part,
                weight=edged.weight,
                copies=copies,
                num_tokens=sum(len(e.input_ids) for e in encoded),
                num_target_tokens=sum(len(rest) - rest.count(IGNORED) for e in encoded if (rest := e.labels[1:])),
            )

    def _write(self) -> None:
        folder = self.folder
        for table, rows in self.tables.items():
            write_part(folder, table, NUMBER, rows)
        (folder / "shards").mkdir(parents=True, exist_ok=True)
        for split, examples in self.encoded.items():
            self.result.shards += write_shards(
                examples,
                split=split,
                group=NUMBER,
                folder=folder / "shards",
                max_seq_len=self.job.max_seq_len,
                pad_id=self.encoder.pad_id,
                copies=self.copies[split],
            )
        (folder / QUESTION_PARTS).mkdir(parents=True, exist_ok=True)
        lines = "".join(json.dumps(as_row(q), ensure_ascii=False) + "\n" for q in self.questions)
        (folder / QUESTION_PARTS / f"{NUMBER:05d}.jsonl").write_text(lines, encoding="utf-8")


@lru_cache(maxsize=2)
def _encoder(
    model_path: str, lean_path: str | None, chat_template: str | None, system_prompt: str | None, max_seq_len: int
) -> ChatEncoder:
    """The tokenizer, loaded once for each worker process."""
    from ray_ft.models.tokenizer import load_tokenizer

    tokenizer = load_lean(lean_path) if lean_path else load_tokenizer(model_path, chat_template)
    return ChatEncoder(tokenizer, system_prompt=system_prompt, max_seq_len=max_seq_len)
