"""The qa recipe with an engine: what it asks, what it keeps, and why it drops."""

from ray_ft.recipes import QA, CodeSummary
from ray_ft.recipes.qa import parse_pairs
from ray_ft.rows import Chunk, Document

TEXT = "The ferry leaves every 40 minutes from NorthPort. Check the ramp sensors before departure."
CHUNK = Chunk("0:a#qa-0", "0:a", TEXT, 20, ("Ferry", "Times"), 0, len(TEXT), {"path": "a.md"})
CODE = Document(
    "0:b", "def f(x):\n    return x + 1\n\n\ndef g():\n    '''Give 2.'''\n    return f(1)\n", "b.py", "python", "python"
)


def test_pairs_are_read_over_several_lines_and_around_chatter() -> None:
    text = "Sure!\nQ: When does\n it leave?\nA: Every 40\nminutes.\n\nQ2: From where?\nA2: NorthPort."
    assert parse_pairs(text) == [("When does it leave?", "Every 40\nminutes."), ("From where?", "NorthPort.")]


def test_an_engines_answers_are_kept_when_the_passage_holds_them() -> None:
    written = "Q: When does it leave?\nA: every 40 minutes\nQ: Where to?\nA: To SouthPort every day."
    kept, dropped = QA().examples([CHUNK], lambda prompts: [written])
    assert (kept.prompt, kept.completion, kept.origin, kept.dropped) == (
        "When does it leave?",
        "every 40 minutes",
        "generated",
        "",
    )
    assert dropped.dropped == "answer names what the passage does not"


def test_an_engine_that_writes_no_pair_is_accounted_for() -> None:
    (example,) = QA().examples([CHUNK], lambda prompts: ["I cannot help with that."])
    assert example.dropped == "engine wrote no question and answer"


def test_the_engine_sees_the_passage_and_writes_so_many_questions() -> None:
    seen: list[str] = []
    QA(questions_per_chunk=3).examples([CHUNK], lambda prompts: [seen.append(p) or "" for p in prompts])
    assert len(seen) == 1
    assert TEXT in seen[0]
    assert "Write 3 different questions" in seen[0]


def test_evaluation_questions_of_an_engine_are_checked_too() -> None:
    good, bad = "Q: When does the ferry leave?\nA: every 40 minutes", "Q: When?\nA: every 50 minutes"
    assert [p.question for _, p in QA().questions([CHUNK], lambda prompts: [good])] == ["When does the ferry leave?"]
    assert QA().questions([CHUNK], lambda prompts: [bad]) == []


def test_without_an_engine_the_heading_asks_and_the_label_says_so() -> None:
    (example,) = QA().examples([CHUNK], None)
    assert (example.prompt, example.completion, example.origin) == (
        "What does “Ferry” say about “Times”?",
        TEXT,
        "extractive",
    )


def test_an_engine_summarises_only_functions_without_docstring() -> None:
    recipe = CodeSummary()
    chunks = recipe.chunk(CODE, len)
    asked: list[str] = []

    def generate(prompts: list[str]) -> list[str]:
        asked.extend(prompts)
        return ["Return x increased by 1."] * len(prompts)

    f, g = recipe.examples(chunks, generate)
    assert len(asked) == 1
    assert "def f(x)" in asked[0]
    assert f.prompt == "Write the function `f` of b.py. Return x increased by 1."
    assert f.origin == "generated"
    assert g.prompt == "Write the function `g` of b.py. Give 2."
    assert g.origin == "extractive"


def test_a_summary_that_names_what_the_code_does_not_is_dropped() -> None:
    recipe = CodeSummary()
    examples = recipe.examples(recipe.chunk(CODE, len), lambda prompts: ["Calls send_mail with 7."] * len(prompts))
    assert [e.dropped for e in examples] == ["summary names what the code does not", ""]
