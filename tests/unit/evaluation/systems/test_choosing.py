"""Retrieval chosen on validation documents: what is tried, what wins, and what never has a say."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ray_ft.config import EvaluationConfig
from ray_ft.evaluation.systems.choosing import choose_retrieval, of_length, validation_questions
from ray_ft.retrievers import BM25, Index
from ray_ft.rows import Chunk, user_message

OPEN = EvaluationConfig(num_passages=None)
ROOM = 10_000


def passage(document: str, place: int, text: str, *, num_tokens: int = 10, path: tuple[str, ...] = ("Guide",)) -> Chunk:
    return Chunk(f"{document}#{place}", document, text, num_tokens, path, 100 * place, 100 * place + len(text))


def corpus(folder: Path, *, deep: bool, split: str = "validation") -> tuple[list[Chunk], str]:
    """Twelve documents, each with a fact; `deep`: another passage has more of the question's words."""
    passages, rows = [], []
    for i in range(12):
        decoy = f"The lighter of boat{i} is lighter, and the boat{i} lighter is blue." if deep else "Nothing of note."
        passages += [passage(f"d{i}", 0, decoy), passage(f"d{i}", 1, f"The lighter of boat{i} carries {100 + i} tons.")]
        question = (
            f"What does the lighter of boat{i} carry: is lighter boat{i} lighter?" if deep else f"What carries boat{i}?"
        )
        answer = f"It carries {100 + i} tons."
        row = {"prompt": question, "completion": answer, "document_id": f"d{i}", "recipe": "qa", "split": split}
        rows.append(row)
    (folder / "examples.parquet").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "examples.parquet" / "part.parquet")
    return passages, str(folder)


def test_the_fewest_passages_win_that_show_the_facts(tmp_path: Path) -> None:
    passages, folder = corpus(tmp_path / "easy", deep=False)
    easy = choose_retrieval(passages, OPEN, folder, room=ROOM, seed=0)
    assert easy.num_passages == 1
    assert "on 12 questions about validation documents, 1 as prepared: 100% of the facts, 10 tokens" in easy.table
    passages, folder = corpus(tmp_path / "deep", deep=True)
    deep = choose_retrieval(passages, OPEN, folder, room=ROOM, seed=0)
    assert deep.num_passages == 2
    assert "1 as prepared: 0% of the facts" in deep.table
    # Where two passages of 10 tokens do not fit, one is shown, whatever it is worth.
    assert choose_retrieval(passages, OPEN, folder, room=15, seed=0).num_passages == 1
    assert deep.passages is passages
    assert deep.notes == ()


def test_a_fixed_number_and_no_lengths_ask_nothing_of_validation(tmp_path: Path) -> None:
    passages, _ = corpus(tmp_path, deep=True)
    fixed = choose_retrieval(passages, replace(OPEN, num_passages=5), "no such folder", room=ROOM, seed=0)
    assert (fixed.num_passages, fixed.table, fixed.notes) == (5, "", ())


def test_without_validation_questions_the_default_stands_and_that_is_said(tmp_path: Path) -> None:
    passages, folder = corpus(tmp_path, deep=True, split="test")  # the exam's documents have no say
    fallen = choose_retrieval(passages, OPEN, folder, room=ROOM, seed=0)
    assert (fallen.num_passages, fallen.table) == (3, "")
    assert "3 passages as they were prepared are shown" in fallen.notes[0]


def test_lengths_are_chosen_too(tmp_path: Path) -> None:
    passages, folder = corpus(tmp_path, deep=True)
    both = choose_retrieval(passages, replace(OPEN, passage_tokens=(10, 20)), folder, room=ROOM, seed=0)
    # Two of 10 tokens show as much as one of 20: whatever shows the fewest tokens, and the first of those.
    assert (both.num_passages, len(both.passages)) == (2, 24)
    assert "1 of 20 tokens: 100% of the facts, 20 tokens" in both.table
    one = choose_retrieval(passages, replace(OPEN, num_passages=1, passage_tokens=(10, 20)), folder, room=ROOM, seed=0)
    assert (one.num_passages, len(one.passages)) == (1, 12)
    assert isinstance(one.index, Index)


def test_questions_with_passages_in_them_and_other_wordings_are_not_asked(tmp_path: Path) -> None:
    rows = [
        dict(zip(("prompt", "completion", "recipe", "split", "document_id"), (*row, "d"), strict=True))
        for row in (
            ("When?", "At 7:40 every day.", "qa", "validation"),
            ("At what time?", "At 7:40 every day.", "qa", "validation"),
            (user_message("When?", ("At 7:40.",)), "At 7:41 sharp.", "qa", "validation"),
            ("Times", "At 7:42 sharp.", "heading", "validation"),
            ("When?", "At 7:43 sharp.", "qa", "train"),
        )
    ]
    (tmp_path / "examples.parquet").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "examples.parquet" / "part.parquet")
    assert [q.question for q in validation_questions(str(tmp_path), seed=0)] == ["When?"]


def test_passages_are_joined_within_headings_and_cut_at_sentences() -> None:
    parts = [
        passage("a", 0, "One. Two.", path=("Guide", "North")),
        passage("a", 1, "Three.", path=("Guide", "South")),
        passage("a", 2, "Four.", path=("Other",)),
        passage("b", 0, "Five.", path=("Guide",)),
    ]
    joined = of_length(parts, 25)
    assert [(p.text, p.heading_path, p.num_tokens) for p in joined] == [
        ("One. Two.\n\nThree.", ("Guide",), 20), ("Four.", ("Other",), 10), ("Five.", ("Guide",), 10),
    ]  # fmt: skip
    assert len({p.id for p in joined}) == 3
    # 40 characters and 20 tokens: a sentence of 20 characters has 10
    long = [passage("a", 0, "A sentence of words. Another of as many.", num_tokens=20)]
    cut = of_length(long, 12)
    assert [(p.text, p.num_tokens) for p in cut] == [("A sentence of words.", 10), ("Another of as many.", 10)]
    assert [long[0].text[p.start : p.end].strip() for p in cut] == [p.text for p in cut]
    assert of_length(long, 16)[0].text == "A sentence of words."
    assert BM25().index(cut).search("another", 1)[0].text == "Another of as many."
