"""Which headings are orders, which are topics, and which nobody could ask about."""

import time
from dataclasses import replace
from itertools import pairwise

import pytest

from ray_ft.data.formats.lightweight.markdown.parse import parse_markdown
from ray_ft.recipes import QA, Heading, Query
from ray_ft.recipes.questions.from_structure import evaluation_question, training_question
from ray_ft.recipes.questions.orders import order_of
from ray_ft.recipes.questions.topics import own_topics, says_something
from ray_ft.rows import Chunk, Document

NOUNS = [
    "Release procedure", "Stop words", "Write-Ahead Log", "Limit clause", "Return value", "Use of quotes",
    "List of fields", "Read Committed Isolation Level", "Display name", "Work order", "Test coverage", "Change history",
    "Build status", "Report format", "Search path", "Set theory", "Update statement", "Control valve", "Plan cache",
    "Log in page", "CREATE TABLE", "SELECT", "How to guides", "Install it", "Delete statement", "Copy files",
    "Open source", "Use cases", "Add-on modules", "Show Command", "Parse tree", "Restore point", "Print", "Enable",
]  # fmt: skip
ORDERS = {
    "Install the pump": "install the pump",
    "Check the oil level": "check the oil level",
    "Turn off the pump": "turn off the pump",
    "Set up a server": "set up a server",
    "Drain the tank": "drain the tank",
    "Return a value": "return a value",
    "INSTALL THE PUMP": "install the pump",
    "Install Ray": "install Ray",
    "Connect to a server": "connect to a server",
    "Wait for the lamp": "wait for the lamp",
    "How to open the ramp?": "open the ramp",
    "How to: Debug a build": "debug a build",
    "Remove old files": "remove old files",
}


@pytest.mark.parametrize("title", NOUNS)
def test_a_noun_is_no_order(title: str) -> None:
    assert order_of(title) == ""
    assert not training_question(chunk("Manual", title)).startswith("How do I")


@pytest.mark.parametrize("title", ORDERS)
def test_an_order_is_asked_how_to_do_it(title: str) -> None:
    assert order_of(title) == ORDERS[title]
    assert training_question(chunk("Manual", title)) == f"How do I {ORDERS[title]}?"


@pytest.mark.parametrize("title", ["Log in", "Back up", "Set up"])
def test_an_order_without_an_object_is_asked_of_its_document(title: str) -> None:
    assert training_question(chunk("Manual", title)) == f"According to “Manual”, how do I {title.lower()}?"


def chunk(*path: str, text: str = "The ramp opens when the green lamp is lit.") -> Chunk:
    return Chunk("0:a#qa-0", "0:a", text, 9, path, 0, len(text), {"path": "docs/a.md"})


def test_one_asks_for_oneself() -> None:
    assert training_question(chunk("Manual", "Change your password")) == "How do I change my password?"


@pytest.mark.parametrize(
    "title", ["Notes", "See also", "3.2.1", "v2.0", "2024-03-01", "1.", "*", "Table of Contents", "NOTE:", "word " * 20,
              "The pump is started when the valve is closed.", "• brace expansion", "environment.", "Exemple",
              "−F function −X pattern [−S suffix] name"],
)  # fmt: skip
def test_a_heading_that_says_nothing_is_not_asked_about(title: str) -> None:
    assert not says_something(title.strip())
    assert training_question(chunk("Manual", title)) == evaluation_question(chunk("Manual", title)) == ""


def document(text: str) -> Document:
    return Document("0:a.md", text, "a.md", "markdown", "", parse_markdown(text).blocks)


def test_a_question_is_asked_once_in_a_document() -> None:
    body = "The value says whether it went well, and zero means that it did.\n\n"
    one = document("# Manual\n\n" + "".join(f"## Return value\n\n{i}: {body}" for i in range(5)))
    recipe = QA()
    made = recipe.examples(recipe.chunk(one, lambda text: len(text.split())), None)
    assert [e.prompt for e in made] == ["What does “Manual” return?"]
    assert made[0].completion.startswith("0: ")


LONG = "# Manual\n\n## Valves\n\n" + "\n\n".join(
    f"The {colour} lever opens the {colour} valve of the {place} tank, and closes it again after some seconds of rest."
    for colour, place in pairwise(["upper", "brown", "silver", "lower", "second", "northern"])
)


def test_a_whole_section_is_asked_for_by_its_headings() -> None:
    recipe = Heading()
    (made,) = recipe.examples(recipe.chunk(document(LONG), lambda text: len(text.split())), None)
    assert made.prompt == "Write the section “Manual > Valves” of a.md."


def test_passages_below_one_heading_are_asked_about_apart() -> None:
    recipe = Query(max_chunk_tokens=24)
    made = recipe.examples(recipe.chunk(document(LONG), lambda text: len(text.split())), None)
    prompts = [e.prompt for e in made]
    assert len(set(prompts)) == len(prompts) == 5
    assert "silver valve" in prompts[2]
    assert all(prompt.startswith("What does “Manual” say about “") for prompt in prompts)


def test_a_section_of_thousands_of_passages_takes_no_long_time() -> None:
    text = "The upper lever opens the brown valve of the tank number {} and closes the silver door of hall {} again."
    chunks = [replace(chunk("M", "V", text=text.format(i, i * 7)), id=str(i)) for i in range(4000)]
    started = time.process_time()
    assert len(own_topics(chunks)) == 4000
    assert time.process_time() - started < 10  # s; each against all others would be minutes


@pytest.mark.parametrize(
    "title", ["1.2.0", "12.1.1 (2020-05-29)", "v0.4.1", "[2.0.0-rc.1] - 2024-01-31", "ripgrep 0.9"]
)
def test_a_release_is_asked_of_the_file_that_lists_it(title: str) -> None:
    one = chunk("Changelog", title, text="Feature enhancements: a flag that reads patterns from a file.")
    one = replace(one, metadata={"path": "p/CHANGELOG.md"})
    assert training_question(one) == f"What does “p/CHANGELOG.md” say about “{title}”?"
    assert training_question(replace(one, heading_path=(title,))) == f"What does “p/CHANGELOG.md” say about “{title}”?"
    assert training_question(replace(one, metadata={**one.metadata, "part": "1"})) == ""  # a part of it is cut


def test_a_document_of_several_chapters_is_asked_by_its_file() -> None:
    text = "# EXPANSION\n\n{0}\n\n## Special Words\n\n{0}\n\n# REDIRECTION\n\n{0}\n".format(
        "The shell treats several of these names specially, and they may only be read by its commands. "
        "Who writes to one of them is told so by a message."
    )
    parsed = parse_markdown(text)
    document = Document("d", parsed.text, "man/shell.md", "markdown", blocks=tuple(parsed.blocks))
    asked = [e.prompt for e in QA().examples(QA().chunk(document, lambda words: len(words) // 4), None)]
    assert asked == [
        "What does “man/shell.md” say about “EXPANSION”?",
        "What does the section “EXPANSION” of “man/shell.md” say about “Special Words”?",
        "What does “man/shell.md” say about “REDIRECTION”?",
    ]


def test_a_title_that_names_no_subject_is_not_asked_and_its_files_path_is() -> None:
    assert training_question(chunk("User Guide", "Valves")) == "What does “docs/a.md” say about “Valves”?"
    assert training_question(chunk("Pump", "Notes", "Valves")) == "What does “Pump” say about “Valves”?"
    assert training_question(chunk("Pump", "B. Valves")) == "What does “Pump” say about “Valves”?"


def test_a_kind_of_change_of_a_release_is_not_asked_about() -> None:
    one = replace(chunk("v2.0.0", "API Change"), metadata={"path": "p/CHANGELOG.md"})
    assert training_question(one) == evaluation_question(one) == ""
