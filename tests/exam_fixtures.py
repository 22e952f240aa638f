"""A small training set on disk, as prepare writes it, and an engine whose knowledge is known."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ray_ft.artifacts import TrainingSet, TunedModel
from ray_ft.engines import Engine, GenerateRequest, GenerateResult, LoadedModel, TextDelta, TokenLogprob
from ray_ft.errors import ModelError
from ray_ft.evaluation.exam.retention import read_pack
from ray_ft.rows import Chunk, Question, as_row
from ray_ft.strategies import STRATEGIES

NUM_DOCUMENTS = 24
NATS_PER_BYTE = {"base": 1.5, "tuned": 1.2}
NATS_PER_TOKEN = {"base": 1.0, "tuned": 1.75}
SAID = (11, 12, 13)
"""What the base says to every prompt, in token ids."""


def document_id(i: int) -> str:
    """Even documents were trained on, odd ones are held out."""
    return f"{i:016x}:guide/{i:02d}.md"


def split_of(i: int) -> str:
    return "train" if i % 2 == 0 else "test"


def make_questions() -> list[Question]:
    """Two questions per document, each with one fact that stands in that document alone."""
    return [
        Question(
            id=f"q{i:02d}-{j}",
            document_id=document_id(i),
            chunk_id=f"{document_id(i)}#{j}",
            question=f"What does widget{i:02d}{'ab'[j]} do?",
            reference=fact(i, j),
            key_facts=(fact(i, j),),
            stratum="seen" if split_of(i) == "train" else "held_out",
        )
        for i in range(NUM_DOCUMENTS)
        for j in range(2)
    ]


def fact(i: int, j: int) -> str:
    return f"It turns the crank {100 * i + j} times."


def write_training_set(folder: Path) -> TrainingSet:
    """Write all four inputs of evaluation below `folder`."""
    ids = range(NUM_DOCUMENTS)
    documents = [
        {
            "id": document_id(i), "path": f"guide/{i:02d}.md", "format": "markdown", "split": split_of(i),
            "status": "ok", "reason": "", "num_bytes": 60,
            "text": f"# Widget {i}\n\n{fact(i, 0)} Näheres später. {fact(i, 1)}\n",
        }
        for i in ids
    ]  # fmt: skip
    broken = {**documents[0], "id": "0:x.md", "path": "x.md", "split": "", "status": "skipped", "reason": "not UTF-8"}
    passages = [
        {**as_row(Chunk(
            id=f"{document_id(i)}#{j}", document_id=document_id(i), text=f"widget{i:02d}{'ab'[j]}: {fact(i, j)}",
            num_tokens=9, heading_path=("Widgets", f"Widget {i}"), start=50 * j, end=50 * j + 49,
        )), "split": split_of(i)}
        for i in ids
        for j in range(2)
    ]  # fmt: skip
    examples = [
        {"prompt": "", "completion": "x", "chunk_id": "", "document_id": document_id(i), "recipe": "paragraph",
         "origin": "source", "split": split_of(i)}
        for i in ids if split_of(i) == "train"
    ]  # fmt: skip
    for name, rows in (("documents", [*documents, broken]), ("passages", passages), ("examples", examples)):
        target = folder / f"{name}.parquet"
        target.mkdir(parents=True)
        # Two files in the wrong order: a reader must not rely on it.
        half = len(rows) // 2
        pq.write_table(pa.Table.from_pylist(rows[half:]), target / "a.parquet")
        pq.write_table(pa.Table.from_pylist(rows[:half]), target / "b.parquet")
    lines = [json.dumps(as_row(question)) for question in make_questions()]
    (folder / "questions.jsonl").write_text("\n".join(lines) + "\n")
    counts = {"train": NUM_DOCUMENTS // 2, "test": NUM_DOCUMENTS // 2}
    return TrainingSet(
        path=str(folder), recipes=("paragraph",), num_documents=counts, num_examples=counts, num_rows=counts,
        num_tokens=counts, num_target_tokens=counts, num_questions=2 * NUM_DOCUMENTS, files={"ok": NUM_DOCUMENTS},
        max_seq_len=64, tokenizer_digest="t", template_digest="c", data_digest="d" * 16, fingerprint="f" * 16,
    )  # fmt: skip


def tuned_model(folder: Path, *, is_adapter: bool = True) -> TunedModel:
    """An adapter or a whole model whose weights are a few bytes."""
    for name in ("base", "tuned"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "model.safetensors").write_bytes(name.encode())
    return TunedModel(
        base_model="fake", base_path=str(folder / "base"), base_digest="b" * 16, path=str(folder / "tuned"),
        is_adapter=is_adapter, strategy=STRATEGIES["lora" if is_adapter else "full"](), metrics={}, steps=7,
        fingerprint="e" * 16,
    )  # fmt: skip


@dataclass(frozen=True)
class KnowingEngine(Engine):
    """The tuned model knows the facts of seen documents, and the base those of the retention pack, which tuning cost.

    Every model repeats a fact that it is shown.
    """

    name: str = "knowing"
    refuses: str = ""
    """A refusal to load, for tests of errors."""
    breaks: str = ""
    """An error of nobody's in the middle of answering."""
    max_seq_len: int = 120

    def load(self, model_path: str, adapters: Mapping[str, str], *, chat_template: str | None = None) -> LoadedModel:
        if self.refuses:
            raise ModelError(self.refuses)
        model = KnowingModel(model_path, adapters, self.max_seq_len)
        model.breaks = self.breaks
        return model


class KnowingModel:
    def __init__(self, model_path: str, adapters: Mapping[str, str], max_seq_len: int) -> None:
        self.max_seq_len = max_seq_len
        self.breaks = ""
        self._adapters = set(adapters)
        self._is_tuned = model_path.endswith("tuned")
        self._facts = {question.question: question for question in (*make_questions(), *read_pack())}

    def generate(
        self, requests: list[GenerateRequest], on_result: Callable[[int, GenerateResult], None] | None = None
    ) -> list[GenerateResult]:
        if self.breaks:
            raise ValueError(self.breaks)
        results = []
        for index, request in enumerate(requests):
            results.append(self._answer(request))
            if on_result is not None:
                on_result(index, results[-1])
        return results

    def _answer(self, request: GenerateRequest) -> GenerateResult:
        if request.temperature == 1.0:
            assert request.adapter is None  # it is the base that speaks
            assert not self._is_tuned
            return GenerateResult("", 3, len(SAID), "length", token_ids=SAID)
        assert request.temperature == (0.8 if request.seed else 0.0)  # answers are greedy, samples are drawn
        question = self._facts[
            request.prompt.rsplit("\n\nQuestion: ")[-1].removeprefix("<user>").removesuffix("<assistant>")
        ]
        knows = question.stratum == ("seen" if self._tuned(request.adapter) else "retention")
        shown = question.reference in request.prompt
        text = question.reference if knows or shown else "I <b>guess</b> & hope."
        return GenerateResult(text, self.count_tokens(request.prompt), self.count_tokens(text), "stop")

    def _tuned(self, adapter: str | None) -> bool:
        assert adapter is None or adapter in self._adapters
        return self._is_tuned or adapter is not None

    def prompt_ids(self, prompt: str, *, adapter: str | None = None) -> list[int]:
        return [1, 2]

    def detokenize(self, ids: tuple[int, ...]) -> str:
        return " ".join(map(str, ids))

    def prompt_logprobs(
        self, prompts: list[tuple[int, ...]], *, adapter: str | None, num_logprobs: int
    ) -> list[list[TokenLogprob]]:
        nats = NATS_PER_TOKEN["tuned" if self._tuned(adapter) else "base"]
        assert all(tuple(ids) == (1, 2, *SAID) for ids in prompts)
        return [[TokenLogprob(i, str(i), -nats) for i in ids] for ids in prompts]

    def stream(self, request: GenerateRequest) -> Iterator[TextDelta]:
        raise NotImplementedError

    def apply_chat_template(self, messages: list[dict[str, str]]) -> str:
        return "".join(f"<{message['role']}>{message['content']}" for message in messages) + "<assistant>"

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def negative_log_likelihood(self, texts: list[str], *, adapter: str | None) -> list[float]:
        nats = NATS_PER_BYTE["tuned" if self._tuned(adapter) else "base"]
        return [nats * len(text.encode()) for text in texts]
