"""One group of files, start to end: the two functions that the Ray Data job maps over groups."""

import json
import pickle
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ray_ft.artifacts import to_json
from ray_ft.data.encode import ChatEncoder, Encoded, token_counter
from ray_ft.data.examples import Edged, evaluation_qa, make_examples, make_questions, passages_of
from ray_ft.data.pack import Shard, write_shards
from ray_ft.data.read import ReadFile, SourceFile, read_file
from ray_ft.data.split import Bounds, content_key, position
from ray_ft.data.tables import (
    DOCUMENTS,
    EXAMPLES,
    PASSAGES,
    document_row,
    example_row,
    passage_row,
    write_part,
)
from ray_ft.engines import Engine, GenerateRequest
from ray_ft.errors import GenerationError, RayFTError
from ray_ft.recipes import Recipe
from ray_ft.rows import Chunk, CountTokens, Document, Generate, Question, Split, as_row

QUESTION_PARTS = "questions"  # folder of one JSONL per group, merged at the end
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
MAX_GENERATED_TOKENS = 512


@dataclass(frozen=True)
class GroupJob:
    """Everything a group is made with; travels to the workers."""

    output_path: str
    model_path: str
    chat_template: str | None
    system_prompt: str | None
    max_seq_len: int
    recipes: tuple[Recipe, ...]
    passage_tokens: int
    bounds: Bounds
    seed: int
    seen_fraction: float  # of trained documents that get questions


@dataclass
class GroupResult:
    """What one group became: counts, and the shards it wrote. All of it that reaches the driver."""

    files: Counter[str] = field(default_factory=Counter)
    documents: Counter[str] = field(default_factory=Counter)  # per split
    examples: Counter[str] = field(default_factory=Counter)  # per split
    dropped: Counter[str] = field(default_factory=Counter)  # examples, by reason
    truncated: int = 0
    num_bytes: int = 0
    positions: tuple[float, float] = (1.0, 0.0)  # lowest and highest of the usable documents
    shards: list[Shard] = field(default_factory=list)
    error: str = ""  # a failure that ends the job, as one line

    def to_text(self) -> str:
        """JSON, which passes through Arrow as it is."""
        return json.dumps(to_json(self))

    @staticmethod
    def from_text(text: str) -> "GroupResult":
        """Inverse of `to_text`."""
        raw = json.loads(text)
        for key in ("files", "documents", "examples", "dropped"):
            raw[key] = Counter(raw[key])
        return GroupResult(
            **{**raw, "positions": tuple(raw["positions"]), "shards": [Shard(**s) for s in raw["shards"]]}
        )


def read_group(row: dict[str, Any]) -> dict[str, Any]:
    """Read and parse a group's files. Files that cannot be used are part of the result, never an exception."""
    read = [read_file(SourceFile(**file)) for file in json.loads(row["files"])]
    return {"group": int(row["group"]), "read": pickle.dumps(read)}


def write_group(row: dict[str, Any], *, job: GroupJob) -> dict[str, Any]:
    """Make and write a group without an engine."""
    return {"result": _finish(row, job, None).to_text()}


class GroupWriter:
    """As `write_group`, with an engine that is loaded once for each actor."""

    def __init__(self, job: GroupJob, engine: Engine) -> None:
        self.job = job
        self.error = ""
        try:
            self.generate: Generate | None = _generator(engine, job)
        except RayFTError as error:
            self.error = str(error)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        if self.error:
            return {"result": GroupResult(error=self.error).to_text()}
        return {"result": _finish(row, self.job, self.generate).to_text()}


def _generator(engine: Engine, job: GroupJob) -> Generate:
    """What recipes may ask: questions in the model's chat template, answered greedily."""
    model = engine.load(job.model_path, {}, chat_template=job.chat_template)

    def generate(prompts: list[str]) -> list[str]:
        requests = [
            GenerateRequest(
                prompt=model.apply_chat_template([{"role": "user", "content": prompt}]),
                max_new_tokens=MAX_GENERATED_TOKENS,
            )
            for prompt in prompts
        ]
        return [result.text for result in model.generate(requests)]

    return generate


def _finish(row: dict[str, Any], job: GroupJob, generate: Generate | None) -> GroupResult:
    """Write a group; a full disk or a failing engine ends the job with its own words."""
    read: list[ReadFile] = pickle.loads(row["read"])
    try:
        return _Group(int(row["group"]), job, generate).run(read)
    except OSError as error:
        return GroupResult(error=f"cannot write {error.filename or job.output_path}: {error.strerror}")
    except GenerationError as error:
        return GroupResult(error=str(error))


class _Group:
    """Rows of one group while they are made; written at the end."""

    def __init__(self, number: int, job: GroupJob, generate: Generate | None) -> None:
        self.number = number
        self.job = job
        self.generate = generate
        self.encoder = _encoder(job.model_path, job.chat_template, job.system_prompt, job.max_seq_len)
        self.result = GroupResult()
        self.tables: dict[str, list[dict[str, Any]]] = {DOCUMENTS: [], EXAMPLES: [], PASSAGES: []}
        self.encoded: dict[Split, list[tuple[str, Encoded]]] = {split: [] for split in SPLITS}
        self.questions: list[Question] = []

    def run(self, read: Sequence[ReadFile]) -> GroupResult:
        """Every file through the recipes, then to disk."""
        for file in read:
            file, split = self._process(file)
            self.tables[DOCUMENTS].append(document_row(file, split))
            self.result.files["ok" if file.status == "ok" else f"skipped: {file.reason}"] += 1
            self.result.num_bytes += file.file.num_bytes
        self._write()
        return self.result

    def _process(self, read: ReadFile) -> tuple[ReadFile, str]:
        """Examples, passages and questions of one file; a recipe that fails on it skips the file, not the job."""
        document = read.document
        if document is None:
            return read, ""
        place = position(content_key(document.text), seed=self.job.seed)
        split = self.job.bounds.split(place)
        count_tokens = token_counter(self.encoder)
        try:
            edged = make_examples(document, self.job.recipes, count_tokens, self.generate)
            passages = passages_of(document, self.job.passage_tokens, count_tokens)
            questions = self._questions(document, split, passages, edged, count_tokens)
        except (RayFTError, OSError):
            raise
        except Exception as error:
            return replace(read, status="skipped", reason=f"recipe failed: {type(error).__name__}", note=str(error)), ""
        self.result.documents[split] += 1
        low, high = self.result.positions
        self.result.positions = (min(low, place), max(high, place))
        for one in edged:
            self._encode(one, split)
        self.tables[PASSAGES] += [passage_row(p, split=split) for p in passages]
        self.questions += questions
        return read, split

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

    def _encode(self, edged: Edged, split: Split) -> None:
        example = edged.example
        num_tokens = 0
        if not example.dropped:
            encoded = self.encoder.encode(example, ends=edged.ends)
            if isinstance(encoded, str):
                example = replace(example, dropped=encoded)
            else:
                self.encoded[split] += [(example.chunk_id, e) for e in encoded]
                self.result.truncated += sum(e.is_truncated for e in encoded)
                num_tokens = sum(len(e.input_ids) for e in encoded)
        if example.dropped:
            self.result.dropped[example.dropped] += 1
        else:
            self.result.examples[split] += 1
        self.tables[EXAMPLES].append(example_row(example, split=split, num_tokens=num_tokens))

    def _write(self) -> None:
        folder = Path(self.job.output_path)
        for table, rows in self.tables.items():
            write_part(folder, table, self.number, rows)
        (folder / "shards").mkdir(parents=True, exist_ok=True)
        for split, examples in self.encoded.items():
            self.result.shards += write_shards(
                examples,
                split=split,
                group=self.number,
                folder=folder / "shards",
                max_seq_len=self.job.max_seq_len,
                pad_id=self.encoder.pad_id,
            )
        (folder / QUESTION_PARTS).mkdir(parents=True, exist_ok=True)
        lines = "".join(json.dumps(as_row(q), ensure_ascii=False) + "\n" for q in self.questions)
        (folder / QUESTION_PARTS / f"{self.number:05d}.jsonl").write_text(lines, encoding="utf-8")


@lru_cache(maxsize=2)
def _encoder(model_path: str, chat_template: str | None, system_prompt: str | None, max_seq_len: int) -> ChatEncoder:
    """The tokenizer, loaded once for each worker process."""
    from ray_ft.base_model import load_tokenizer

    tokenizer = load_tokenizer(model_path, chat_template)
    return ChatEncoder(tokenizer, system_prompt=system_prompt, max_seq_len=max_seq_len)
