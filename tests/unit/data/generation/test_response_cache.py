"""Answers of engines: asked for once, kept one by one, and found again by what was asked."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ray_ft.data.build import stage as group_module
from ray_ft.data.build.job import GroupJob, GroupResult, Placed
from ray_ft.data.build.stage import requests_of, write_group
from ray_ft.data.dedup.placements import Placement
from ray_ft.data.documents import ReadFile, SourceFile
from ray_ft.data.generation.requests import Answerer
from ray_ft.data.generation.response_cache import (
    Answered,
    NotAnswered,
    ResponseCache,
    as_row,
    find_responses,
    from_rows,
)
from ray_ft.data.report.summary import _kept_rates
from ray_ft.data.run.journal import Journal
from ray_ft.data.run.typed import dump
from ray_ft.engines import Engine, Writer, WriteRequest, Written
from ray_ft.errors import GenerationError, ModelError
from ray_ft.recipes import QA, Query
from ray_ft.recipes.questions.written import pairs_form
from ray_ft.rows import Block, Document

TEXT = "The ferry leaves every 40 minutes from NorthPort and carries 120 cars."


def _at(folder: Path, run: str = "one", **others: Any) -> ResponseCache:
    return ResponseCache(str(folder), "engine", run, **others)


def _keep(at: ResponseCache, *pairs: tuple[str, Written]) -> None:
    with Journal(Path(at.folder), "answers") as journal:
        for prompt, written in pairs:
            at.keep(journal, WriteRequest(prompt), written)


def test_what_was_answered_is_known_and_what_was_not_is_noted(tmp_path: Path) -> None:
    at = _at(tmp_path)
    _keep(at, ("When?", Written("At noon.")))
    engine = Answered(at)
    assert engine(["When?"]) == ["At noon."]
    with pytest.raises(NotAnswered):
        engine(["When?", "Where?", "Where?"])
    assert [r.prompt for r in engine.missing.values()] == ["Where?"]


def test_another_engine_another_schema_and_another_length_are_other_requests(tmp_path: Path) -> None:
    at = _at(tmp_path)
    requests = [WriteRequest("When?"), WriteRequest("When?", schema="{}"), WriteRequest("When?", max_new_tokens=9)]
    keys = {at.key(r) for r in requests} | {replace(at, identity="other").key(requests[0])}
    assert len(keys) == 4
    assert at.key(requests[0]) == replace(at, run="two", round=3).key(requests[0])


def test_bounds_on_lengths_and_more_room_do_not_ask_again(tmp_path: Path) -> None:
    at = _at(tmp_path)
    before = '{"properties": {"pairs": {"type": "array", "items": {"type": "string"}}}}'
    now = '{"properties": {"pairs": {"type": "array", "items": {"type": "string", "maxLength": 9}, "maxItems": 3}}}'
    assert at.key(WriteRequest("When?", before)) == at.key(WriteRequest("When?", now, max_new_tokens=720))
    made = replace(at).key(WriteRequest("When?", pairs_form(3, 2)["schema"]))
    assert made == at.key(WriteRequest("When?", pairs_form(5, 9)["schema"]))


def test_a_refusal_counts_for_its_run_and_is_asked_again_in_the_next(tmp_path: Path) -> None:
    _keep(_at(tmp_path), ("When?", Written("", "too long")))
    assert Answered(_at(tmp_path))(["When?"]) == [""]
    with pytest.raises(NotAnswered):
        Answered(_at(tmp_path, run="two"))(["When?"])


def test_an_answer_that_a_kill_cut_in_half_is_as_if_it_had_not_come(tmp_path: Path) -> None:
    at = _at(tmp_path)
    _keep(at, ("When?", Written("At noon.")), ("Where?", Written("Here.")))
    (journal,) = tmp_path.glob("*.log")
    journal.write_bytes(journal.read_bytes()[:-3])
    assert len(find_responses(replace(at, round=1))) == 1


def test_a_request_travels_as_json_and_equal_ones_are_asked_once() -> None:
    request = WriteRequest("Ünï", schema='{"type": "object"}')
    assert from_rows([as_row(request)["request"]] * 2) == [request]


@dataclass(frozen=True)
class ScriptedEngine(Engine):
    """Answers every request about a passage with the same pair, until it fails."""

    name: str = "scripted"
    fails_after: int = 1000
    loads: bool = True
    asked: list[str] = field(default_factory=list)

    def load_writer(self, model_path: str, *, chat_template: str | None = None) -> Writer:
        if not self.loads:
            raise ModelError("no weights in /model")
        return self

    def write(self, requests: Sequence[WriteRequest]) -> Iterator[tuple[int, Written]]:
        for place, request in enumerate(requests):
            if len(self.asked) == self.fails_after:
                raise GenerationError("the engine is out of ideas")
            self.asked.append(request.prompt)
            pair = {"question": "How often does the ferry leave?", "answer": "every 40 minutes"}
            answers = {"pairs": [pair], "questions": ["What is known of the ferry?"], "supported": True}
            yield place, Written(json.dumps(answers))


class WordEncoder:
    pad_id = 0

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def encode(self, example: Any, *, ends: bool, place: Any = None) -> str:
        return "not encoded"


@pytest.fixture(autouse=True)
def _words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_module, "_encoder", lambda *arguments: WordEncoder())


def _job(folder: Path, **others: Any) -> GroupJob:
    job = GroupJob(str(folder / "out"), "/model", None, None, 64, (Query(), QA(judge=True)), 64, 0, 1.0)
    return replace(job, answers=_at(folder / "answers"), **others)


def _wishes(row: dict[str, Any], job: GroupJob) -> list[str]:
    """The requests of a group, as they reach those who answer."""
    assert job.answers is not None
    return [as_row(request)["request"] for request in requests_of(row, job.answers, job=job)]


def _answerer(job: GroupJob, engine: Engine) -> Answerer:
    assert job.answers is not None
    return Answerer(job.answers, engine, model_path=job.model_path)


def _row(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    block = Block("paragraph", TEXT, 0, len(TEXT), 1, 1)
    document = Document("0:a.md", TEXT, "a.md", "markdown", blocks=(block,))
    read = ReadFile(SourceFile("a.md", "/a.md", len(TEXT)), "ok", document=document)
    monkeypatch.setattr(group_module, "load", lambda item, ref: [read])
    placed = Placed(read.file, None, (Placement("train"),))
    return {"name": "g", "work": dump([placed])}


def test_rounds_of_asking_end_in_a_group_whose_examples_the_engine_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, row, numbers = ScriptedEngine(), _row(monkeypatch), []
    for number in range(4):
        job = _job(tmp_path)
        job = replace(job, answers=replace(job.answers, round=number))
        wishes = _wishes(row, job)
        numbers.append(len(wishes))
        if wishes:
            _answerer(job, engine)({"request": wishes})
    # A query, a question with its answer, and one for evaluation; one verdict on the pair of both; then all is known.
    assert numbers == [3, 1, 0, 0]
    result = GroupResult.from_text(write_group(row, job=job)["result"])
    assert result.error == ""
    assert dict(result.generated) == {"qa: kept": 1, "query: kept": 1}


def test_an_engine_that_fails_keeps_what_it_answered_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes = _wishes(_row(monkeypatch), _job(tmp_path))
    out = _answerer(_job(tmp_path), ScriptedEngine(fails_after=1))({"request": wishes})
    assert (out["num_answers"], out["stopped"]) == ([1, 0], ["", "the engine is out of ideas"])
    later = replace(_job(tmp_path), answers=_at(tmp_path / "answers", run="two", round=1))
    assert len(_wishes(_row(monkeypatch), later)) == len(wishes) - 1


def test_an_engine_that_cannot_be_loaded_says_so(tmp_path: Path) -> None:
    out = _answerer(_job(tmp_path), ScriptedEngine(loads=False))({"request": [as_row(WriteRequest("x"))["request"]]})
    assert out["stopped"] == ["no weights in /model"]


def test_a_group_is_not_written_before_all_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = GroupResult.from_text(write_group(_row(monkeypatch), job=_job(tmp_path))["result"])
    assert result.error.startswith("the engine's answers are not complete")
    assert not (tmp_path / "out" / "g").exists()


def test_the_kept_rate_of_each_recipe_is_told_with_the_reasons() -> None:
    generated = Counter({"qa: kept": 3, "qa: judge: no": 1, "query: kept": 2})
    assert _kept_rates(generated) == {
        "qa": "kept 3 of 4 generated examples (75.0%); 1 judge: no",
        "query": "kept 2 of 2 generated examples (100.0%)",
    }
