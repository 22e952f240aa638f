"""Quarantine: remembered from run to run, tried again when asked, and a table of its own."""

import json
from pathlib import Path

import pytest
from bad_parsers import leave

from ray_ft.config import DataConfig
from ray_ft.data.build.publish import QUARANTINE, write_quarantine
from ray_ft.data.documents import ReadFile
from ray_ft.data.formats import FORMATS, Format
from ray_ft.data.formats.text import parse_text
from ray_ft.data.ingest.items import Item, Todo
from ray_ft.data.ingest.kept import Kept, find_kept
from ray_ft.data.ingest.listed import Listed
from ray_ft.data.ingest.listing import list_files
from ray_ft.data.ingest.sandbox import CHILD
from ray_ft.data.ingest.stage import ParseJob, load, parse_batch, release
from ray_ft.data.run.keys import Keys
from ray_ft.data.run.typed import dump
from ray_ft.data.schemas import DOCUMENTS, document_row, write_part


def _of_bytes(data: bytes) -> object:
    return parse_text(data.decode())


@pytest.fixture
def items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Item]:
    """A file that reads, and one whose parser ends its process."""
    monkeypatch.setitem(FORMATS, ".odd", Format("odd", leave, is_binary=True, is_text=False))
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "a.md").write_text("# Ferry")
    (tmp_path / "s" / "b.odd").write_text("The ferry.")
    return [*list_files(DataConfig(sources=(str(tmp_path / "s"),), recipes=()))]


def _parsed(folder: Path, items: list[Item], keys: list[bytes]) -> tuple[Kept, dict[str, int]]:
    """What is kept after parsing what was not, and the states of what was parsed."""
    wanted = Keys.of(keys)
    left = [Todo(key, items[i]) for i, key in enumerate(keys) if i not in find_kept(folder, wanted)]
    states: dict[str, int] = {}
    if left:
        states = json.loads(parse_batch({"work": dump(left)}, job=ParseJob(str(folder), "run"))["result"])["states"]
    return find_kept(folder, wanted), states


def test_a_quarantined_file_is_not_tried_again_until_it_is_released(
    tmp_path: Path, items: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [bytes([i]) * 32 for i in range(2)]
    kept, states = _parsed(tmp_path / "kept", items, keys)
    assert states == {"ok": 1, "quarantined: parser crashed": 1}
    assert _parsed(tmp_path / "kept", items, keys)[1] == {}

    monkeypatch.setitem(FORMATS, ".odd", Format("odd", _of_bytes, is_binary=True))  # type: ignore[arg-type]
    monkeypatch.setattr(CHILD, "parse", lambda parse, source, limits: parse(source))
    listed = Listed.of(map(Todo, keys, items), tmp_path)
    assert release(tmp_path / "kept", kept, listed).is_there.tolist() == [True, False]
    kept, states = _parsed(tmp_path / "kept", items, keys)
    assert states == {"ok": 1}
    texts = [
        one.document.text
        for i in (0, 1)
        for one in load(items[i], kept.ref(i))
        if isinstance(one, ReadFile) and one.document
    ]
    assert texts == ["# Ferry", "The ferry."]


def test_nothing_is_forgotten_where_nothing_is_in_quarantine(tmp_path: Path, items: list[Item]) -> None:
    kept, _ = _parsed(tmp_path / "kept", items[:1], [b"0" * 32])
    assert release(tmp_path / "kept", kept, Listed.of([Todo(b"0" * 32, items[0])], tmp_path)) is kept


def test_the_table_lists_what_is_in_quarantine_and_nothing_else(tmp_path: Path, items: list[Item]) -> None:
    import pyarrow.parquet as pq

    kept, _ = _parsed(tmp_path / "kept", items, [bytes([i]) * 32 for i in range(2)])
    read = [one for i in (1, 0) for one in load(items[i], kept.ref(i)) if isinstance(one, ReadFile)]
    write_part(tmp_path, DOCUMENTS, 0, [document_row(one, "", "") for one in read])
    assert write_quarantine(tmp_path, tmp_path / QUARANTINE) == 1
    (row,) = pq.read_table(tmp_path / QUARANTINE).to_pylist()
    assert (row["path"], row["reason"], row["note"]) == ("s/b.odd", "parser crashed", "exit 3")
