"""The qa recipe with an engine: what it asks, what it keeps, and why it drops."""

import json
from dataclasses import replace

from ray_ft.data.formats.code import parse_code
from ray_ft.recipes import QA, CodeSummary, Query
from ray_ft.recipes.questions.written import Pair, read_pairs, read_questions, read_verdict
from ray_ft.rows import Chunk, Document

TEXT = "The ferry leaves every 40 minutes from NorthPort. Check the ramp sensors before departure."
CHUNK = Chunk("0:a#qa-0", "0:a", TEXT, 20, ("Ferry", "Times"), 0, len(TEXT), {"path": "a.md"})
SOURCE = "def f(x):\n    return x + 1\n\n\ndef g():\n    '''Give 2, which is what follows 1.'''\n    return f(1)\n"
DEFINITIONS = parse_code(SOURCE, language="python").definitions
CODE = Document("0:b", SOURCE, "b.py", "python", "python", definitions=DEFINITIONS)


def test_pairs_are_read_over_several_lines_and_around_chatter() -> None:
    text = "Sure!\nQ: When does\n it leave?\nA: Every 40\nminutes.\n\nQ2: From where?\nA2: NorthPort."
    assert read_pairs(text) == [Pair("When does it leave?", "Every 40\nminutes."), Pair("From where?", "NorthPort.")]


def test_pairs_are_read_from_json_with_whatever_stands_around_it() -> None:
    pair = {
        "question": "When?",
        "answer": "Every 40 minutes.",
        "evidence": "every 40 minutes",
        "rephrasings": ["How often?"],
    }
    expected = [Pair("When?", "Every 40 minutes.", "every 40 minutes", ("How often?",))]
    assert read_pairs(json.dumps({"pairs": [pair]})) == expected
    assert read_pairs(f"Sure {{here}}:\n```json\n{json.dumps([pair])}\n```\nAnything else?") == expected
    assert read_pairs(json.dumps({"pairs": [{"question": "When?"}, 3, None, {**pair, "rephrasings": None}]})) == [
        Pair("When?", "Every 40 minutes.", "every 40 minutes")
    ]
    assert read_pairs('{"pairs": [{"question": "Wh') == []
    assert read_pairs("[" * 100_000) == []


def test_questions_and_verdicts_are_read_from_json_or_plain_lines() -> None:
    assert read_questions('{"questions": ["When?", "", 3, "Where?"]}') == ["When?", "Where?"]
    assert read_questions("1. When?\n- Where?\nThat is all.") == ["When?", "Where?"]
    assert [read_verdict(t) for t in ('{"supported": true}', '{"supported": false, "reason": "no"}', "yes")] == [
        True,
        False,
        None,
    ]


def test_an_engines_answers_are_kept_when_the_passage_holds_them() -> None:
    written = "Q: When does it leave?\nA: every 40 minutes\nQ: Where does it leave for?\nA: To SouthPort every day."
    kept, dropped = QA(max_chunk_tokens=20).examples([CHUNK], lambda prompts, **_: [written])
    assert (kept.prompt, kept.completion, kept.origin, kept.dropped) == (
        "When does it leave?",
        "every 40 minutes",
        "generated",
        "",
    )
    assert dropped.dropped == "answer names what the passage does not"


def test_an_engine_that_writes_no_pair_is_accounted_for() -> None:
    (example,) = QA().examples([CHUNK], lambda prompts, **_: ["I cannot help with that."])
    assert example.dropped == "engine wrote no question and answer"


def test_the_engine_sees_the_passage_and_writes_so_many_questions() -> None:
    seen: list[str] = []
    QA(questions_per_chunk=3, max_chunk_tokens=20).examples(
        [CHUNK], lambda prompts, **_: [seen.append(p) or "" for p in prompts]
    )
    assert len(seen) == 1
    assert TEXT in seen[0]
    assert "Write 3 different question(s)" in seen[0]


def test_evaluation_questions_of_an_engine_are_checked_too() -> None:
    good, bad = "Q: When does the ferry leave?\nA: every 40 minutes", "Q: When?\nA: every 50 minutes"
    assert [p.question for _, p in QA().questions([CHUNK], lambda prompts, **_: [good])] == [
        "When does the ferry leave?"
    ]
    assert QA().questions([CHUNK], lambda prompts, **_: [bad]) == []


def test_without_an_engine_the_heading_asks_and_the_label_says_so() -> None:
    text = f"{TEXT} It waits for nobody, and on Sundays it leaves every hour from eight to six."
    (example,) = QA().examples([replace(CHUNK, text=text)], None)
    assert (example.prompt, example.completion, example.origin) == (
        "What does “Ferry” say about “Times”?",
        text,
        "extractive",
    )


def test_an_engine_summarises_only_functions_without_docstring() -> None:
    recipe = CodeSummary()
    chunks = recipe.chunk(CODE, len)
    asked: list[str] = []

    def generate(prompts: list[str], *, schema: str = "", max_new_tokens: int = 512) -> list[str]:
        asked.extend(prompts)
        return ["Return x increased by 1."] * len(prompts)

    f, g = recipe.examples(chunks, generate)
    assert len(asked) == 1
    assert "def f(x)" in asked[0]
    assert f.prompt == "Write the function `f` of b.py. Return x increased by 1."
    assert f.origin == "generated"
    assert g.prompt == "Write the function `g` of b.py. Give 2, which is what follows 1."
    assert g.origin == "extractive"


def test_a_summary_that_names_what_the_code_does_not_is_dropped() -> None:
    recipe = CodeSummary()
    examples = recipe.examples(recipe.chunk(CODE, len), lambda prompts, **_: ["Calls send_mail with 7."] * len(prompts))
    assert [e.dropped for e in examples] == ["summary names what the code does not", ""]


def _pairs(*pairs: tuple[str, str, str, list[str]]) -> str:
    keys = ("question", "answer", "evidence", "rephrasings")
    return json.dumps({"pairs": [dict(zip(keys, pair, strict=True)) for pair in pairs]})


def test_every_wording_of_a_question_becomes_an_example_with_the_same_answer_and_its_evidence() -> None:
    written = _pairs(
        (
            "When does the ferry leave?",
            "every 40 minutes",
            "leaves every 40 minutes",
            ["How often does the ferry leave?"],
        )
    )
    first, second = QA(phrasings=2).examples([CHUNK], lambda prompts, **_: [written])
    assert [first.prompt, second.prompt] == ["When does the ferry leave?", "How often does the ferry leave?"]
    assert {first.completion, second.completion} == {"every 40 minutes"}
    assert {first.evidence, second.evidence} == {"leaves every 40 minutes"}
    assert not first.dropped
    assert not second.dropped


def test_an_invented_quotation_and_a_question_that_was_asked_before_are_dropped_with_their_reason() -> None:
    written = _pairs(
        ("When does the ferry leave?", "every 40 minutes", "it leaves when it is full of cars", []),
        ("When does the ferry leave", "every 40 minutes", "", []),
    )
    examples = QA(max_chunk_tokens=20).examples([CHUNK], lambda prompts, **_: [written])
    assert [e.dropped for e in examples] == ["evidence not found in the passage", "asked before"]


def test_the_judge_sees_the_passage_and_drops_what_it_denies() -> None:
    written = _pairs(
        ("When does the ferry leave?", "every 40 minutes", "", []),
        ("Who decides about the ferry?", "NorthPort.", "", []),
    )
    asked: list[str] = []

    def generate(prompts: list[str], *, schema: str = "", max_new_tokens: int = 512) -> list[str]:
        if "supported" not in schema:
            return [written]
        asked.extend(prompts)
        return ['{"supported": true, "reason": ""}', '{"supported": false, "reason": "a place decides nothing"}']

    examples = QA(max_chunk_tokens=20, judge=True).examples([CHUNK], generate)
    assert [e.dropped for e in examples] == ["", "judge: the passage does not support the answer"]
    assert all(TEXT in prompt for prompt in asked)


def test_a_query_answers_with_the_whole_passage() -> None:
    written = '{"questions": ["What should I know about the ferry?", "How is cheese made?"]}'
    kept, dropped = Query(max_chunk_tokens=20).examples([CHUNK], lambda prompts, **_: [written])
    assert (kept.prompt, kept.completion, kept.dropped) == ("What should I know about the ferry?", TEXT, "")
    assert dropped.dropped == "question is not about the passage"
    (silent,) = Query().examples([CHUNK], lambda prompts, **_: [""])
    assert silent.dropped == "engine wrote no question"
    (extractive,) = Query().examples([CHUNK], None)
    assert (extractive.completion, extractive.origin) == (TEXT, "extractive")


def test_of_an_answer_that_breaks_off_the_whole_pairs_are_kept() -> None:
    whole = '{"question": "When?", "answer": "At noon {sharp}.", "evidence": "", "rephrasings": ["At what time?"]}'
    cut = '{"pairs": [' + whole + ', {"question": "Where?", "answer": "At the'
    assert read_pairs(cut) == [Pair("When?", "At noon {sharp}.", "", ("At what time?",))]
    assert read_pairs(cut[: len(whole)]) == []
    assert read_pairs('{"pairs": [' + '{"a":' * 5000) == []


def test_the_answer_from_a_cut_section_ends_before_the_list_that_goes_on_elsewhere() -> None:
    lead = (
        "The ramp has levers for the mate of the ferry. " + "Each of them opens one door of the ramp and no other. " * 4
    )
    text = f"{lead}\n\n`first`\n\nOpens the door at the bow.\n\n`second`\n\nOpens the door at the stern."
    cut = replace(CHUNK, text=text, heading_path=("Ferry", "Levers"), metadata={"path": "a.md", "part": "1"})
    assert [e.completion for e in QA().examples([cut], None)] == [lead.strip()]
    assert QA().examples([replace(cut, text=text.partition("Each")[0] + text[len(lead) :])], None) == []
