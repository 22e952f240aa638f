"""Places in the text lead back to the bytes of the file, whatever encoding and line ends it has."""

import random
from pathlib import Path

import pytest

from ray_ft.config import DataConfig
from ray_ft.data.ingest.listing import list_files
from ray_ft.data.ingest.reading import byte_spans, decode, read_file

TEXT = "# Fähre\r\n\r\nDie Straße – täglich.\r\n\r\nÜber\nalles 🚢 hinweg.\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_the_bytes_of_any_span_decode_to_it(encoding: str) -> None:
    data = TEXT.replace("🚢", "x" if encoding == "cp1252" else "🚢").encode(encoding)
    decoded = decode(data)
    rng = random.Random(0)
    places = sorted(rng.sample(range(len(decoded.text)), 20))
    spans = list(zip(places[::2], places[1::2], strict=True))
    codec = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}.get(decoded.encoding, decoded.encoding)
    for (start, end), (first, last) in zip(spans, byte_spans(data, decoded.encoding, spans), strict=True):
        assert data[first:last].decode(codec).replace("\r\n", "\n") == decoded.text[start:end]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.md", TEXT, ["Fähre", "Die Straße – täglich.", "Über\nalles 🚢 hinweg."]),
        ("a.py", "'''Döc.'''\nx = 'ü'\n\ndef f():\n    pass\n", ["'''Döc.'''", "x = 'ü'", "def f():\n    pass"]),
        # What is rewritten within a line is traced to the whole line.
        (
            "a.rst",
            "Tïtle\n=====\n\nSee :ref:`the dock <dock>` now.\n",
            ["Tïtle\n=====", "See :ref:`the dock <dock>` now."],
        ),
    ],
)
def test_every_block_of_a_text_knows_its_bytes(tmp_path: Path, name: str, content: str, expected: list[str]) -> None:
    (tmp_path / name).write_bytes(content.encode())
    (file,) = list_files(DataConfig(sources=(str(tmp_path),), recipes=()))
    document = read_file(file).document
    assert document is not None
    data = content.encode()
    assert [data[b.byte_start : b.byte_end].decode() for b in document.blocks] == expected


def test_blocks_of_a_text_that_the_parser_makes_have_no_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<h1>One</h1><p>two</p>")
    (file,) = list_files(DataConfig(sources=(str(tmp_path),), recipes=()))
    document = read_file(file).document
    assert document is not None
    assert {(b.byte_start, b.byte_end) for b in document.blocks} == {(-1, -1)}
