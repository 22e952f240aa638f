"""One group of documents through the recipes: what each file and each line of a dataset gives."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

from ray_ft.data.build.examples import (
    Edged,
    evaluation_qa,
    make_examples,
    make_questions,
    passages_of,
    record_questions,
)
from ray_ft.data.build.group_rows import GroupRows
from ray_ft.data.build.job import MAX_NAMED_LINES, GroupJob, Placed
from ray_ft.data.dedup.clusters import Placement
from ray_ft.data.dedup.splits import position
from ray_ft.data.documents import ReadFile, Record
from ray_ft.data.formats.text import parse_text
from ray_ft.data.ingest.kept import load
from ray_ft.data.tokenization.chat import ChatEncoder, TokenCounter, token_counter
from ray_ft.data.tokenization.tokenizer_cache import load_lean
from ray_ft.errors import ConfigError, RayFTError
from ray_ft.models.tokenizer import load_tokenizer
from ray_ft.rows import Chunk, CountTokens, Document, Generate, Question, Split


class Group:
    """The documents of a group, one after another; what they give is in `rows`."""

    def __init__(self, job: GroupJob, generate: Generate | None) -> None:
        self.job = job
        self.generate = generate
        self.encoder = _encoder(
            job.model_path, job.tokenizer_path, job.chat_template, job.system_prompt, job.max_seq_len
        )
        self.rows = GroupRows(job, self.encoder)

    def make(self, group: Sequence[Placed]) -> GroupRows:
        """Every file through the recipes and every line of a dataset as it is."""
        for placed in group:
            documents: Sequence[ReadFile | Record] = load(placed.item, placed.ref)
            for parsed, placement in zip(documents, placed.placements, strict=True):
                if isinstance(parsed, Record):
                    self._take(parsed, placement)
                else:
                    self.rows.add_file(self._process(parsed, placement), placement.split, placement.cluster)
        self.rows.result.num_items = len(group)
        return self.rows

    def ask(self, group: Sequence[Placed]) -> None:
        """Let every recipe ask about every document, each as far as it gets; nothing is made of it yet."""
        for placed in group:
            for parsed, placement in zip(load(placed.item, placed.ref), placed.placements, strict=True):
                if isinstance(parsed, ReadFile):
                    self._ask(parsed, placement)

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
        self.rows.result.documents[split] += 1
        tokens = count_tokens.tokens_of(document.text) if isinstance(count_tokens, TokenCounter) else None
        for one in edged:
            place = tokens.find(one.example.completion.strip(), *one.span) if tokens is not None else None
            self.rows.add_example(one, split, place)
        self.rows.add_passages(passages, split)
        self.rows.questions += questions
        return read

    def _take(self, record: Record, placement: Placement) -> None:
        """The examples of one line of a dataset; the passages and questions that it gives."""
        if placement.reason:
            record = replace(record, reason=placement.reason, note=placement.note)
        self.rows.result.num_bytes += record.num_bytes
        self.rows.result.records[f"skipped: {record.reason}" if record.reason else "ok"] += 1
        if record.reason:
            if len(self.rows.result.bad_lines) < MAX_NAMED_LINES:
                self.rows.result.bad_lines.append(record.problem)
            self.rows.add_record(record, "", placement.cluster)
            return
        self._check_template(record)
        self.rows.result.formats[record.format] += 1
        split = placement.split
        self.rows.result.documents[split] += 1
        if record.note:
            self.rows.result.notes[record.note] += 1
        for example in record.examples:
            self.rows.add_example(Edged(example, ends=True, part=record.dataset, weight=record.weight), split)
        count_tokens = token_counter(self.encoder)
        if record.text:
            blocks = parse_text(record.text).blocks
            document = Document(record.id, record.text, record.name, record.format, blocks=blocks)
            passages = passages_of(document, self.job.passage_tokens, count_tokens)
            self.rows.add_passages(passages, split)
        self.rows.questions += record_questions(
            record,
            split=split,
            system_prompt=self.job.system_prompt,
            max_tokens=self.job.max_seq_len // 2,
            count_tokens=count_tokens,
        )
        self.rows.add_record(record, split, placement.cluster)

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

    def _ask(self, read: ReadFile, placement: Placement) -> None:
        document = read.document
        if document is None or placement.reason:
            return
        count_tokens = token_counter(self.encoder)
        for recipe in self.job.recipes:
            with suppress(Exception):  # not answered yet, or a bug that writing will report
                make_examples(document, [recipe], count_tokens, self.generate)
        with suppress(Exception):
            self._questions(document, placement.split, [], [], count_tokens)


@lru_cache(maxsize=2)
def _encoder(
    model_path: str, lean_path: str | None, chat_template: str | None, system_prompt: str | None, max_seq_len: int
) -> ChatEncoder:
    """The tokenizer, loaded once for each worker process."""
    tokenizer = load_lean(lean_path) if lean_path else load_tokenizer(model_path, chat_template)
    return ChatEncoder(tokenizer, system_prompt=system_prompt, max_seq_len=max_seq_len)
