"""Answers must stand in their passage."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ray_ft.recipes.grounding.check import missing_detail, off_topic, ungrounded

PASSAGE = """The ferry leaves every 40 minutes from NorthPort. **Check the ramp sensors** before departure,
and set `max_wind` to 12 metres per second."""


@pytest.mark.parametrize(
    "answer",
    [
        "every 40 minutes",
        "Check the ramp sensors before departure.",
        "The ferry leaves every 40 minutes, from NorthPort.",
        "Set max_wind to 12 metres per second.",
    ],
)
def test_the_words_of_the_passage_are_grounded(answer: str) -> None:
    assert ungrounded(answer, PASSAGE) == ""


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("every 45 minutes", "answer names what the passage does not"),
        ("Set min_wind to 12 metres per second.", "answer names what the passage does not"),
        ("at night", "answer not found in the passage"),
        ("The captain decides alone whether the weather permits sailing.", "answer not found in the passage"),
        ("  ", "empty answer"),
    ],
)
def test_inventions_are_named(answer: str, reason: str) -> None:
    assert ungrounded(answer, PASSAGE) == reason


def test_one_invented_sentence_among_true_ones_is_found() -> None:
    assert ungrounded("Check the ramp sensors. Then ring the ancient brass bell thrice.", PASSAGE)


def test_the_missing_detail_is_told() -> None:
    assert missing_detail("Needs 41 minutes", PASSAGE) == "41"
    assert missing_detail("Needs 40 hours", PASSAGE) == "40 hours"
    assert missing_detail("Needs 40 minutes of `max_wind`", PASSAGE) == ""


def test_an_invented_quotation_is_told() -> None:
    quoted = "The ferry leaves from the harbour of SouthPort every hour."
    assert ungrounded("every 40 minutes", PASSAGE, evidence=quoted) == "evidence not found in the passage"


def test_a_question_about_something_else_is_told() -> None:
    assert off_topic("How often does the ferry leave NorthPort?", PASSAGE) == ""
    assert off_topic("How often does the ferry leave SouthPort?", PASSAGE) == "question names what the passage does not"
    assert off_topic("Which colour is the moon at midnight?", PASSAGE) == "question is not about the passage"


def test_another_wording_needs_one_word_of_the_passage() -> None:
    wording = "I am in a hurry: how long must I wait for the next boat out of NorthPort?"
    assert off_topic(wording, PASSAGE) == "question is not about the passage"
    assert off_topic(wording, PASSAGE, share=0) == ""
    assert off_topic("Which colour is the moon at midnight?", PASSAGE, share=0) == "question is not about the passage"
    assert off_topic("When do boats leave SouthPort?", PASSAGE, share=0) == "question names what the passage does not"


# --- the answer key ---------------------------------------------------------------------------------------------------

ANSWERS = Path(__file__).parents[3] / "data"


@pytest.mark.parametrize("quotes", [True, False], ids=["with evidence", "without evidence"])
@pytest.mark.parametrize("file", ["grounding_answer_key.yaml", "grounding_held_out.yaml"])
def test_true_answers_are_kept_and_planted_false_ones_dropped(file: str, quotes: bool) -> None:
    passages = yaml.safe_load((ANSWERS / file).read_text(encoding="utf-8"))

    def reason(answer: dict[str, str], passage: dict[str, Any]) -> str:
        evidence = answer.get("evidence", "") if quotes else ""
        return ungrounded(answer["answer"], passage["text"], question=answer["question"], evidence=evidence)

    lost = [a["answer"] for p in passages for a in p["true_answers"] if reason(a, p)]
    missed = [a["answer"] for p in passages for a in p["false_answers"] if not reason(a, p)]
    num_true = sum(len(p["true_answers"]) for p in passages)
    num_false = sum(len(p["false_answers"]) for p in passages)
    kept, dropped = 1 - len(lost) / num_true, 1 - len(missed) / num_false
    figures = f"{file}, {len(passages)} passages: kept {kept:.1%} of {num_true}, dropped {dropped:.1%} of {num_false}"
    print(figures)
    assert kept >= 0.95, (figures, lost)
    assert dropped >= 0.95, (figures, missed)


def test_every_kind_of_false_answer_is_in_the_held_out_passages() -> None:
    passages = yaml.safe_load((ANSWERS / "grounding_held_out.yaml").read_text(encoding="utf-8"))
    kinds = {a["kind"] for p in passages for a in p["false_answers"]}
    assert kinds == {"number", "unit", "identifier", "entity", "negation", "condition", "swap", "invention"}
