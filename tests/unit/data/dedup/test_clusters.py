"""Duplicates and near duplicates share a split, one of them stays, and no lot moves because of another document."""

import random
from dataclasses import replace
from typing import Any

import pytest

from ray_ft.data.dedup.clusters import Placing, place
from ray_ft.data.dedup.heads import Head
from ray_ft.data.dedup.minhash import signature
from ray_ft.data.dedup.placements import Placements
from ray_ft.data.dedup.shingles import shingles
from ray_ft.data.dedup.splits import Bounds, content_key

HOW = Placing(Bounds.of(validation_fraction=0.2, test_fraction=0.2), seed=0)


def _words(seed: int, number: int = 200) -> list[str]:
    draw = random.Random(seed)
    return [f"word{draw.randrange(10_000)}" for _ in range(number)]


def _head(name: str, text: str, **settings: Any) -> Head:
    signed = signature(shingles(text))
    signed_bytes = b"" if signed is None else signed.tobytes()
    settings = {"is_file": True, "is_usable": True, "signature": signed_bytes, **settings}
    return Head(name, content_key(text), len(text), **settings)


def _place(texts: dict[str, str], how: Placing = HOW, **settings: dict[str, Any]) -> dict[str, Any]:
    heads = [_head(name, text, **settings.get(name, {})) for name, text in texts.items()]
    made = _all(heads, list(texts.values()), how)
    return dict(zip(texts, made.all, strict=True))


def _all(heads: list[Head], texts: list[str], how: Placing = HOW) -> Placements:
    return place(heads, how=how, text_of=texts.__getitem__)


def _changed(words: list[str], places: range) -> str:
    return " ".join(f"other{i}" if i in places else word for i, word in enumerate(words))


def test_of_copies_and_near_copies_the_longest_stays_and_the_others_say_of_what() -> None:
    words = _words(0)
    text = " ".join(words)
    placed = _place(
        {
            "a.md": text,
            "b.md": text.replace(" ", "\n"),
            "c.md": text + " and some more words",
            "d.md": _changed(words, range(0, 200, 10)),  # 20 words changed touch half of the runs
        }
    )
    assert placed["a.md"].reason == "near copy of another file"
    assert placed["a.md"].note == "of c.md"
    assert placed["b.md"].reason == "copy of another file"
    assert placed["b.md"].note == "of a.md"
    assert placed["c.md"].reason == placed["d.md"].reason == ""
    assert len({placed[name].cluster for name in ("a.md", "b.md", "c.md")}) == 1
    assert len({placed[name].split for name in ("a.md", "b.md", "c.md")}) == 1
    assert placed["d.md"].cluster != placed["a.md"].cluster


@pytest.mark.parametrize(("deduplicate", "dropped"), [("near", {"b", "c"}), ("exact", {"b"}), ("none", set())])
def test_what_stays_is_chosen_and_the_split_is_shared_all_the_same(deduplicate: Any, dropped: set[str]) -> None:
    words = _words(1)
    for seed in range(20):
        placed = _place(
            {"a": " ".join(words), "b": "  ".join(words), "c": _changed(words, range(2)), "z": " ".join(_words(99))},
            replace(HOW, deduplicate=deduplicate, seed=seed),
        )
        assert {name for name, p in placed.items() if p.reason} == dropped
        assert len({placed[name].split for name in "abc"}) == 1


def test_the_ends_of_a_chain_share_a_split_but_only_what_is_near_to_the_kept_one_is_left_out() -> None:
    words = _words(2, 400)
    # Each link changes 60 words in a row, hence 64 of 396 runs: 332 / 460 = 0.72 of the next but one, 0.75 asked.
    first, second, third = words, words[40:] + _words(3, 40), words[80:] + _words(3, 40) + _words(4, 40)
    texts = {"first": " ".join(first) + " longest", "second": " ".join(second), "third": " ".join(third)}
    placed = _place(texts, replace(HOW, threshold=0.75))
    assert len({p.cluster for p in placed.values()}) == 1
    assert [placed[name].reason for name in texts] == ["", "near copy of another file", ""]


def test_a_cluster_goes_with_the_split_that_a_dataset_gives_one_of_it() -> None:
    text = " ".join(_words(5))
    lines = {"is_file": False}
    placed = _place(
        {"doc.md": text, "t.jsonl:1": text, "v.jsonl:1": text, "train.jsonl:1": text, "free.jsonl:1": text},
        **{
            "t.jsonl:1": {**lines, "given": "test"},
            "v.jsonl:1": {**lines, "given": "validation"},
            "train.jsonl:1": {**lines, "given": "train"},
            "free.jsonl:1": lines,
        },
    )
    assert {p.split for p in placed.values()} == {"test"}
    left_out = {name: p.reason for name, p in placed.items() if p.reason}
    assert left_out == {"v.jsonl:1": "copy of a held-out line", "train.jsonl:1": "copy of a held-out line"}


def test_what_is_in_an_evaluation_set_is_left_out() -> None:
    placed = _place({"a": " ".join(_words(6)), "b": " ".join(_words(7))}, a={"is_contaminated": True})
    assert (placed["a"].reason, placed["b"].reason) == ("in an evaluation set", "")


def test_another_document_moves_none_and_any_order_gives_the_same() -> None:
    texts = {f"{i}": " ".join(_words(i)) for i in range(60)}
    texts |= {f"{i}~": _changed(texts[f"{i}"].split(), range(3)) for i in range(0, 60, 4)}
    placed = _place(texts)
    assert {p.split for p in placed.values()} == {"train", "validation", "test"}
    assert sum(bool(p.reason) for p in placed.values()) == 15
    more = _place({**texts, "new": " ".join(_words(1000))})
    assert {name: more[name] for name in texts} == placed
    shuffled = list(texts)
    random.Random(0).shuffle(shuffled)
    assert _place({name: texts[name] for name in shuffled}) == placed


def test_what_cannot_be_used_takes_no_part() -> None:
    text = " ".join(_words(8))
    heads = [Head("empty.md", "", 0, True, False), _head("a", text), Head("bad.jsonl:3", "", 0, False, False)]
    made = _all(heads, ["", text, ""])
    assert [p.reason for p in made.all] == ["", "", ""]
    assert made.num_clusters == 0


def test_short_texts_are_told_by_equality_alone() -> None:
    placed = _place({"a": "Opens at nine.", "b": "Opens at\nnine.", "c": "Opens at ten."})
    assert [placed[name].reason for name in "abc"] == ["", "copy of another file", ""]
