"""Every retriever against one suite; registering a retriever enrols it here."""

import dataclasses
from pathlib import Path

import pytest
from random_embedder import random_embedder

from ray_ft.errors import ModelError
from ray_ft.retrievers import RETRIEVERS, Hybrid, Retriever
from ray_ft.retrievers.hybrid import FusedIndex
from ray_ft.rows import Chunk

TEXTS = (
    "The scheduler retries a failed task three times before it gives up.",
    "Adapters are small matrices beside frozen weights.",
    "Set `max_seq_len` to bound the length of a packed row.",
    "Passages are cut at sentence ends, never inside a word.",
)
PASSAGES = [
    Chunk(id=f"handbook#{i}", document_id="handbook", text=text, num_tokens=12, heading_path=("Handbook",))
    for i, text in enumerate(TEXTS)
]


@pytest.fixture(params=list(RETRIEVERS))
def retriever(request: pytest.FixtureRequest, embedding_model_path: str) -> Retriever:
    """One of each, with its own defaults, and a small model where it wants one."""
    kind = RETRIEVERS[request.param]
    wants = {field.name for field in dataclasses.fields(kind)} & {"model"}
    return kind(**dict.fromkeys(wants, embedding_model_path))


@pytest.fixture(scope="module")
def embedding_model_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return random_embedder(tmp_path_factory.mktemp("embeddings"), TEXTS)


def test_a_retriever_knows_its_name(retriever: Retriever) -> None:
    assert RETRIEVERS[retriever.name] is type(retriever)


@pytest.mark.parametrize("position", range(len(TEXTS)))
def test_a_passage_is_found_by_its_own_text(retriever: Retriever, position: int) -> None:
    assert retriever.index(PASSAGES).search(TEXTS[position], 1)[0] == PASSAGES[position]


def test_no_more_passages_come_back_than_were_asked_for(retriever: Retriever) -> None:
    assert len(retriever.index(PASSAGES).search("frozen weights of a failed task", 1)) == 1


def test_no_passage_comes_back_twice_when_more_are_asked_for_than_exist(retriever: Retriever) -> None:
    found = retriever.index(PASSAGES).search(" ".join(TEXTS), 50)
    assert len({chunk.id for chunk in found}) == len(found) <= len(PASSAGES)


def test_the_same_question_finds_the_same_passages_in_the_same_order(retriever: Retriever) -> None:
    question = "which weights does a failed task keep in a packed row?"
    assert retriever.index(PASSAGES).search(question, 4) == retriever.index(list(PASSAGES)).search(question, 4)


def test_ranked_passages_are_those_that_are_found_and_their_scores_fall(retriever: Retriever) -> None:
    index, question = retriever.index(PASSAGES), "which weights does a failed task keep in a packed row?"
    ranked = index.ranked(question, 4)
    assert [passage for passage, _ in ranked] == index.search(question, 4)
    scores = [score for _, score in ranked]
    assert len(scores) > 1
    assert scores == sorted(scores, reverse=True)


def test_equal_passages_keep_their_own_order(retriever: Retriever) -> None:
    twins = [Chunk(id=f"twin#{i}", document_id="twin", text=TEXTS[1], num_tokens=9) for i in range(20)]
    found = retriever.index(twins).search("frozen weights", 5)
    assert [chunk.id for chunk in found] == ["twin#0", "twin#1", "twin#2", "twin#3", "twin#4"]


@pytest.mark.parametrize("question", ["", "   ", "?!", "the", "日本語だけの質問", "\x00\ufffd"])
def test_a_question_with_nothing_to_find_is_no_error(retriever: Retriever, question: str) -> None:
    assert len(retriever.index(PASSAGES).search(question, 3)) <= 3


def test_passages_without_words_can_be_indexed(retriever: Retriever) -> None:
    empty = [Chunk(id="empty#0", document_id="empty", text="---", num_tokens=1)]
    assert len(retriever.index(empty).search("weights", 3)) <= 1


def test_a_model_that_is_not_there_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"^evaluation\.retriever\.model: cannot load '.*nowhere' .*give the folder"
    ) as error:
        RETRIEVERS["dense"](model=str(tmp_path / "nowhere")).index(PASSAGES)  # type: ignore[call-arg]
    assert "\n" not in str(error.value)


def test_fused_rankings_prefer_what_both_find(embedding_model_path: str) -> None:
    class Fixed:
        def __init__(self, *order: int) -> None:
            self.order = order

        def search(self, question: str, num_passages: int) -> list[Chunk]:
            return [PASSAGES[i] for i in self.order][:num_passages]

    # 1/61 + 1/62 for the second of one and the first of the other; 1/61 for what only one finds
    fused = FusedIndex([Fixed(0, 1), Fixed(1, 2)], rank_constant=60, depth=10)
    assert fused.search("", 3) == [PASSAGES[1], PASSAGES[0], PASSAGES[2]]
    # a word that only its own passage has, and one that means nothing to BM25
    hybrid = Hybrid(model=embedding_model_path).index(PASSAGES)
    assert hybrid.search("max_seq_len", 1) == [PASSAGES[2]]
