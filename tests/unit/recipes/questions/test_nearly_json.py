"""What engines write that is nearly JSON: the pairs that are whole are kept."""

import json
import time

import pytest

from ray_ft.recipes.questions.loose_json import without_thoughts
from ray_ft.recipes.questions.written import Pair, objects_with, read_pairs, read_questions, read_verdict

PAIR = Pair("What opens the valve?", "The red lever opens the valve.", "The red lever opens the valve")
OK = json.dumps({"question": PAIR.question, "answer": PAIR.answer, "evidence": PAIR.evidence})
PLAIN = Pair(PAIR.question, PAIR.answer)
CASES = {
    "a comma too many": f'{{"pairs":[{OK},]}}',
    "commas everywhere": f'{{"pairs":[{OK[:-1]},}},],}}',
    "cut at the limit": f'{{"pairs":[{OK},{{"question":"When is',
    "cut in an answer": f'{{"pairs":[{OK},{{"question":"When?","answer":"At noon and',
    "cut in the evidence": f'{{"pairs":[{OK},{{"question":"When?","answer":"At noon.","evid',
    "cut in a list": f'[{{"pairs":[{OK},{{"question":"Wh',
    "one object": OK,
    "the same twice": f"{OK}\n{OK}",
    "keys with capitals": f'{{"Pairs":[{OK.replace("question", "Question").replace("answer", "ANSWER")}]}}',
    "thoughts first": f'<think>{{"pairs": []}} is the form</think>{{"pairs":[{OK}]}}',
    "a draft in thoughts": f'<think>{OK.replace("red", "green")}</think>{{"pairs":[{OK}]}}',
    "thoughts that the prompt opened": f'So {{"pairs": []}}, then.</think>\n{{"pairs":[{OK}]}}',
    "thoughts behind": f'{{"pairs":[{OK}]}}<think>Was that all?',
    "thoughts of a channel": f'<|channel|>analysis<|message|>{{}}<|end|><|channel|>final<|message|>{{"pairs":[{OK}]}}',
    "the form before": f'{{"pairs":[{{"question": "...", "answer": "..."}}]}}\nHere: {{"pairs":[{OK}]}}',
    "an empty list before": f'{{"pairs": []}} Now: {{"pairs":[{OK}]}}',
    "fences": f"```json\n{OK},\n```",
    "a bracket before": f'Use {{ to open. {{"pairs":[{OK}]}}',
    "a remark inside": f'{{"pairs":[{OK}, // the first\n]}}',
    "no end of the list": f'{{"pairs":[{OK}}}',
    "quotation marks of another kind": OK.replace('": "', "”: “").replace('", "', "”, “").replace('"', "“", 1)[:-2]
    + "”}",
    "single quotation marks": str(json.loads(OK)),
    "bare keys": f'{{pairs:[{{question:"{PAIR.question}",answer:"{PAIR.answer}",evidence:"{PAIR.evidence}",}}]}}',
}
LINES = {
    "bold marks": f"**Question 1:** {PAIR.question}\n**Answer:** {PAIR.answer}",
    "bold words": f"**Q1**: **{PAIR.question}**\n**A1**: {PAIR.answer}",
    "numbers": f"1. Question: {PAIR.question}\n   Answer: {PAIR.answer}",
    "a list": f"- Q: {PAIR.question}\n- A: {PAIR.answer}",
    "headings": f"### Question 1\n{PAIR.question}\n### Answer\n{PAIR.answer}\n\n---",
    "small letters": f"q: {PAIR.question}\na: {PAIR.answer}",
}


@pytest.mark.parametrize("text", CASES.values(), ids=CASES)
def test_whole_pairs_are_kept(text: str) -> None:
    assert read_pairs(text) == [PAIR]


@pytest.mark.parametrize("text", LINES.values(), ids=LINES)
def test_pairs_in_lines_are_read_with_marks_around_them(text: str) -> None:
    assert read_pairs(text) == [PLAIN]


def test_the_evidence_in_lines_is_no_part_of_the_answer() -> None:
    text = (
        f'**Q:** {PAIR.question}\n**A:** {PAIR.answer}\n**Evidence:** "{PAIR.evidence}"\n---\n**Q:** Who?\n**A:** He.'
    )
    assert read_pairs(text) == [PAIR, Pair("Who?", "He.")]


def test_line_ends_and_quotation_marks_in_texts_are_text() -> None:
    assert read_pairs('{"pairs":[{"question":"What\nopens it?","answer":"The lever."}]}') == [
        Pair("What opens it?", "The lever.")
    ]
    assert read_pairs('[{"question":"What is "WAL"?","answer":"The "write-ahead" log."}]') == [
        Pair('What is "WAL"?', 'The "write-ahead" log.')
    ]
    assert read_pairs(r'[{"question":"What is \d?","answer":"A \"digit\".",}]') == [Pair(r"What is \d?", 'A "digit".')]


@pytest.mark.parametrize("text", [f"<think>{OK}", "<think>", '{"question": "Wh', "{", "[" * 9999, '{"a":' * 9999])
def test_what_holds_no_whole_pair_gives_none(text: str) -> None:
    assert read_pairs(text) == []


def test_thoughts_are_left_out() -> None:
    assert without_thoughts("a<think>b</think>c<thinking>d</thinking>e") == "ace"
    assert without_thoughts("b</think>c") == "c"
    assert without_thoughts("a[THINK]b") == "a"


def test_questions_and_verdicts_are_read_likewise() -> None:
    assert read_questions('<think>["no?"]</think>{"Questions": ["When?", "Where?",]}') == ["When?", "Where?"]
    assert read_questions('{"questions": ["When?", "Wher') == ["When?"]
    assert read_questions("**1.** When?\n2) Where?") == ["When?", "Where?"]
    assert read_verdict('<think>{"supported": false}?</think>{"Supported": true,}') is True
    assert read_verdict('{"supported": "no", "reason": "cut') is False
    assert objects_with('{"better": "A",}', "better") == [{"better": "A"}]


def test_long_nonsense_takes_no_long_time() -> None:
    started = time.process_time()
    for text in ('{"a"' * 3000, '["' * 5000, '{"q":"' + '"x' * 5000, "[1," * 5000):
        read_pairs(text)
    assert time.process_time() - started < 5
