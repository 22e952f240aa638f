"""Placing that sorts a few records at a time, from files, gives what it gives in memory at once."""

import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ray_ft.data.dedup import columns, containment, minhash
from ray_ft.data.dedup.clusters import Placing, place
from ray_ft.data.dedup.columns import HELD, Columns, Records, Shared
from ray_ft.data.dedup.edges import key_of
from ray_ft.data.dedup.heads import EDGE, SECTION, Head
from ray_ft.data.dedup.minhash import signature
from ray_ft.data.dedup.placements import Placements
from ray_ft.data.dedup.shingles import shingles
from ray_ft.data.dedup.splits import Bounds, content_key

NUMBER = 250


def _corpus(seed: int) -> tuple[list[str], list[Head]]:
    """Documents with copies, near copies, parts of others, sections that come again, and lines with given splits."""
    draw = random.Random(seed)
    sections = [" ".join(f"w{draw.randrange(3000)}" for _ in range(draw.randrange(5, 80))) for _ in range(NUMBER)]
    made: list[list[str]] = []
    for _ in range(NUMBER):
        lot = draw.random()
        if not made or lot >= 0.6:
            made.append([draw.choice(sections) for _ in range(draw.randrange(1, 6))])
        elif lot < 0.2:
            made.append(draw.choice(made))
        elif lot < 0.45:
            made.append([*draw.choice(made), "and a few words more"])
        else:
            made.append([*draw.choice(made), *(draw.choice(sections) for _ in range(4))])
    return ["\n\n".join(parts) for parts in made], [_head(i, parts, draw) for i, parts in enumerate(made)]


def _head(number: int, parts: list[str], draw: random.Random) -> Head:
    text, is_file = "\n\n".join(parts), draw.random() < 0.8
    signed = signature(shingles(text))
    held: dict[str, Any] = {
        "structure": draw.randrange(3),
        "sections": np.array([(key_of(p), len(p)) for p in parts if len(p) > 40], dtype=SECTION).tobytes(),
        "edges": np.array([key_of(parts[0]), key_of(parts[-1])], dtype=EDGE).tobytes(),
    }
    line = {"given": draw.choice(["", "train", "test", "validation"]), "thread": draw.choice([0, 0, 1, 2, 3])}
    return Head(
        f"{draw.randrange(1000)}-{number}",
        content_key(text),
        len(text),
        is_file,
        draw.random() < 0.95,
        signature=b"" if signed is None else signed.tobytes(),
        is_contaminated=draw.random() < 0.03,
        **(held if is_file else line),
    )


def _placed(heads: list[Head], texts: list[str], how: Placing, folder: Path | None = None) -> Any:
    made: Placements = place(heads, how=how, text_of=texts.__getitem__, folder=folder)
    return made.all, made.num_clusters, made.num_near, made.bounds


@pytest.mark.parametrize(
    "settings", [{}, {"deduplicate": "exact"}, {"threshold": 0.6}, {"common_lines": 3, "max_file_share": 0.01}]
)
def test_few_at_a_time_and_all_at_once_are_placed_alike(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = Placing(Bounds.of(validation_fraction=0.1, test_fraction=0.2), 0, **settings)
    for seed in range(3):
        texts, heads = _corpus(seed)
        at_once = _placed(heads, texts, how)
        assert {one.reason for one in at_once[0]} > {"", "copy of another file"}
        with monkeypatch.context() as patch:
            patch.setattr(columns, "IN_MEMORY", 64)
            patch.setattr(containment, "PAIRS_AT_A_TIME", 50)
            patch.setattr(minhash, "CHUNK", 37)
            assert _placed(heads, texts, how, tmp_path) == at_once


def test_what_was_written_goes_with_the_documents(tmp_path: Path) -> None:
    texts, heads = _corpus(0)
    made = place(heads, how=Placing(Bounds(0.0, 0.0), 0), text_of=texts.__getitem__, folder=tmp_path / "scratch")
    made.documents.close()
    assert list((tmp_path / "scratch").iterdir()) == []
    Columns.of(heads, tmp_path / "scratch")  # held by nobody
    assert list((tmp_path / "scratch").iterdir()) == []


def test_parts_hold_every_record_once_with_equal_keys_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    rows = np.zeros(1000, dtype=HELD)
    rows["key"], rows["owner"] = draw.integers(0, 1 << 63, 1000) // 97 * 97, draw.integers(0, 60, 1000)
    rows["key"][500:] = rows["key"][:500]
    records = Records(tmp_path / "records")
    records.add(rows)
    monkeypatch.setattr(columns, "IN_MEMORY", 128)
    used = np.arange(60) % 2 == 0
    parts = [part["key"] for part in records.parts("key", 1 << 64, used)]
    assert len(parts) > 4
    assert sorted(np.concatenate(parts).tolist()) == sorted(rows["key"][used[rows["owner"]]].tolist())
    assert all(not set(a.tolist()) & set(b.tolist()) for a, b in itertools.pairwise(parts))
    shared = [key for part in Shared.of(records, used) for key in part.key.tolist()]
    owners: dict[int, set[int]] = {}
    for key, _, owner in rows[used[rows["owner"]]].tolist():
        owners.setdefault(key, set()).add(owner)
    assert sorted(shared) == sorted(key for key, who in owners.items() if len(who) > 1 for _ in who)


def test_documents_are_named_as_they_were_added() -> None:
    heads = [
        Head("ü.md", content_key("a"), 1, True, True),
        Head("", "", 0, True, False),
        Head("c", "ab", 1, True, True),
    ]
    documents = Columns.of(heads)
    assert [(documents.name(i), documents.key(i)) for i in range(3)] == [(h.name, h.key) for h in heads]
    documents.close()
