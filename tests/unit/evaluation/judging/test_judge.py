"""A judge that is known: both orders, ties, flips, what is kept, and what becomes of one that fails."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from exam_fixtures import tuned_model

from ray_ft.config import EvaluationConfig, ModelConfig, parse_config
from ray_ft.engines import Engine, OpenAIEngine, WriteRequest, Written
from ray_ft.errors import ConfigError, GenerationError
from ray_ft.evaluation.exam.tasks import Done
from ray_ft.evaluation.judging.asking import read_verdict, refuse_own_model
from ray_ft.evaluation.judging.figures import read_preferences
from ray_ft.evaluation.judging.opinion import opinion_of
from ray_ft.rows import Question


@dataclass(frozen=True)
class Scripted(Engine):
    """Prefers the answer with "right" in it; of two alike the first, as careless judges do."""

    name: str = "scripted"
    model: str = "judge"
    says: str = ""
    """Said instead of any verdict."""
    breaks_after: int = 10**9
    asked: list[str] = field(default_factory=list, compare=False)
    needs_weights: ClassVar[bool] = False

    def load_writer(self, model_path: str, *, chat_template: str | None = None) -> "Scripted":  # type: ignore[override]
        return self

    def writer_identity(self, model_path: str, *, chat_template: str | None = None) -> dict[str, Any]:
        return {"model": self.model}

    def write(self, requests: Sequence[WriteRequest]) -> Iterator[tuple[int, Written]]:
        for place, request in enumerate(requests):
            if len(self.asked) >= self.breaks_after:
                raise GenerationError("http://judge/v1 (model judge) does not answer: Connection error.")
            self.asked.append(request.prompt)
            first, second = request.prompt.split("First answer:\n")[1].split("\n\nSecond answer:\n")
            second = second.split("\n\nAnswer with JSON")[0]
            better = "second" if "right" in second and "right" not in first else "first"
            yield place, Written(self.says or json.dumps({"reason": "so", "better": better}))


def exam(answers: dict[str, list[str]], *, documents: int = 8) -> tuple[list[Done], list[Question]]:
    number = len(next(iter(answers.values())))
    questions = [
        Question(f"q{i}", f"d{i % documents}", "", f"What is {i}?", "right", ("right",)) for i in range(number)
    ]
    done = [
        Done(i, "question", system, answer=text) for system, texts in answers.items() for i, text in enumerate(texts)
    ]
    return done, questions


def settings(judge: Engine, **other: Any) -> EvaluationConfig:
    return replace(EvaluationConfig(num_bootstrap=200), judge=judge, **other)


def test_both_orders_are_asked_and_what_differs_in_them_is_a_tie(tmp_path: Path) -> None:
    # Six wins of tuned, one loss, three pairs that are alike in worth: the first is preferred, so the orders disagree.
    # Two answers are equal, and nobody is asked about them.
    tuned = ["right and long"] * 6 + ["no"] + ["wrong a"] * 3 + ["same"] * 2
    base = ["no"] * 6 + ["right"] + ["wrong b"] * 3 + ["same"] * 2
    judge = Scripted()
    done, questions = exam({"base": base, "tuned": tuned})
    opinion = opinion_of(done, questions, settings(judge), run_path=tmp_path, seed=0)
    (one,) = opinion.judged
    assert (one.treatment, one.control, one.stratum) == ("tuned", "base", "held_out")
    assert (one.num_items, one.num_wins, one.num_losses, one.num_flips) == (12, 6, 1, 3)
    # Decided with another length: six that the longer one won, one where "no" and "right" are one word each.
    assert (one.num_decided, one.num_longer) == (6, 6)
    assert len(judge.asked) == 2 * 10
    (contrast,) = opinion.contrasts
    assert contrast.metric == "judge_preference"
    assert contrast.difference == pytest.approx((6 - 1) / 12)
    assert not contrast.primary
    assert "disagree on 25%" in opinion.trust
    assert "longer answer won 6 of 6" in opinion.trust


def test_finished_answers_are_asked_for_once_and_survive_a_judge_that_goes_down(tmp_path: Path) -> None:
    done, questions = exam({"base": ["no"] * 4, "tuned": ["right"] * 4})
    down = Scripted(breaks_after=5)
    opinion = opinion_of(done, questions, settings(down), run_path=tmp_path, seed=0)
    assert opinion.judged == opinion.contrasts == ()
    (note,) = opinion.notes
    assert (
        note == "The judge judge has no figures here: http://judge/v1 (model judge) does not answer: Connection error."
    )
    kept = tmp_path / "evaluation" / "judge_answers.jsonl"
    with kept.open("a") as file:
        file.write('{"key": "cut sho')  # by a kill
    up = Scripted()
    (one,) = opinion_of(done, questions, settings(up), run_path=tmp_path, seed=0).judged
    assert one.num_wins == 4
    assert len(up.asked) == 8 - 5
    again = Scripted()
    assert opinion_of(done, questions, settings(again), run_path=tmp_path, seed=0).judged == (one,)
    assert again.asked == []
    other = Scripted(model="another")
    assert opinion_of(done, questions, settings(other), run_path=tmp_path, seed=0).judged == (one,)
    assert len(other.asked) == 8


def test_a_server_that_is_not_there_costs_the_judges_figures_alone(tmp_path: Path) -> None:
    done, questions = exam({"base": ["no"], "tuned": ["right"]})
    judge = OpenAIEngine(model="org/big", base_url="http://127.0.0.1:9/v1", max_retries=0)
    opinion = opinion_of(done, questions, settings(judge), run_path=tmp_path, seed=0)
    (note,) = opinion.notes
    assert note.startswith(
        "The judge org/big has no figures here: http://127.0.0.1:9/v1 (model org/big) does not answer"
    )
    assert "\n" not in note


def test_a_judge_that_answers_nonsense_has_no_figures(tmp_path: Path) -> None:
    done, questions = exam({"base": ["no"] * 4, "tuned": ["right"] * 4})
    judge = Scripted(says="As a large\nmodel, I like both.")
    opinion = opinion_of(done, questions, settings(judge), run_path=tmp_path, seed=0)
    assert opinion.judged == ()
    assert opinion.notes == (
        "The judge judge has no figures here: 8 of its 8 answers are no verdict, such as "
        "'As a large model, I like both.'.",
    )


def test_agreement_with_people_is_told(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    rows = [
        {"id": f"q{i}", "systems": ["base", "tuned"], "preferred": name}
        for i, name in enumerate(("tuned", "tuned", "base", "base"))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done, questions = exam({"base": ["no", "no", "no", "right", "a"], "tuned": ["right", "right", "right", "no", "b"]})
    opinion = opinion_of(done, questions, settings(Scripted(), preferences=str(path)), run_path=tmp_path, seed=0)
    # Judge: tuned, tuned, tuned, base; people: tuned, tuned, base, base. 3 of 4 agree; by chance 3/4 * 2/4 + 1/4 * 2/4
    # = 0.5, so kappa is (0.75 - 0.5) / 0.5.
    assert "agreement with people on 4 pairs: 75%, kappa 0.50" in opinion.trust
    path.write_text('{"id": "q1", "systems": ["base", "tuned"], "preferred": "mine"}\n')
    with pytest.raises(ConfigError, match=r"people.jsonl:1: preferred is 'mine'"):
        read_preferences(path)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('{"reason": "x", "better": "first"}', "first"),
        ('```json\n{"better": "tie"}\n```', "tie"),
        ('First {"better": "first"}? No: {"reason": "y", "better": "second"}.', "second"),
        ('{"better": "neither"}', None),
        ('{"better": ["first"]}', None),
        ("first", None),
        ("{" * 100_000, None),
    ],
)
def test_verdicts_are_read_from_what_judges_write(text: str, verdict: str | None) -> None:
    assert read_verdict(text)[0] == verdict


def test_the_model_under_test_is_no_judge(tmp_path: Path) -> None:
    tuned = tuned_model(tmp_path)
    model = ModelConfig(name="org/Handbook-7B")
    under_test = OpenAIEngine(model="served", adapters={"tuned": "served-tuned"})
    for name in ("org/Handbook-7B", "handbook-7b", "served", "served-tuned", tuned.path):
        with pytest.raises(ConfigError, match="is under test here"):
            refuse_own_model(OpenAIEngine(model=name), model, tuned, under_test)
    refuse_own_model(OpenAIEngine(model="org/other"), model, tuned, under_test)


def test_a_judge_has_to_be_a_server() -> None:
    raw = {"run_name": "r", "model": {"name": "builtin:tiny"}, "data": {"sources": ["x"], "recipes": ["qa"]}}
    with pytest.raises(ConfigError, match=r"evaluation.judge.name: 'transformers' must be one that asks a server"):
        parse_config(raw | {"evaluation": {"judge": "transformers"}})
    config = parse_config(
        raw | {"evaluation": {"judge": {"name": "openai", "model": "big", "base_url": "http://j/v1"}}}
    )
    assert config.evaluation.judge == OpenAIEngine(model="big", base_url="http://j/v1")
