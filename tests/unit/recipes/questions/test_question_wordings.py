"""Questions that follow from structure: readable, and worded differently for training and evaluation."""

import pytest

from ray_ft.recipes.questions.from_structure import (
    evaluation_question,
    key_facts,
    question_kind,
    reference_answer,
    training_question,
)
from ray_ft.rows import Chunk


def _chunk(*path: str, text: str = "The ramp opens when the green lamp is lit.", **metadata: str) -> Chunk:
    return Chunk("0:a#qa-0", "0:a", text, 9, path, 0, len(text), {"path": "docs/a.md", **metadata})


CODE = _chunk("src/a.py", "f", kind="function", name="f", docstring="Open the ramp when the lamp is lit.\n\nMore.")


@pytest.mark.parametrize(
    ("chunk", "trained", "asked"),
    [
        (
            _chunk("Ferry", "Open the ramp"),
            "How do I open the ramp?",
            "Which steps does “Ferry” give to open the ramp?",
        ),
        (
            _chunk("Ferry", "How to open the ramp"),
            "How do I open the ramp?",
            "Which steps does “Ferry” give to open the ramp?",
        ),
        (
            _chunk("Ferry", "Why is it closed?"),
            "According to “Ferry”, why is it closed?",
            "How does “Ferry” answer the question “Why is it closed?”",
        ),
        (
            _chunk("Ferry", "Safety", "2.1 Limits"),
            "What does the section “Safety” of “Ferry” say about “Limits”?",
            "Explain “Limits (Safety)” as described in “Ferry”.",
        ),
        (
            CODE,
            "What does the function `f` in docs/a.md do?",
            "Describe the purpose of the function `f` (docs/a.md).",
        ),
    ],
)
def test_headings_and_definitions_become_questions(chunk: Chunk, trained: str, asked: str) -> None:
    assert training_question(chunk) == trained
    assert evaluation_question(chunk) == asked


def test_a_passage_under_its_documents_title_is_not_asked_about_by_chance_words() -> None:
    assert training_question(_chunk("Ferry")) == ""
    assert evaluation_question(_chunk("Ferry")) == "Explain “ramp opens and green lamp” as described in “Ferry”."


def test_the_reference_of_code_is_its_docstrings_first_paragraph() -> None:
    assert reference_answer(CODE) == "Open the ramp when the lamp is lit."


def test_the_reference_of_a_section_is_its_leading_prose() -> None:
    text = (
        "```\nignored()\n```\n\nOpen the bow door\nat noon sharp.\n\n| a | b |\n|---|---|\n\nNot needed " + "word " * 90
    )
    assert reference_answer(_chunk("Ferry", "Doors", text=text)) == "Open the bow door at noon sharp."


def test_a_section_of_nothing_but_code_has_no_reference() -> None:
    assert reference_answer(_chunk("Ferry", "Doors", text="```\nrun()\n```")) == ""


def test_a_lists_lead_in_keeps_its_items() -> None:
    text = "Before you leave:\n\n1. Read the gauge. 2 m/s is calm.\n2. Close the door."
    assert reference_answer(_chunk("F", "G", text=text)) == (
        "Before you leave: 1. Read the gauge. 2 m/s is calm. 2. Close the door."
    )
    assert question_kind(_chunk("F", "G", text=text)) == "list"


def test_key_facts_are_details_of_the_reference() -> None:
    reference = "Set `max_wind` below 12.5 % of the ship's limit with --strict, as HarbourControl advises."
    assert key_facts(reference) == ("max_wind", "--strict", "HarbourControl", "12.5 %", "ship's limit")
    assert key_facts("It is so.") == ()
