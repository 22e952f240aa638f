"""Short lines that many documents begin or end with are left to one of them, where that is asked for."""

import logging

import pytest

from ray_ft.config import DataConfig
from ray_ft.data.build.repeats import without_common
from ray_ft.data.dedup.clusters import Placing, place
from ray_ft.data.dedup.edges import edges_of
from ray_ft.data.dedup.heads import Head, heads_of
from ray_ft.data.dedup.placements import Placement
from ray_ft.data.dedup.splits import Bounds
from ray_ft.data.dedup.stage import place_documents
from ray_ft.data.documents import ReadFile, SourceFile
from ray_ft.data.formats import FORMATS
from ray_ft.overlap import Runs
from ray_ft.rows import Document

NONE = Bounds.of(validation_fraction=0, test_fraction=0)
FOOT = "Report a bug on this page."
WORDS = ["valve", "pump", "ferry", "quay", "rope", "anchor", "mast", "deck", "hull", "keel", "bow", "stern"]


def _text(i: int, *, head: str = "Manual of the ferry company", foot: str = FOOT) -> str:
    body = " ".join(f"{WORDS[(i * 7 + k * k) % 12]}{i}{k}" for k in range(60))
    return f"# Page {i}\n\n{head}\n\n{body}\n\n{FOOT.upper() if i == 1 else ''}\n\n{body[::-1]}\n\n{foot}\n"


def _read(name: str, text: str) -> ReadFile:
    kind = FORMATS["." + name.rpartition(".")[2]]
    parsed = kind.parse(text)
    document = Document(name, parsed.text, name, kind.name, kind.language, tuple(parsed.blocks))
    return ReadFile(SourceFile(name, "", len(text)), "ok", sha256=name, document=document)


def _placed(reads: list[ReadFile], least: int) -> list[Placement]:
    heads = heads_of(reads, Runs({}))
    texts = [read.document.text if read.document else "" for read in reads]
    return place(heads, how=Placing(NONE, 0, common_lines=least), text_of=texts.__getitem__).all


def _left(reads: list[ReadFile], least: int) -> list[list[str]]:
    made = [without_common(r, p.common) for r, p in zip(reads, _placed(reads, least), strict=True)]
    return [[b.text for b in r.document.blocks] if r.document else [] for r in made]


def test_what_many_pages_begin_and_end_with_is_left_to_one_of_them() -> None:
    reads = [_read(f"{i}.md", _text(i)) for i in range(6)]
    left = _left(reads, 6)
    assert sum(FOOT in blocks for blocks in left) == 1
    assert sum("Manual of the ferry company" in blocks for blocks in left) == 1
    assert all(blocks[0] == f"Page {i}" and len(blocks) >= 3 for i, blocks in enumerate(left))
    assert sum(FOOT.upper() in blocks for blocks in left) == 1  # within the text it stays


def test_fewer_pages_than_asked_for_lose_nothing_and_none_does_unless_asked() -> None:
    reads = [_read(f"{i}.md", _text(i)) for i in range(6)]
    assert all(FOOT in blocks for blocks in _left(reads, 7))
    assert all(FOOT in blocks for blocks in _left(reads, 0))


def test_code_tables_and_long_paragraphs_are_no_edges() -> None:
    assert edges_of(_read("a.py", "# Manual\n\nx = 1\n").document or pytest.fail("no document")) == []
    long = "The valve is shut before the pump is stopped, and opened when it runs again. " * 4
    for block in ("| a | b |\n|---|---|\n| 1 | 2 |", "```\nx\n```", long):
        document = _read("a.md", f"{block}\n\nShort.\n\n{block}\n").document
        assert document is not None
        assert edges_of(document) == []


def test_what_is_left_keeps_its_lines_and_its_note_counts() -> None:
    read = _read("a.md", _text(3))
    assert read.document is not None
    made = without_common(read, [edge.key for edge in edges_of(read.document)])
    assert made.document is not None
    assert (made.note, made.num_common) == ("2 common lines left out", 2)
    lines = {block.text: block.line_start for block in read.document.blocks}
    for block in made.document.blocks:
        assert block.text == made.document.text[block.start : block.end]
        assert block.line_start == lines[block.text] == made.document.text.count("\n", 0, block.start) + 1


def test_a_document_that_would_say_nothing_stays_as_it_is() -> None:
    read = _read("a.md", f"# Page\n\n{FOOT}\n")
    assert read.document is not None
    assert without_common(read, [edge.key for edge in edges_of(read.document)]) is read


def test_the_log_names_lines_of_many_pages_and_the_key_that_leaves_them_out(caplog: pytest.LogCaptureFixture) -> None:
    reads = [_read(f"{i}.md", _text(i)) for i in range(25)]
    heads: list[tuple[Head, ...]] = [(head,) for head in heads_of(reads, Runs({}))]

    def text_of(item: int, document: int) -> str:
        one = reads[item].document
        return one.text if one else ""

    with caplog.at_level(logging.INFO, logger="ray_ft"):
        place_documents(heads, text_of, DataConfig(sources=("a",)), 0)
    assert f"'{FOOT}' in 25" in caplog.text
    assert "data.common_lines=20 trains each once" in caplog.text


def test_one_set_of_duplicates_is_told_as_one(caplog: pytest.LogCaptureFixture) -> None:
    heads: list[tuple[Head, ...]] = [
        (head,) for head in heads_of([_read(f"{i}.md", _text(7)) for i in range(2)], Runs({}))
    ]
    with caplog.at_level(logging.INFO, logger="ray_ft"):
        place_documents(heads, lambda item, document: _text(7), DataConfig(sources=("a",)), 0)
    assert "1 set of duplicates, each in one split; 0 documents have a near duplicate" in caplog.text
