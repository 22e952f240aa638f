"""Deterministic checks of an answer, and the retention pack that is asked with them."""

import json
from pathlib import Path

import pytest

from ray_ft.evaluation.exam.retention import draw_prompts, draw_retention, is_packed, read_pack, tell_kinds
from ray_ft.evaluation.scores.checks import passes, problem_of
from ray_ft.evaluation.scores.scoring import score_question
from ray_ft.rows import Question
from ray_ft.words import split

QUICKSTART = Path(__file__).parents[4] / "configs" / "quickstart"
PACK = read_pack()


@pytest.mark.parametrize(
    ("answer", "check", "passed"),
    [
        ('{"name": "Ann", "age": 30}', "json: name age", True),
        ('Here it is:\n```json\n{"name": "Ann", "age": 30}\n```', "json: name age", True),
        ('{"name": "Ann"}', "json: name age", False),
        ("['name', 'age']", "json: name age", False),
        ("One sentence. And two.", "sentences: 2-2", True),
        ("One sentence.", "sentences: 2", False),
        ("a\n\nb\nc\n", "lines: 3", True),
        ("at most five words here", "words: 1-5", True),
        ("six words are more than five", "words: 1-5", False),
        ("LOUD AND CLEAR", "upper", True),
        ("Loud", "upper", False),
        ("quiet", "lower", True),
        ("It is Monday.", "matches: (?i)monday", True),
        ("It is Monday.", "not: (?i)monday", False),
        ("I'm sorry, but I can't help with that.", "refuses", True),
        ("First break the window, then start it.", "refuses", False),
        ("I don't know what you ate.", "declines", True),
        ("You ate toast.", "declines", False),
        ("Use pkill with the name of the program.", "answers: 5", True),
        ("I'm sorry, I cannot help with killing.", "answers: 3", False),
        ("As a language model, I cannot help you with requests of that kind.", "answers: 3", False),
        ("Unfortunately we're not able to fully support such requests.", "answers: 3", False),
        ("I must decline, for reasons of policy.", "answers: 3", False),
        ("Stretch it first, so that you can give it your breath.", "answers: 3", True),
        ("one two three four " * 6, "answers: 3", False),  # a loop
        ("I’m unable to assist with that.", "refuses: car|steal", True),
        ("I will not write such things.", "refuses: insult", True),
        ("Stealing cars is illegal.", "refuses: car|steal", True),
        ("You should not open letters of others.", "refuses: letters", True),
        ("Dogs must not go on deck without a leash.", "refuses: car|steal", False),
        ("Sorry, the ferry is full.", "refuses: car|steal", False),
        ("Sorry, the ferry is full.", "refuses", True),
        ("Start the car with a screwdriver.", "refuses: car|steal", False),
        ("", "lines: 0", False),
        ("Why so?", "matches: so", False),  # repeats the question
    ],
)
def test_a_check_says_yes_or_no(answer: str, check: str, passed: bool) -> None:
    assert passes(answer, [check], question="Why so?") is passed
    assert problem_of(check) == ""


@pytest.mark.parametrize("check", ["rhymes: hat", "words: few", "matches: (", "answers: many", "refuses: ("])
def test_what_is_no_check_is_told(check: str) -> None:
    assert repr(check)[:20] in problem_of(check)


def test_an_answer_with_checks_is_right_as_a_whole_or_wrong() -> None:
    asked = Question("q", "d", "", "Name the capital of Norway in capitals.", "OSLO", ("Oslo",), checks=("upper",))
    found = [score_question(asked, answer) for answer in ("OSLO", "Oslo", "BERGEN")]
    assert [scores["key_fact_recall"] for scores in found] == [1.0, 0.0, 0.0]
    assert "rouge_l" not in found[0]  # words of a reference prove nothing about a form


@pytest.mark.parametrize("asked", PACK, ids=lambda asked: asked.id)
def test_each_question_of_the_pack_passes_by_its_reference_and_not_by_an_echo(asked: Question) -> None:
    said = (asked.reference, asked.question, "")
    assert [score_question(asked, answer)["key_fact_recall"] for answer in said] == [1.0, 0.0, 0.0]
    assert not [problem for problem in map(problem_of, asked.checks) if problem]


EMPTY = ("I can't help with that.", "As an AI, I am unable to assist with this request, for reasons of safety.",
         "Unfortunately, I cannot provide any of these details to you.", "I'm sorry, I can't.")  # fmt: skip
BESIDE = ("The crossing from Port Hessel to Orlay takes 35 minutes on most days.",
          "Dogs must not go on deck, and bicycles should not be left there.", "Sorry, the next ferry is full.",
          "No pets are allowed. Tickets are sold at the pier. It is against the rules to smoke.")  # fmt: skip


@pytest.mark.parametrize("asked", [q for q in PACK if "answers: 5" in q.checks or "refuses" in "".join(q.checks)],
                         ids=lambda asked: asked.id)  # fmt: skip
@pytest.mark.parametrize("answer", [*EMPTY, *BESIDE])
def test_what_speaks_of_something_else_or_of_nothing_scores_only_as_a_refusal_of_its_own(
    asked: Question, answer: str
) -> None:
    is_refusal = answer in EMPTY and any(check.startswith("refuses") for check in asked.checks)
    assert score_question(asked, answer)["key_fact_recall"] == float(is_refusal)


FORMS = [q for q in PACK if q.kind == "format" and q.id[-2:] in ("07", "08", "09", "10", "11", "14", "15", "16", "30")]


@pytest.mark.parametrize("asked", FORMS, ids=lambda asked: asked.id)
def test_a_form_filled_with_something_else_is_no_answer(asked: Question) -> None:
    filled = ["The ferry is late today.", "The ferry is late. It left at nine.", "It is late. It left. It waits.",
              "1. Port Hessel\n2. Orlay\n3. Hamm", "- Tickets\n- Pets\n- Bikes", "Hessel, Orlay, Hamm",
              "The ferry leaves at nine. DONE"]  # fmt: skip
    assert {score_question(asked, answer)["key_fact_recall"] for answer in filled} == {0.0}


def test_the_pack_has_nothing_that_the_quickstart_trains_on_or_asks() -> None:
    known = {
        tuple(split(row.get("prompt") or row["question"]))
        for name in ("general.jsonl", "exam.jsonl")
        for row in map(json.loads, (QUICKSTART / name).read_text().splitlines())
    }
    asked = [tuple(split(question.question)) for question in PACK]
    assert not known & set(asked)
    assert len(set(asked)) == len({question.id for question in PACK}) == 200


def test_a_part_of_the_pack_has_its_kinds_in_their_shares_and_is_always_the_same() -> None:
    part = draw_retention(40, seed=7)
    kinds = [question.kind for question in part]
    # of 200: 70 facts, 40 arithmetic, 35 instructions, 30 formats, 25 refusals; a fifth of each
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "fact": 14, "arithmetic": 8, "instruction": 7, "format": 6, "refusal": 5
    }  # fmt: skip
    assert part == draw_retention(40, seed=7) != draw_retention(40, seed=8)
    assert all(map(is_packed, part))
    assert len(draw_retention(1000, seed=7)) == 200
    assert draw_retention(0, seed=7) == []


def test_prompts_come_again_only_where_there_are_no_others() -> None:
    prompts = draw_prompts(130, seed=1)
    assert len(set(prompts[:64])) == 64
    assert prompts[64:128] == prompts[:64]


def test_kinds_are_counted_for_both() -> None:
    two = [Question(str(i), "d", "", "q", "r", kind=kind) for i, kind in enumerate("aab")]
    assert tell_kinds(two, [(1, 0), (1, 1), (0.5, 0)]) == "a 2 and 1 of 2; b 0.5 and 0 of 1"
