"""What BM25 matches: headings, parts of identifiers, words beyond English; and its formula by hand."""

import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from ray_ft.quiet import import_bm25s
from ray_ft.retrievers.bm25 import BM25, BM25Index, split_words
from ray_ft.rows import Chunk


def passage(text: str, *, name: str = "a", heading_path: tuple[str, ...] = ()) -> Chunk:
    return Chunk(id=f"{name}#0", document_id=name, text=text, num_tokens=1, heading_path=heading_path)


def test_jax_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes three quarters of a GPU's memory when bm25s is imported, if bm25s sees it."""
    fakes = {name: ModuleType(name) for name in ("jax", "jax.lax")}  # without top_k: to ask for it is an error
    fakes["jax"].lax = fakes["jax.lax"]  # type: ignore[attr-defined]
    for name in [name for name in sys.modules if name.split(".")[0] == "bm25s"]:
        monkeypatch.delitem(sys.modules, name)
    for name, fake in fakes.items():
        monkeypatch.setitem(sys.modules, name, fake)
    import_bm25s.cache_clear()
    try:
        assert BM25().index([passage("Run it twice.")]).search("twice", 1)
        assert not import_bm25s().selection.JAX_IS_AVAILABLE
    finally:
        import_bm25s.cache_clear()
    assert {name: sys.modules[name] for name in fakes} == fakes


def test_a_heading_finds_its_passage() -> None:
    passages = [passage("Run it twice.", name="a"), passage("Run it once.", name="b", heading_path=("Installation",))]
    assert BM25().index(passages).search("installation", 2) == [passages[1]]


def test_identifiers_are_found_whole_and_by_part() -> None:
    assert split_words("max_seq_len") == ["max_seq_len", "max", "seq", "len"]
    assert split_words("HTTPServer2 loadModel") == ["httpserver2", "http", "server", "2", "loadmodel", "load", "model"]


def test_stop_words_and_case_do_not_count() -> None:
    assert split_words("What is THE Scheduler?") == ["what", "scheduler"]


def test_words_of_other_scripts_are_kept() -> None:
    assert split_words("Größe naïve Привет") == ["grösse", "naïve", "привет"]


def test_a_question_without_a_known_word_finds_nothing() -> None:
    assert BM25().index([passage("alpha beta")]).search("gamma", 3) == []


def test_scores_follow_the_formula() -> None:
    index = BM25Index([passage("alpha beta", name="a"), passage("beta gamma delta gamma", name="b")], k1=1.5, b=0.75)
    scores = index._scorer.get_scores(["gamma"])
    # N = 2, n = 1: idf = ln(1 + 1.5 / 1.5) = ln 2. f = 2, |d| = 4, mean = 3: k1 (1 - b + b 4 / 3) = 1.5 * 1.25 = 1.875
    assert scores[1] == pytest.approx(math.log(2) * 2 / (2 + 1.875), rel=1e-6)
    assert scores[0] == 0


LANGUAGES = yaml.safe_load((Path(__file__).parents[2] / "data/ten_languages.yaml").read_text(encoding="utf-8"))


def test_questions_in_ten_languages_and_one_more_find_their_passages() -> None:
    # all passages in one index; recall@3 by language
    passages = [
        passage(text, name=f"{language}{i}")
        for language, pairs in LANGUAGES.items()
        for i, (text, _) in enumerate(pairs)
    ]
    index = BM25().index(passages)
    found = {
        language: sum(
            f"{language}{i}" in [chunk.document_id for chunk in index.search(question, 3)]
            for i, (_, question) in enumerate(pairs)
        )
        / len(pairs)
        for language, pairs in LANGUAGES.items()
    }
    assert len(found) == 11
    assert found == dict.fromkeys(LANGUAGES, 1.0)


def test_scripts_without_spaces_count_by_character_and_by_two() -> None:
    assert split_words("末班船 开") == ["末", "末班", "班", "班船", "船", "开"]
    assert split_words("일요일에는") == ["일요일에는", "일요", "요일", "일에", "에는"]
    assert split_words("C++ and C# with x != 5") == ["c++", "c#", "x", "!=", "5"]
