"""Answers must stand in their passage."""

import pytest

from ray_ft.recipes.grounding import missing_detail, ungrounded

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
    assert missing_detail("Needs 41 minutes", PASSAGE) == "41 minutes"
