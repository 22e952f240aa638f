"""The last step of prepare: groups of documents become examples and rows, each written once.

A group is written into a folder of its own, named by all that it is made of, which appears whole or not at all: what an
earlier run wrote of equal groups is taken as it is.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from ray_ft import progress
from ray_ft.data.build.finished import groups_at, published_shard
from ray_ft.data.build.job import MAX_NAMED_LINES, GroupJob, GroupResult, Placed
from ray_ft.data.build.packing import Edged, GroupRows
from ray_ft.data.build.plan import Groups
from ray_ft.data.build.questions import make_questions, record_questions
from ray_ft.data.build.repeats import within_share, without_common, without_repeated
from ray_ft.data.dedup.placements import Placement
from ray_ft.data.dedup.splits import position
from ray_ft.data.documents import ReadFile, Record
from ray_ft.data.formats.text import parse_plain
from ray_ft.data.generation.requests import ask_engine
from ray_ft.data.generation.response_cache import Answered, ResponseCache
from ray_ft.data.ingest.stage import load
from ray_ft.data.run.budget import OutOfTime, budget, budgets_in_turn, renew
from ray_ft.data.run.journal import packed_body
from ray_ft.data.run.progress import Counts
from ray_ft.data.run.tasks import run_tasks, written
from ray_ft.data.run.typed import dump
from ray_ft.data.run.typed import load as load_typed
from ray_ft.data.tokenization.chat import ChatEncoder, TokenCounter, token_counter
from ray_ft.data.tokenization.encoded import Encoded
from ray_ft.data.tokenization.tokenizer_cache import load_lean
from ray_ft.engines import Engine, WriteRequest
from ray_ft.errors import ConfigError, DataError, GenerationError, RayFTError, StorageError
from ray_ft.models.tokenizer import load_tokenizer
from ray_ft.recipes import Recipe
from ray_ft.recipes.chunking.chunks import make_passages
from ray_ft.rows import Chunk, CountTokens, Document, Generate, Question, Split
from ray_ft.storage import in_parallel, is_uri

log = logging.getLogger("ray_ft")

READ_AHEAD = 8  # requests for documents that are under way, where these lie in storage


def write_groups(groups: Groups, job: GroupJob, generator: Engine | None) -> GroupResult:
    """Write the groups that no earlier run finished; returns the sum of all."""
    finished, scratch = groups_at(job.output_path), groups.work.shared.tasks
    finished.prepare()
    sizes = groups.sizes()
    whole = finished.whole(groups.names)
    left = [i for i, name in enumerate(groups.names) if name not in whole]
    # The largest first: no long task is left for the end, when most processors have nothing to do.
    left.sort(key=lambda i: -sizes[i])

    def rows() -> Iterator[dict[str, Any]]:
        return ({"name": groups.names[i], "work": dump(groups.placed(i))} for i in left)

    if left:
        if generator is not None:
            assert job.answers is not None
            with written(rows(), scratch) as places:
                answers = ask_engine(
                    places,
                    partial(requests_of, job=job),
                    answers=job.answers,
                    engine=generator,
                    model_path=job.model_path,
                    chat_template=job.chat_template,
                )
            job = replace(job, answers=answers)
        with progress.task("write", "files", sum(len(groups.members[i]) for i in left)) as task:
            counts = Counts(task, num_bytes=sum(sizes[i] for i in left))
            for result in map(GroupResult.from_text, run_tasks(rows(), write_group, job, folder=scratch)):
                if result.error:
                    raise DataError(f"prepare stopped: {result.error}")
                counts.add(result.num_items, result.num_bytes, result.files + result.records)
    total = GroupResult()
    for number, one in enumerate(finished.results(groups.names)):
        total.add(replace(one, shards=[published_shard(shard, number) for shard in one.shards]))
    return total


# --- one task ---------------------------------------------------------------------------------------------------------


def write_group(row: dict[str, Any], *, job: GroupJob) -> dict[str, Any]:
    """Make and write a group; where recipes may ask an engine, it has answered."""
    return {"result": _finish(row, job, Answered(job.answers) if job.answers is not None else None).to_text()}


def requests_of(row: dict[str, Any], answers: ResponseCache, *, job: GroupJob) -> Collection[WriteRequest]:
    """What the recipes want to ask about a group's documents and no engine has answered yet."""
    engine = Answered(answers)
    with budgets_in_turn():
        Group(job, engine).ask(load_typed(list[Placed], row["work"]))
    return engine.missing.values()


def _finish(row: dict[str, Any], job: GroupJob, generate: Generate | None) -> GroupResult:
    """Write a group, unless it is there; a full disk or a failing engine ends the job with its own words."""
    placed = load_typed(list[Placed], row["work"])
    name, finished = str(row["name"]), groups_at(job.output_path)
    try:
        # Its task is run again where the machine that held its answer is gone.
        if (before := finished.result(name)) is not None:
            return before
        with budgets_in_turn():
            rows = Group(job, generate).make(placed)
        finished.put(name, rows)
        return rows.result
    except OSError as error:
        return GroupResult(error=f"cannot write {error.filename or job.output_path}: {error.strerror}")
    except (GenerationError, ConfigError, DataError, StorageError) as error:
        return GroupResult(error=str(error))


# --- one group --------------------------------------------------------------------------------------------------------


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
        for placed, documents in loaded(group):
            with self._budget():
                for parsed, placement in zip(documents, placed.placements, strict=True):
                    self._make_one(parsed, placement)
        self.rows.result.num_items = len(group)
        return self.rows

    def _make_one(self, parsed: ReadFile | Record, placement: Placement) -> None:
        renew()
        if isinstance(parsed, Record):
            self._take(parsed, placement)
        else:
            self.rows.add_file(self._process(parsed, placement), placement.split, placement.cluster)

    def _budget(self) -> AbstractContextManager[None]:
        return budget(self.job.limits.seconds, self.job.limits.memory_bytes)

    def ask(self, group: Sequence[Placed]) -> None:
        """Let every recipe ask about every document, each as far as it gets; nothing is made of it yet."""
        for placed, documents in loaded(group):
            for parsed, placement in zip(documents, placed.placements, strict=True):
                if isinstance(parsed, ReadFile):
                    self._ask(parsed, placement)

    def _process(self, read: ReadFile, placement: Placement) -> ReadFile:
        """Examples, passages and questions of one file; a recipe that fails on it skips the file, not the job."""
        read = without_common(read, placement.common)
        document, split = read.document, placement.split
        if document is None:
            return read
        if placement.reason:
            return replace(read, status="skipped", reason=placement.reason, note=placement.note, document=None)
        count_tokens, took_long = token_counter(self.encoder), "recipe took too long"
        try:
            edged = make_examples(document, self.job.recipes, count_tokens, self.generate)
            if self.job.drops_repeats:
                edged = without_repeated(edged, document, placement.repeated)
            edged = within_share(edged, placement.kept)
            renew()
            passages = self._passages(document, count_tokens)
            questions = self._questions(document, split, passages, edged, count_tokens)
            took_long = "tokenising took too long"
            made = self._encode(edged, document, count_tokens)
        except (RayFTError, OSError):
            raise
        except OutOfTime:
            renew(at_once=True)
            return replace(read, status="skipped", reason=took_long)
        except Exception as error:
            return replace(read, status="skipped", reason=f"recipe failed: {type(error).__name__}", note=str(error))
        self.rows.result.documents[split] += 1
        for one, encoded in zip(edged, made, strict=True):
            self.rows.add_example(one, split, encoded)
        self.rows.add_passages(passages, split)
        self.rows.questions += questions
        return read

    def _encode(
        self, edged: Sequence[Edged], document: Document, count_tokens: CountTokens
    ) -> list[list[Encoded] | str]:
        """All examples of a document as tokens, before the first is added: one whose time is over adds none."""
        tokens = count_tokens.tokens_of(document.text) if isinstance(count_tokens, TokenCounter) else None
        made = []
        for one in edged:
            renew()  # a long document is no endless one
            place = tokens.find(one.example.completion.strip(), *one.span) if tokens is not None else None
            made.append(self.rows.encode(one, place))
        return made

    def _take(self, record: Record, placement: Placement) -> None:
        """The examples of one line of a dataset; the passages and questions that it gives."""
        count_tokens = token_counter(self.encoder)
        if placement.reason:
            record = replace(record, reason=placement.reason, note=placement.note)
        passages: list[Chunk] = []
        questions: list[Question] = []
        made: list[tuple[Edged, list[Encoded] | str]] = []
        if not record.reason:
            self._check_template(record)
        try:
            if record.text and not record.reason:
                blocks = parse_plain(record.text).blocks
                document = Document(record.id, record.text, record.name, record.format, blocks=blocks)
                passages = self._passages(document, count_tokens)
            if not record.reason:
                for example in record.examples:
                    renew()
                    one = Edged(example, ends=True, part=record.dataset, weight=record.weight)
                    made.append((one, self.rows.encode(one)))
                questions = record_questions(
                    record,
                    split=placement.split,
                    system_prompt=self.job.system_prompt,
                    max_tokens=self.job.max_seq_len // 2,
                    count_tokens=count_tokens,
                )
        except OutOfTime:
            renew(at_once=True)
            record = replace(record, reason="took too long")
        self.rows.result.num_bytes += record.num_bytes
        self.rows.result.records[f"skipped: {record.reason}" if record.reason else "ok"] += 1
        if record.reason:
            if len(self.rows.result.bad_lines) < MAX_NAMED_LINES:
                self.rows.result.bad_lines.append(record.problem)
            self.rows.add_record(record, "", placement.cluster)
            return
        self.rows.result.formats[record.format] += 1
        split = placement.split
        self.rows.result.documents[split] += 1
        if record.note:
            self.rows.result.notes[record.note] += 1
        for one, encoded in made:
            self.rows.add_example(one, split, encoded)
        if record.text:
            self.rows.add_passages(passages, split)
        self.rows.questions += questions
        self.rows.add_record(record, split, placement.cluster)

    def _check_template(self, record: Record) -> None:
        """Raise ConfigError at the first line that the chat template cannot be used for, whatever the line says."""
        if record.text:
            return
        several = any(sum(m.trained for m in e.messages) > 1 for e in record.examples)
        if problem := self.job.chat_problem or (self.job.multi_turn_problem if several else ""):
            raise ConfigError(f"{record.name}: {problem}")

    def _passages(self, document: Document, count_tokens: CountTokens) -> list[Chunk]:
        """The retrieval index's passages: the whole document, in order."""
        limit = self.job.passage_tokens
        return make_passages(document, recipe="passage", max_tokens=limit, count_tokens=count_tokens)

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
            prompts=[one.example.prompt for one in edged],
            recipes=self.job.recipes,
            max_tokens=self.job.passage_tokens,
            count_tokens=count_tokens,
            generate=self.generate,
        )

    def _ask(self, read: ReadFile, placement: Placement) -> None:
        document = without_common(read, placement.common).document
        if document is None or placement.reason:
            return
        count_tokens = token_counter(self.encoder)
        for recipe in self.job.recipes:
            with suppress(Exception, OutOfTime), self._budget():  # not answered yet, or what writing will report
                make_examples(document, [recipe], count_tokens, self.generate)
        with suppress(Exception, OutOfTime), self._budget():
            self._questions(document, placement.split, [], [], count_tokens)


def loaded(group: Sequence[Placed]) -> Iterator[tuple[Placed, Sequence[ReadFile | Record]]]:
    """The members of a group with their documents; what takes a request each is read some members ahead."""
    if not any(placed.ref is not None and is_uri(placed.ref.journal) for placed in group):
        for placed in group:
            yield placed, load(placed.item, placed.ref)
        return
    refs = [placed.ref for placed in group]
    ahead = in_parallel(lambda ref: packed_body(ref) if ref is not None else None, refs, threads=READ_AHEAD)
    for placed, packed in zip(group, ahead, strict=True):
        yield placed, load(placed.item, placed.ref, packed)


def make_examples(
    document: Document, recipes: Sequence[Recipe], count_tokens: CountTokens, generate: Generate | None
) -> list[Edged]:
    """Examples of every recipe that takes this document, in the recipes' order."""
    made: list[Edged] = []
    for recipe in recipes:
        renew()  # each has the whole time
        if recipe.applies_to(document):
            chunks = recipe.chunk(document, count_tokens)
            examples = recipe.examples(chunks, generate) if chunks else []
            spans = {c.id: (c.start, c.end) for c in chunks}
            last = len(examples) - 1
            made += [
                Edged(e, i == last, recipe.name, recipe.weight, spans.get(e.chunk_id, (0, 0)))
                for i, e in enumerate(examples)
            ]
    return made


@lru_cache(maxsize=2)
def _encoder(
    model_path: str, lean_path: str | None, chat_template: str | None, system_prompt: str | None, max_seq_len: int
) -> ChatEncoder:
    """The tokenizer, loaded once for each worker process."""
    tokenizer = load_lean(lean_path) if lean_path else load_tokenizer(model_path, chat_template)
    return ChatEncoder(tokenizer, system_prompt=system_prompt, max_seq_len=max_seq_len)
