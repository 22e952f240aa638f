"""Questions are spread over a document by length."""

from ray_ft.recipes.questions.coverage import allot
from ray_ft.rows import Chunk


def _chunks(*tokens: int) -> list[Chunk]:
    return [Chunk(f"0:a#qa-{i}", "0:a", "", n) for i, n in enumerate(tokens)]


def test_a_full_passage_gets_all_its_questions_and_a_short_one_at_least_one() -> None:
    assert allot(_chunks(256, 128, 10), per_chunk=4, full_tokens=256) == [4, 2, 1]


def test_a_limit_takes_from_the_whole_document_not_from_its_end() -> None:
    # 100 equal passages and 25 questions: points at (i + 1/2) / 25, so in every fourth passage, from the third on.
    counts = allot(_chunks(*[50] * 100), per_chunk=2, full_tokens=50, limit=25)
    assert [i for i, n in enumerate(counts) if n] == list(range(2, 100, 4))
    assert set(counts) == {0, 1}


def test_twice_the_text_gets_twice_the_questions() -> None:
    # 300 tokens, 6 questions: one for each 50.
    assert allot(_chunks(100, 200), per_chunk=99, full_tokens=100, limit=6) == [2, 4]


def test_a_limit_is_kept_for_any_lengths() -> None:
    for limit in (1, 2, 3, 7, 11):
        assert sum(allot(_chunks(3, 1, 4, 1, 5, 9, 2, 6), per_chunk=9, full_tokens=3, limit=limit)) == limit


def test_no_passages_get_no_questions() -> None:
    assert allot([], per_chunk=2, full_tokens=100, limit=5) == []
