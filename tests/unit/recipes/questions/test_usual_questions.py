"""Sections that every manual has are asked for as people do."""

import pytest

from ray_ft.recipes import Heading
from ray_ft.recipes.questions.from_structure import evaluation_question, training_question
from ray_ft.rows import Chunk

BODY = "`--fast` opens the ramp in two seconds, and `--slow` takes twenty of them."


LIST = "`--fast`\n\nOpens the ramp in two seconds.\n\n`--slow`\n\nTakes twenty of them."


def _chunk(*path: str, text: str = BODY, **metadata: str) -> Chunk:
    return Chunk("0#qa-0", "0", text, 10, path, metadata={"path": "a.md", **metadata})


@pytest.mark.parametrize(
    ("path", "question"),
    [
        (("ferry", "Description"), "What does “ferry” do?"),
        (("Manual", "4.2. open_ramp", "Return Value"), "What does “open_ramp” return according to “Manual”?"),
        (("F.4. ferry", "F.4.1. Ramps"), "What does “ferry” say about “Ramps”?"),
        (("Chapter 2. Ferries", "Ramps"), "What does “Ferries” say about “Ramps”?"),
        (("Ferry", "What happens in winter?"), "According to “Ferry”, what happens in winter?"),
        (("Ferry", "What's next?"), ""),
        (("Ferry", "Overview"), "What is “Ferry” about?"),
        (("ferry(1)", "NAME"), ""),
        (("Ferry", "Voir aussi"), ""),
    ],
)
def test_a_usual_section_is_asked_for_by_what_it_is_of(path: tuple[str, ...], question: str) -> None:
    assert training_question(_chunk(*path)) == question
    assert evaluation_question(_chunk(*path)) != question or not question


def test_what_is_asked_for_one_by_one_stands_there() -> None:
    assert training_question(_chunk("ferry(1)", "OPTIONS", text=LIST)) == "Which options does “ferry(1)” take?"
    assert training_question(_chunk("ferry(1)", "OPTIONS")) == ""
    assert training_question(_chunk("ferry(1)", "OPTIONS", text=LIST, part="1")) == ""
    assert training_question(_chunk("ferry(1)", "Configuration", text=LIST, part="1")) == ""


def test_a_document_is_named_without_what_says_that_it_is_one() -> None:
    assert training_question(_chunk("ferry(1) Manual Page", "Ramps")) == "What does “ferry(1)” say about “Ramps”?"
    assert training_question(_chunk("ferry(1) Manual Page", "Description")) == "What does “ferry(1)” do?"


def test_a_heading_that_says_nothing_asks_for_no_line() -> None:
    more = f"{BODY} Without any of both it takes ten."
    name, usage = _chunk("ferry(1)", "NAME"), _chunk("ferry(1)", "Usage", text=more)
    assert [e.prompt for e in Heading().examples([name, usage], None)] == [
        "Write the section “ferry(1) > Usage” of a.md."
    ]
