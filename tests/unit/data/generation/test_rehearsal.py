"""Rehearsal: what the base is asked, that no exam asks it too, and what its answers become."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ray_ft.artifacts import Share
from ray_ft.config import DataConfig, DatasetConfig, RehearsalConfig
from ray_ft.config.keys import REHEARSAL_PROMPTS
from ray_ft.data.build.job import GroupResult
from ray_ft.data.build.mixture import Mixture
from ray_ft.data.generation import rehearsal as module
from ray_ft.data.generation.rehearsal import draw_prompts, read_prompts, rehearse, unanswered
from ray_ft.data.generation.requests import Answerer
from ray_ft.data.generation.response_cache import ResponseCache, as_row
from ray_ft.data.ingest.datasets import cut_into_slices, list_datasets
from ray_ft.data.ingest.parts.rows import read_slice
from ray_ft.data.report.summary import require_examples
from ray_ft.engines import Engine, WriteRequest, Written
from ray_ft.errors import DataError, GenerationError
from ray_ft.evaluation.exam.retention import draw_prompts as generic_prompts
from ray_ft.evaluation.exam.retention import read_pack
from ray_ft.words import split

REPOSITORY = Path(__file__).parents[4]
ANSWERS = {"loop": "a b c d " * 6, "nothing": " \n", "long": " ".join(map(str, range(40)))}
WORDS = SimpleNamespace(system_prompt="Be brief.", count_tokens=lambda text: len(text.split()))
SETTINGS = RehearsalConfig(num_examples=8, max_new_tokens=32)


def runs(text: str, size: int) -> set[tuple[str, ...]]:
    words = split(text)
    return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}


def asked_by_exams() -> list[str]:
    exam = (REPOSITORY / "configs/quickstart/exam.jsonl").read_text(encoding="utf-8").splitlines()
    own = [json.loads(line)["question"] for line in exam]
    return [*(q.question for q in read_pack()), *generic_prompts(1000, seed=0), *own]


def test_there_are_as_many_different_prompts_as_the_configuration_says() -> None:
    prompts = [" ".join(split(prompt)) for _, prompt in read_prompts()]
    assert len(set(prompts)) == len(prompts) == REHEARSAL_PROMPTS
    kinds = Counter(kind for kind, _ in read_prompts())
    assert min(kinds.values()) >= 30
    assert {"fact", "arithmetic", "instruction", "format", "rewrite", "list", "refusal"} <= kinds.keys()


def test_no_exam_asks_what_is_rehearsed() -> None:
    rehearsed = {" ".join(split(prompt)) for _, prompt in read_prompts()}
    assert not rehearsed & {" ".join(split(question)) for question in asked_by_exams()}
    of_exams = set[tuple[str, ...]]().union(*(runs(question, 8) for question in asked_by_exams()))
    assert not [prompt for _, prompt in read_prompts() if runs(prompt, 8) & of_exams]


def test_no_shorter_question_of_an_exam_stands_inside_a_prompt() -> None:
    inside = [f" {' '.join(split(prompt))} " for _, prompt in read_prompts()]
    questions = [f" {' '.join(split(question))} " for question in asked_by_exams() if len(split(question)) > 1]
    assert not [question for question in questions if any(question in prompt for prompt in inside)]


def test_more_prompts_hold_fewer_and_every_kind_has_its_share() -> None:
    few, many = draw_prompts(90, seed=3), draw_prompts(450, seed=3)
    assert set(few) < set(many)
    assert draw_prompts(90, seed=3) == few != draw_prompts(90, seed=4)
    kind_of = {prompt: kind for kind, prompt in read_prompts()}
    all_kinds, drawn = Counter(kind_of.values()), Counter(kind_of[prompt] for prompt in many)
    assert all(abs(drawn[kind] - number / 2) <= 1 for kind, number in all_kinds.items())


class Base(Engine):
    """Says of every prompt what ANSWERS have for its place, until it fails."""

    def __init__(self, fails_after: int = 1000) -> None:
        self.asked, self.fails_after = list[WriteRequest](), fails_after

    def load_writer(self, model_path: str, *, chat_template: str | None = None) -> "Base":  # type: ignore[override]
        return self

    def write(self, requests: list[WriteRequest]) -> Iterator[tuple[int, Written]]:
        for place, request in enumerate(requests):
            if len(self.asked) == self.fails_after:
                raise GenerationError("the machine is gone")
            self.asked.append(request)
            kinds = [*ANSWERS, "refused"]
            kind = kinds[len(self.asked) - 1] if len(self.asked) <= len(kinds) else ""
            yield place, Written("", "too long") if kind == "refused" else Written(ANSWERS.get(kind, " It is so. "))


@pytest.fixture
def without_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask as the Ray job does: what is missing goes to an `Answerer`, in batches."""

    def ask(rows: Any, requests_of: Any, *, answers: ResponseCache, engine: Engine, **loaded: Any) -> ResponseCache:
        answerer = Answerer(answers, engine, model_path=loaded["model_path"])
        wanted = [as_row(request)["request"] for row in rows for request in requests_of(row, answers)]
        for start in range(0, len(wanted), 3):
            for stopped in answerer({"request": wanted[start : start + 3]})["stopped"]:
                if stopped:
                    raise GenerationError(stopped)
        return replace(answers, round=answers.round + 1)

    monkeypatch.setattr(module, "ask_engine", ask)


def rehearsed(folder: Path, engine: Engine, *, run: str = "one", settings: RehearsalConfig = SETTINGS) -> list[Any]:
    """The records that rehearsing gives, as `prepare` reads them."""
    answers = ResponseCache(str(folder / "answers"), "base", run)
    file = rehearse(settings, engine=engine, answers=answers, encoder=WORDS, model_path="/m",  # type: ignore[arg-type]
                    chat_template=None, folder=folder, seed=5)  # fmt: skip
    (part,) = cut_into_slices([file], slice_bytes=2**20)
    return read_slice(part)


@pytest.mark.usefixtures("without_a_cluster")
def test_answers_become_examples_and_what_teaches_nothing_is_left_out_with_its_reason(tmp_path: Path) -> None:
    base = Base()
    records = rehearsed(tmp_path, base)
    assert [r.prompt for r in base.asked] == draw_prompts(8, seed=5)
    assert {(r.system, r.max_new_tokens, r.temperature, r.seed) for r in base.asked} == {("Be brief.", 32, 0.0, 0)}
    examples = [record.examples[0] for record in records]
    assert [e.dropped for e in examples[:4]] == [
        "the base went round in circles", "the base gave no answer", "", "the engine refused"
    ]  # fmt: skip
    assert [e.is_cut for e in examples] == [i == 2 for i in range(8)]  # the third has 40 words in room for 32
    assert {(e.recipe, e.origin) for e in examples} == {("rehearsal", "generated")}
    assert {e.completion for e in examples[4:]} == {"It is so."}
    assert {(r.dataset, r.split, r.weight) for r in records} == {("rehearsal", "train", 1.0)}
    assert records[7].name == "rehearsal/answers.jsonl:8"


@pytest.mark.usefixtures("without_a_cluster")
def test_what_a_killed_run_was_told_is_not_asked_again(tmp_path: Path) -> None:
    first, second, third = Base(fails_after=5), Base(), Base()
    with pytest.raises(GenerationError, match="the machine is gone"):
        rehearsed(tmp_path, first)
    rehearsed(tmp_path, second, run="two")
    # The fourth was refused, which counts for its run only.
    assert [r.prompt for r in second.asked] == [draw_prompts(8, seed=5)[i] for i in (3, 5, 6, 7)]
    rehearsed(tmp_path, third, run="three", settings=replace(SETTINGS, num_examples=6))
    assert third.asked == []


@pytest.mark.usefixtures("without_a_cluster")
def test_a_seed_counts_where_answers_are_drawn_only(tmp_path: Path) -> None:
    base = Base()
    rehearsed(tmp_path, base, settings=replace(SETTINGS, temperature=0.7))
    assert {(r.seed, r.temperature) for r in base.asked} == {(5, 0.7)}


@pytest.mark.usefixtures("without_a_cluster")
def test_a_base_that_only_goes_round_in_circles_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        rehearsed(tmp_path, Base(), settings=replace(SETTINGS, num_examples=2))
    assert "data.rehearsal: none of 2 answers of the base can be trained on" in str(refused.value)
    assert "leave the key out" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_request_travels_with_its_system_prompt(tmp_path: Path) -> None:
    answers = ResponseCache(str(tmp_path), "base", "one")
    asked = [WriteRequest("Why?", system=system) for system in (None, "", "Be brief.")]
    assert len({answers.key(request) for request in asked}) == 3
    assert list(partial(unanswered, asked=asked)({}, answers)) == asked
    assert [len(request.messages) for request in asked] == [1, 2, 2]


def test_requests_without_a_system_prompt_are_found_under_the_keys_of_earlier_versions() -> None:
    # As the version before the field had it.
    before = "677f4b806d24a4b9a8baa8aa3dc78685b3365cd7edbe52ae519d4c91e299a032"
    assert ResponseCache("f", "engine", "one").key(WriteRequest("When?")).hex() == before


def test_a_dataset_of_that_name_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "rehearsal").mkdir()
    (tmp_path / "rehearsal" / "a.jsonl").write_text('{"text": "x"}\n')
    data = DataConfig(datasets=(DatasetConfig(str(tmp_path / "rehearsal")),))
    assert [file.origin.dataset for file in list_datasets(data)] == ["rehearsal"]
    data = replace(data, rehearsal=RehearsalConfig())
    assert [file.origin.dataset for file in list_datasets(data)] == ["rehearsal~2"]


def test_rehearsal_alone_is_nothing_to_train_on() -> None:
    mixture = Mixture({"rehearsal": Share(1.0, 4, 4, 40, 20)})
    total = GroupResult(documents=Counter(train=4), examples=Counter(train=4), formats=Counter(rehearsal=4),
                        files=Counter({"skipped: empty": 2}), mixture=mixture)  # fmt: skip
    with pytest.raises(DataError, match=r"no file of data\.sources can be used: 2 empty"):
        require_examples(total, DataConfig(sources=("docs",)))
    total.documents["train"] += 3
    with pytest.raises(DataError, match="3 documents gave no training example"):
        require_examples(total, DataConfig(sources=("docs",)))
    total.examples["train"] += 1
    require_examples(total, DataConfig(sources=("docs",)))
