"""Datasets of any size: cut as before, packed lines and large row groups read once, and damage told in place."""

import bz2
import gzip
import json
import lzma
import random
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ray_ft.config import DataConfig, DatasetConfig
from ray_ft.data.documents import Record
from ray_ft.data.ingest import datasets as datasets_module
from ray_ft.data.ingest.datasets import Slice, cut_into_slices, datasets_digest, list_datasets
from ray_ft.data.ingest.known import Known
from ray_ft.data.ingest.manifest import keyed, slices_of
from ray_ft.data.ingest.parts import lines as lines_module
from ray_ft.data.ingest.parts import pieces as pieces_module
from ray_ft.data.ingest.parts import tables as tables_module
from ray_ft.data.ingest.parts.lines import Cuts
from ray_ft.data.ingest.parts.pieces import make_pieces
from ray_ft.data.ingest.parts.rows import read_slice
from ray_ft.data.ingest.sandbox import Limits
from ray_ft.errors import ConfigError, DataError

CHATS: list[dict[str, Any]] = [
    {
        "id": i,
        "messages": [
            {"role": "user", "content": f"Question {i}? " + "why " * (i % 7)},
            {"role": "assistant", "content": f"Answer {i}, with a few more words.", "weight": None},
        ],
    }
    for i in range(300)
]


def _files(path: Path, **settings: Any) -> list[datasets_module.DatasetFile]:
    return list_datasets(DataConfig(datasets=(DatasetConfig(str(path), **settings),)))


def _slices(path: Path, slice_bytes: int) -> list[Slice]:
    return cut_into_slices(_files(path), slice_bytes=slice_bytes)


def _read(slices: Iterable[Slice]) -> list[Record]:
    return [record for part in slices for record in read_slice(part)]


def _with_pieces(slices: list[Slice], folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Slice]:
    """The slices with their pieces, cut in this process instead of Ray's."""
    monkeypatch.setattr(pieces_module, "run_tasks", _run_here)
    pieces = make_pieces(enumerate(slices), folder, Limits(60, 2**31))
    return [Slice(p.file, p.start, p.end, p.first, pieces.get(i, ""), p.is_cut_short) for i, p in enumerate(slices)]


def _run_here(
    rows: Iterable[dict[str, Any]], function: Any, job: Any, *, folder: Path, retries: int | None = None
) -> Iterator[str]:
    for row in rows:
        yield function(row, job=job)["result"]


def _told(records: list[Record]) -> list[Any]:
    return [(r.name, r.key, r.reason, r.note, r.num_bytes, [e.messages for e in r.examples]) for r in records]


def _parquet(path: Path, rows: list[Any], **options: Any) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


def _lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


PACKERS: dict[str, Any] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": None}


def _pack(path: Path, content: bytes) -> Path:
    import pyarrow as pa

    pack = PACKERS[path.suffix] or (lambda data: pa.Codec("zstd").compress(data, asbytes=True))
    path.write_bytes(pack(content))
    return path


# --- lines ------------------------------------------------------------------------------------------------------------


def _cut_line_by_line(content: bytes, slice_bytes: int) -> list[tuple[int, int, int]]:
    """How slices were cut before files were read in chunks: a line is added until the slice is full."""
    cuts, start, position, first, number = [], 0, 0, 1, 1
    for line in content.splitlines(keepends=True):
        position, number = position + len(line), number + 1
        if position - start >= slice_bytes:
            cuts.append((start, position, first))
            start, first = position, number
    return [*cuts, (start, position, first)] if position > start else cuts


@pytest.mark.parametrize("seed", range(20))
def test_lines_are_cut_where_they_always_were(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(seed)
    content = b"\n".join(b"x" * draw.choice((0, 1, 5, 40, 200)) for _ in range(200)) + draw.choice((b"", b"\n"))
    (tmp_path / "a.jsonl").write_bytes(content)
    monkeypatch.setattr(lines_module, "CHUNK_BYTES", draw.choice((7, 64, 1000)))
    for slice_bytes in (1, 2, 63, 64, 65, 500, 10**6):
        with (tmp_path / "a.jsonl").open("rb") as stream:
            assert [*Cuts(stream, slice_bytes)] == _cut_line_by_line(content, slice_bytes)


def test_a_line_that_is_too_long_is_told_and_costs_neither_memory_nor_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_module, "MAX_LINE_BYTES", 2**20)
    with (tmp_path / "a.jsonl").open("wb") as stream:
        stream.write(b'{"text": "one"}\n{"text": "')
        for _ in range(24):
            stream.write(b"word " * (2**20 // 5))
        stream.write(b'"}\n{"text": "three"}\n')
    tracemalloc.start()
    records = _read(_slices(tmp_path / "a.jsonl", 2**19))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = 24 * (2**20 // 5 * 5) + len(b'{"text": ""}\n')
    assert [(r.name, r.text, r.reason, r.note) for r in records] == [
        ("a.jsonl:1", "one", "", ""),
        ("a.jsonl:2", "", "longer than 32 MiB", f"{size:,} bytes"),
        ("a.jsonl:3", "three", "", ""),
    ]
    assert peak < 6 * 2**20


@pytest.mark.parametrize("suffix", PACKERS)
def test_packed_lines_are_those_of_the_plain_file(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"\xef\xbb\xbf" + _lines(CHATS)[:-1]
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "a.jsonl").write_bytes(content)
    path = _pack(tmp_path / f"a.jsonl{suffix}", content)
    plain, packed = _slices(tmp_path / "plain" / "a.jsonl", 2000), _slices(path, 2000)
    assert [(p.start, p.end, p.first) for p in packed] == [(p.start, p.end, p.first) for p in plain]
    assert len(packed) > 20
    expected = [(r.key, r.reason, r.num_bytes) for r in _read(plain)]
    assert [(r.key, r.reason, r.num_bytes) for r in _read(packed[:3] + packed[-3:])] == [
        (r.key, r.reason, r.num_bytes) for r in _read(plain[:3] + plain[-3:])
    ]
    opened = []
    whole = pieces_module.open_lines
    monkeypatch.setattr(pieces_module, "open_lines", lambda *of: opened.append(of) or whole(*of))  # type: ignore[func-returns-value]
    pieces = _with_pieces(packed, tmp_path / "pieces", monkeypatch)
    path.unlink()  # so that only pieces can be read
    records = _read(pieces)
    assert [(r.key, r.reason, r.num_bytes) for r in records] == expected
    assert records[0].name == f"a.jsonl{suffix}:1"
    assert len(opened) == 1


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("in_pieces", [False, True])
def test_of_packed_lines_that_are_cut_short_the_whole_ones_are_read_and_the_end_is_told(
    tmp_path: Path, suffix: str, in_pieces: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(0)
    rows = [{"text": draw.randbytes(400).hex()} for _ in range(3000)]  # 2.4 MB
    path = _pack(tmp_path / f"a.jsonl{suffix}", _lines(rows))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    slices = _slices(path, 300_000)
    if in_pieces:
        slices = _with_pieces(slices, tmp_path / "pieces", monkeypatch)
    *records, last = _read(slices)
    assert len(records) > 1200
    assert [r.text for r in records] == [row["text"] for row in rows[: len(records)]]
    assert (last.name, last.reason) == (f"a.jsonl{suffix}:{len(records) + 1}", "the file ends early")


def test_packed_lines_with_wrong_bytes_or_hardly_any_are_named(tmp_path: Path) -> None:
    path = _pack(tmp_path / "a.jsonl.gz", _lines(CHATS))
    data = bytearray(path.read_bytes())
    path.write_bytes(data[:15])
    with pytest.raises(DataError, match=r"data\.datasets: a\.jsonl\.gz cannot be unpacked: it ends early"):
        _slices(path, 2000)
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"data\.datasets: a\.jsonl\.gz cannot be unpacked: "):
        _slices(path, 2000)


def test_packed_lines_beside_the_same_unpacked_are_not_read_twice(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(_lines(CHATS[:2]))
    _pack(tmp_path / "b.jsonl.gz", _lines(CHATS[:2]))
    _pack(tmp_path / "c.json.gz", _lines(CHATS[:2]))
    (tmp_path / "d.parquet.gz").write_bytes(b"")
    assert [Path(f.location).name for f in _files(tmp_path)] == ["a.jsonl", "b.jsonl", "c.json.gz"]


def test_a_packed_array_is_named_with_what_would_unpack_it(tmp_path: Path) -> None:
    path = _pack(tmp_path / "a.json.gz", json.dumps(CHATS).encode())
    with pytest.raises(DataError, match=r"is one JSON array; .*: UNPACK a\.json\.gz \| jq -c '\.\[\]' > a\.jsonl"):
        _slices(path, 2000)


def test_a_dataset_behind_a_uri_is_told_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"data\.datasets: 's3://b/a\.parquet' is a URI"):
        list_datasets(DataConfig(datasets=(DatasetConfig("s3://b/a.parquet"),)))


# --- Parquet ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row_group_size", [300, 40])
def test_a_large_row_group_is_read_once_and_its_pieces_hold_its_rows(
    tmp_path: Path, row_group_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _parquet(tmp_path / "a.parquet", CHATS, row_group_size=row_group_size)
    slices = _slices(path, 300)
    assert len(slices) > 30
    expected = _told(_read(slices))
    assert [name for name, *_ in expected] == [f"a.parquet:{i}" for i in range(1, 301)]
    read = []
    whole = tables_module._of_group
    monkeypatch.setattr(tables_module, "_of_group", lambda *of: read.append(of[1].number) or whole(*of))  # type: ignore[func-returns-value]
    pieces = _with_pieces(slices, tmp_path / "pieces", monkeypatch)
    assert all(part.piece for part in pieces)
    assert set(read) == set(range(-(-300 // row_group_size)))
    assert len(read) < 2 * len(set(read))  # a slice may reach into the next group
    path.unlink()
    assert _told(_read(pieces)) == expected


def test_small_row_groups_are_read_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slices = _slices(_parquet(tmp_path / "a.parquet", CHATS, row_group_size=5), 2000)
    assert not any(part.piece for part in _with_pieces(slices, tmp_path / "pieces", monkeypatch))
    monkeypatch.setattr(pieces_module, "LARGE_GROUP_BYTES", 100)
    assert all(part.piece for part in _with_pieces(slices, tmp_path / "pieces", monkeypatch))


def test_columns_that_parquet_holds_as_categories_are_texts_in_pieces_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    words = [f"Text {i % 50} of some words." for i in range(300)]
    pq.write_table(pa.table({"text": pa.array(words).dictionary_encode()}), tmp_path / "a.parquet", row_group_size=60)
    slices = _slices(tmp_path / "a.parquet", 50)
    pieces = _with_pieces(slices, tmp_path / "pieces", monkeypatch)
    assert all(part.piece for part in pieces)
    assert [r.text for r in _read(pieces)] == [r.text for r in _read(slices)] == words


@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_damaged_row_group_costs_no_other_and_its_rows_are_told(
    tmp_path: Path, in_pieces: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    draw = random.Random(0)
    rows = [{"text": f"{i} {draw.randbytes(50).hex()}"} for i in range(300)]
    path = _parquet(tmp_path / "a.parquet", rows, row_group_size=100, compression="zstd", use_dictionary=False)
    start = pq.read_metadata(path).row_group(1).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[start + 60 : start + 200] = b"\xff" * 140
    path.write_bytes(data)
    slices = _slices(path, 3000)
    if in_pieces:
        slices = _with_pieces(slices, tmp_path / "pieces", monkeypatch)
        assert all(part.piece for part in slices)
    records = _read(slices)
    assert [r.text for r in records if not r.reason] == [row["text"] for row in rows[:100] + rows[200:]]
    lost = [r for r in records if r.reason]
    assert {r.reason for r in lost} == {"rows that cannot be read"}
    assert lost[0].name == "a.parquet:101"
    assert lost[0].note.startswith("rows 101 to ")
    assert lost[-1].note.split(":")[0].endswith("to 200")


def test_a_row_that_is_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables_module, "MAX_LINE_BYTES", 1000)
    texts = ["one", "x" * 2000, "three", "four", "y" * 1500]
    path = _parquet(tmp_path / "a.parquet", [{"text": text} for text in texts])
    slices = _slices(path, 10**6)
    for some in (slices, _with_pieces(slices, tmp_path / "pieces", monkeypatch)):
        assert [(r.name, r.text, r.reason) for r in _read(some)] == [
            ("a.parquet:1", "one", ""),
            ("a.parquet:2", "", "longer than 32 MiB"),
            ("a.parquet:3", "three", ""),
            ("a.parquet:4", "four", ""),
            ("a.parquet:5", "", "longer than 32 MiB"),
        ]


def test_a_saved_dataset_whose_end_is_gone_is_told(tmp_path: Path) -> None:
    from datasets import Dataset

    Dataset.from_list([{"text": f"Text {i}"} for i in range(50)]).save_to_disk(tmp_path / "saved")
    slices = _slices(tmp_path / "saved", 500)
    assert len(_read(slices)) == 50
    (file,) = (tmp_path / "saved").glob("*.arrow")
    file.write_bytes(file.read_bytes()[:100])
    assert {r.reason for r in _read(slices)} == {"rows that cannot be read"}


# --- all --------------------------------------------------------------------------------------------------------------


def test_pieces_that_cannot_be_cut_in_time_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slices = _slices(_parquet(tmp_path / "a.parquet", CHATS), 300)

    def never_ends(*of: Any, **options: Any) -> Iterator[Any]:
        raise pieces_module.OutOfTime
        yield

    monkeypatch.setattr(pieces_module, "parquet_batches", never_ends)
    records = _read(_with_pieces(slices, tmp_path / "pieces", monkeypatch))
    assert {r.reason for r in records} == {"took too long"}
    assert len(records) == len(slices)


@pytest.mark.parametrize("kind", ["parquet", "jsonl.gz"])
def test_pieces_may_lie_in_storage_where_nodes_share_no_folder(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "parquet":
        slices = _slices(_parquet(tmp_path / "a.parquet", CHATS), 2000)
    else:
        slices = _slices(_pack(tmp_path / "a.jsonl.gz", _lines(CHATS)), 2000)
    expected = _told(_read(slices))
    monkeypatch.setattr(pieces_module, "run_tasks", _run_here)
    uri = (tmp_path / "store").as_uri()
    pieces = make_pieces(enumerate(slices), uri, Limits(60, 2**31))
    assert all(place.startswith(f"{uri}/") for place in pieces.values())
    Path(slices[0].file.location).unlink()
    parts = [Slice(p.file, p.start, p.end, p.first, pieces[i]) for i, p in enumerate(slices)]
    assert _told(_read(parts)) == expected
    pieces_module.remove_pieces(pieces)
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


def test_a_task_that_fails_leaves_its_file_to_be_read_directly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slices = _slices(_pack(tmp_path / "a.jsonl.gz", _lines(CHATS)), 5000)

    def fails(*of: Any, **options: Any) -> Iterator[str]:
        raise RuntimeError("its worker died")

    monkeypatch.setattr(pieces_module, "run_tasks", fails)
    assert make_pieces(enumerate(slices), tmp_path / "pieces", Limits(60, 2**31)) == {}
    assert len(_read(slices)) == 300


def test_a_file_is_hashed_once_a_process(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(_lines(CHATS))
    data = DataConfig(datasets=(DatasetConfig(str(tmp_path / "a.jsonl")),))
    before = datasets_module._hash_file.cache_info().misses
    datasets_digest(data)
    assert len(list(keyed(slices_of(list_datasets(data), 64), Known(None)))) >= 1
    datasets_digest(data)
    assert datasets_module._hash_file.cache_info().misses == before + 1
