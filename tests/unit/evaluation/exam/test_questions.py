"""Questions, passages and documents read from disk, the sample drawn from them, and a user's own file checked."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from exam_fixtures import NUM_DOCUMENTS, document_id, make_questions, write_training_set

from ray_ft.artifacts import TrainingSet
from ray_ft.errors import ConfigError, DataError, MissingArtifactError
from ray_ft.evaluation.exam.questions import (
    load_documents,
    load_questions,
    sample_held_out_documents,
    sample_questions,
    trained_documents,
)
from ray_ft.evaluation.exam.user_questions import SourceDocument, read_user_questions
from ray_ft.retrievers.passages import read_passages
from ray_ft.rows import Question

DOCUMENTS = [SourceDocument("0123:a.md", "a.md", "train"), SourceDocument("4567:b.md", "b.md", "test")]


@pytest.fixture
def training_set(tmp_path: Path) -> TrainingSet:
    return write_training_set(tmp_path / "data")


def test_passages_come_in_document_order_whatever_the_files_order(training_set: TrainingSet) -> None:
    expected = [f"{document_id(i)}#{j}" for i in range(NUM_DOCUMENTS) for j in range(2)]
    assert [passage.id for passage in read_passages(training_set.path)] == expected


def test_skipped_files_are_no_documents(training_set: TrainingSet) -> None:
    assert [d.id for d in load_documents(training_set)] == [document_id(i) for i in range(NUM_DOCUMENTS)]


def test_trained_documents_are_those_of_the_examples(training_set: TrainingSet) -> None:
    assert trained_documents(training_set) == {document_id(i) for i in range(0, NUM_DOCUMENTS, 2)}


def test_held_out_documents_are_test_documents_with_text(training_set: TrainingSet) -> None:
    drawn = sample_held_out_documents(training_set, num_documents=5, seed=0)
    assert len(drawn) == 5
    assert all(d.split == "test" and d.text for d in drawn)


def test_prepared_questions_are_read_back(training_set: TrainingSet) -> None:
    assert load_questions(training_set, None, []) == make_questions()


def test_a_training_set_without_questions_says_what_to_do(training_set: TrainingSet) -> None:
    (Path(training_set.path) / "questions.jsonl").write_text("")
    with pytest.raises(DataError, match=r"holds no questions.*data\.test_fraction.*evaluation\.questions"):
        load_questions(training_set, None, [])


def test_a_training_set_without_passages_names_the_verb_that_makes_it(training_set: TrainingSet) -> None:
    for file in (Path(training_set.path) / "passages.parquet").iterdir():
        file.unlink()
    (Path(training_set.path) / "passages.parquet").rmdir()
    with pytest.raises(MissingArtifactError, match="ray-ft prepare"):
        read_passages(training_set.path)


def questions_of(stratum: str, *, documents: int, each: int) -> list[Question]:
    return [
        Question(f"{stratum}-{d}-{i}", f"{stratum}-{d}", "", "q?", "r", stratum=stratum)  # type: ignore[arg-type]
        for d in range(documents)
        for i in range(each)
    ]


def test_strata_share_the_sample_evenly() -> None:
    pool = questions_of("seen", documents=50, each=2) + questions_of("held_out", documents=50, each=2)
    drawn = sample_questions(pool, num_questions=20, seed=0)
    assert Counter(q.stratum for q in drawn) == {"seen": 10, "held_out": 10}


def test_a_small_stratum_leaves_its_share_to_the_other() -> None:
    pool = questions_of("seen", documents=50, each=1) + questions_of("held_out", documents=3, each=1)
    drawn = sample_questions(pool, num_questions=20, seed=0)
    assert Counter(q.stratum for q in drawn) == {"seen": 17, "held_out": 3}


def test_every_document_is_asked_once_before_any_is_asked_twice() -> None:
    drawn = sample_questions(questions_of("held_out", documents=10, each=5), num_questions=13, seed=0)
    counts = Counter(q.document_id for q in drawn)
    assert len(counts) == 10
    assert sorted(counts.values()) == [1] * 7 + [2] * 3


def test_the_sample_depends_on_the_seed_and_not_on_the_order() -> None:
    pool = questions_of("held_out", documents=30, each=2)
    drawn = sample_questions(pool, num_questions=10, seed=0)
    assert sample_questions(pool[::-1], num_questions=10, seed=0) == drawn
    assert sample_questions(pool, num_questions=10, seed=1) != drawn


# --- user questions


def user(folder: Path, text: str | bytes) -> list[Question]:
    path = folder / "user.jsonl"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_user_questions(path, DOCUMENTS)


def test_missing_keys_are_filled_from_the_reference(tmp_path: Path) -> None:
    (question,) = user(tmp_path, '{"question": "How long?", "reference": "30 days"}\n')
    assert question == Question(
        "own-00001", "line 1", "", "How long?", "30 days", ("30 days",), "user", stratum="user", origin="source"
    )


def test_a_document_named_by_path_gives_the_stratum(tmp_path: Path) -> None:
    lines = [{"question": "q", "reference": "r", "document_id": path} for path in ("a.md", "b.md", "c.md")]
    found = user(tmp_path, "\n".join(map(json.dumps, lines)))
    assert [(q.document_id, q.stratum) for q in found] == [
        ("0123:a.md", "seen"), ("4567:b.md", "held_out"), ("c.md", "user")
    ]  # fmt: skip


def test_a_file_that_says_own_is_understood_with_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    line = '{"question": "q", "reference": "r", "stratum": "own"}\n'
    assert [q.stratum for q in user(tmp_path, line + line)] == ["user", "user"]
    assert [r.getMessage() for r in caplog.records] == [
        f"evaluation.questions: {tmp_path / 'user.jsonl'}: stratum own is called user now"
    ]


def test_an_unanswerable_question_needs_no_reference(tmp_path: Path) -> None:
    (question,) = user(tmp_path, '{"question": "Who won?", "answerable": false}')
    assert (question.answerable, question.reference, question.key_facts) == (False, "", ())


def test_blank_lines_and_a_byte_order_mark_are_no_questions(tmp_path: Path) -> None:
    assert len(user(tmp_path, b'\xef\xbb\xbf{"question": "q", "reference": "r"}\r\n\n')) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"question": "q"', "user.jsonl:2: not valid JSON"),
        ('["q", "r"]', "user.jsonl:2: expected an object"),
        (b'{"question": "\xff"}', "user.jsonl:2: not valid UTF-8"),
        ('{"question": "q"}', "user.jsonl:2: 'reference' is missing"),
        ('{"question": "q", "referance": "r"}', "Did you mean 'reference' where it says 'referance'"),
        ('{"question": 7, "reference": "r"}', "user.jsonl:2: question is 7; it must be a text"),
        ('{"question": " ", "reference": "r"}', "it must be a text with words"),
        ('{"question": "q", "reference": "r", "key_facts": "x"}', "key_facts is 'x'; it must be a list of texts"),
        ('{"question": "q", "reference": "r", "answerable": "no"}', "answerable is 'no'; it must be true or false"),
        ('{"question": "q", "reference": "r", "stratum": "new"}', "must be one of held_out, user, seen"),
        ('{"question": "q", "reference": "r", "id": "one"}', "id 'one' is taken by line 1"),
    ],
)
def test_a_bad_line_is_named_in_one_line(tmp_path: Path, line: str | bytes, message: str) -> None:
    first = b'{"id": "one", "question": "q", "reference": "r"}\n'
    with pytest.raises(ConfigError) as caught:
        user(tmp_path, first + (line if isinstance(line, bytes) else line.encode()))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_file_and_a_missing_file_are_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no questions"):
        user(tmp_path, "\n\n")
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere\.jsonl: No such file"):
        read_user_questions(tmp_path / "nowhere.jsonl", [])


def test_a_user_question_may_be_about_code_and_bring_its_test(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    rows = [
        {"question": "Add.", "reference": "def add(a, b): return a + b", "language": "py", "test": "assert add(1, 2)"},
        {"question": "Add.", "reference": "```cpp\nint add(int a, int b) { return a + b; }\n```"},
        {"question": "Who?", "reference": "The mate."},
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    questions = read_user_questions(path, ())
    assert [(q.language, q.test) for q in questions] == [("python", "assert add(1, 2)"), ("cpp", ""), ("", "")]
    for bad, why in (
        ({"question": "q", "reference": "r", "language": "cobol"}, "1: language is 'cobol'; it must be one of python"),
        ({"question": "q", "reference": "r", "test": "t"}, "1: test is given without language"),
    ):
        path.write_text(json.dumps(bad) + "\n")
        with pytest.raises(ConfigError, match=re.escape(why)):
            read_user_questions(path, ())
