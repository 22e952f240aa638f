"""Questions that are looked through: what is kept is what the exam asks, and whoever stops has lost nothing."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from exam_fixtures import write_training_set

from ray_ft.artifacts import ReviewItem
from ray_ft.config import EvaluationConfig
from ray_ft.errors import ConfigError
from ray_ft.evaluation.exam.questions import load_documents
from ray_ft.evaluation.exam.user_questions import read_user_questions
from ray_ft.evaluation.review.items import Decisions, mended, review_items
from ray_ft.evaluation.review.page import render_page
from ray_ft.evaluation.review.terminal import go_through
from ray_ft.rows import Question


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[ReviewItem]:
    folder = tmp_path_factory.mktemp("run") / "data"
    return review_items(write_training_set(folder), EvaluationConfig(num_questions=6), seed=0)


def saying(*lines: str) -> Callable[[str], str]:
    """A person who types these lines, and then closes the terminal."""
    given: Iterator[str] = iter(lines)

    def ask(prompt: str) -> str:
        try:
            return next(given)
        except StopIteration:
            raise EOFError from None

    return ask


def test_every_question_stands_beside_the_passage_that_answers_it(items: list[ReviewItem]) -> None:
    assert len(items) == 6
    for item in items:
        assert item.path.startswith("guide/")
        assert item.question.reference in item.passage or any(f in item.passage for f in item.question.key_facts)


def test_what_is_kept_and_mended_is_asked_and_what_is_dropped_is_not(items: list[ReviewItem], tmp_path: Path) -> None:
    decisions, said = Decisions(tmp_path / "kept.jsonl"), list[str]()
    ask = saying("", "m", "How wide is it?", "It is 3 m wide.", "", "d", "what?", "d", "b", "k", "s")
    go_through(items, decisions, ask=ask, say=said.append)
    assert "'what?' is none of them." in said
    kept = read_user_questions(decisions.path, ())
    assert [q.id for q in kept] == [item.question.id for item in items[:2]] + [items[3].question.id]
    assert kept[0].question == items[0].question.question
    assert (kept[1].question, kept[1].reference) == ("How wide is it?", "It is 3 m wide.")
    assert {q.stratum for q in kept} <= {"seen", "held_out"}
    assert list(decisions.dropped) == [items[2].question.id]


def test_whoever_comes_back_goes_on(items: list[ReviewItem], tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    go_through(items, Decisions(path), ask=saying("", "d"), say=lambda text: None)
    shown = list[str]()
    go_through(items, Decisions(path), ask=saying("", "", "", ""), say=shown.append)
    assert shown[0].startswith("\n[3 of 6] ")
    again = Decisions(path)
    assert (len(again.kept), len(again.dropped)) == (5, 1)
    assert all(again.is_decided(item.question) for item in items)


def test_the_kept_file_is_the_exam(items: list[ReviewItem], tmp_path: Path) -> None:
    training_set = write_training_set(tmp_path / "data")
    decisions = Decisions(tmp_path / "kept.jsonl")
    for item in items[:4]:
        decisions.keep(item.question)
    given = read_user_questions(decisions.path, load_documents(training_set))
    assert [(q.id, q.document_id, q.chunk_id, q.stratum) for q in given] == [
        (i.question.id, i.question.document_id, i.question.chunk_id, i.question.stratum) for i in items[:4]
    ]


@pytest.mark.parametrize(
    ("facts", "reference", "wanted"),
    [
        ((), "Boats leave at 7.", ("7",)),  # 9 is said no more
        ((), "Boats leave at noon.", ("Boats leave at noon.",)),
        (("noon ", " "), "Boats leave at noon.", ("noon",)),
    ],
)
def test_facts_follow_the_answer(facts: tuple[str, ...], reference: str, wanted: tuple[str, ...]) -> None:
    question = Question("1", "d", "", "When?", "Boats leave at 7 and 9.", ("7", "9"))
    assert mended(question, text="When?", reference=reference, key_facts=facts).key_facts == wanted


def test_files_that_cannot_take_decisions_are_named(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    with pytest.raises(ConfigError, match=r"is evaluation\.questions itself"):
        Decisions(path, source=str(path))
    path.write_text("no JSON\n")
    with pytest.raises(ConfigError, match=r"kept.jsonl:1: not valid JSON"):
        Decisions(path)
    (tmp_path / "file").write_text("")
    decisions = Decisions(tmp_path / "file" / "kept.jsonl")
    with pytest.raises(ConfigError, match="cannot write"):
        decisions.keep(Question("1", "d", "", "When?", "At 7."))


def test_no_text_ends_the_pages_script() -> None:
    evil = "</script><script>alert(1)</script><!--"
    item = ReviewItem(Question("1", "d", "", evil, evil, (evil,)), evil, evil, (evil,))
    page = render_page([item], run_name=evil, file_name="kept.jsonl")
    assert page.count("</script>") == 2
    begin = page.index('id="items">') + len('id="items">')
    (row,) = json.loads(page[begin : page.index("</script>", begin)])
    assert (row["line"]["question"], row["passage"]) == (evil, evil)
