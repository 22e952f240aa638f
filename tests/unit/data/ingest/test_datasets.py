"""Files of datasets: which are found, how they are cut, and that every line comes back once under its number."""

import json
from pathlib import Path
from typing import Any

import pytest

from ray_ft.config import DataConfig, DatasetConfig
from ray_ft.data.documents import Record
from ray_ft.data.ingest.datasets import cut_into_slices, datasets_digest, list_datasets
from ray_ft.data.ingest.parts.rows import read_slice
from ray_ft.errors import ConfigError, DataError

ROWS = [{"prompt": f"Question {i}?", "completion": f"Answer {i}, with a few more words."} for i in range(50)]


def _lines(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _read(path: Path, *, slice_bytes: int = 500, **settings: Any) -> list[Record]:
    files = list_datasets(DataConfig(datasets=(DatasetConfig(str(path), **settings),)))
    return [record for part in cut_into_slices(files, slice_bytes=slice_bytes) for record in read_slice(part)]


def _parquet(path: Path, rows: list[Any], **options: Any) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


def test_every_line_is_read_once_under_its_number_whatever_the_slices(tmp_path: Path) -> None:
    path = _lines(tmp_path / "a.jsonl", ROWS)
    for size in (1, 500, 10**9):
        records = _read(path, slice_bytes=size)
        assert [r.name for r in records] == [f"a.jsonl:{i}" for i in range(1, 51)]
        assert [r.examples[0].prompt for r in records] == [row["prompt"] for row in ROWS]


def test_blank_lines_a_byte_order_mark_and_a_missing_last_newline_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "one"}\r\n\n{"text": "two"}')
    assert [(r.name, r.text) for r in _read(tmp_path / "a.jsonl")] == [("a.jsonl:1", "one"), ("a.jsonl:3", "two")]


def test_parquet_rows_are_numbered_from_one_over_row_groups(tmp_path: Path) -> None:
    path = _parquet(tmp_path / "a.parquet", ROWS, row_group_size=7)
    for size in (1, 300, 10**9):
        records = _read(path, slice_bytes=size)
        assert [r.name for r in records] == [f"a.parquet:{i}" for i in range(1, 51)]
        assert [r.examples[0].completion for r in records] == [row["completion"] for row in ROWS]


def test_conversations_in_parquet_are_those_of_jsonl(tmp_path: Path) -> None:
    talk = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    one = _read(_parquet(tmp_path / "a.parquet", [talk]))[0]
    two = _read(_lines(tmp_path / "a.jsonl", [talk]))[0]
    assert one.key == two.key
    assert one.examples[0].messages == two.examples[0].messages


def test_what_save_to_disk_wrote_is_read_with_its_splits(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    Dataset.from_list(ROWS).save_to_disk(tmp_path / "plain")
    records = _read(tmp_path / "plain", slice_bytes=400)
    assert [r.examples[0].prompt for r in records] == [row["prompt"] for row in ROWS]
    assert {r.split for r in records} == {None}
    DatasetDict({"train": Dataset.from_list(ROWS[:9]), "test": Dataset.from_list(ROWS[9:])}).save_to_disk(
        tmp_path / "both"
    )
    records = _read(tmp_path / "both")
    assert [(r.name, r.split) for r in records][8:11] == [
        ("both/test:9", "test"),
        ("both/test:10", "test"),
        ("both/test:11", "test"),
    ]
    assert sum(r.split == "train" for r in records) == 9


def test_a_folder_whose_files_name_splits_is_divided_by_them(tmp_path: Path) -> None:
    for name in ("data/train-00000-of-00002.jsonl", "data/train-00001-of-00002.jsonl", "data/validation.jsonl"):
        _lines(tmp_path / "hub" / name, ROWS[:2])
    (tmp_path / "hub" / "README.md").write_text("# Card")
    assert [r.split for r in _read(tmp_path / "hub")] == ["train"] * 4 + ["validation"] * 2
    assert {r.split for r in _read(tmp_path / "hub", split="test")} == {"test"}


def test_a_single_file_is_divided_by_lot_even_if_it_is_called_train(tmp_path: Path) -> None:
    assert {r.split for r in _read(_lines(tmp_path / "train.jsonl", ROWS))} == {None}
    assert {r.split for r in _read(tmp_path / "train.jsonl", split="train")} == {"train"}


def test_weight_format_and_turns_reach_every_record(tmp_path: Path) -> None:
    records = _read(_lines(tmp_path / "a.jsonl", ROWS[:2]), weight=2.0, format="text")
    assert [(r.weight, r.problem) for r in records] == [
        (1.0, "a.jsonl:1: no text: has prompt, completion"),
        (1.0, "a.jsonl:2: no text: has prompt, completion"),
    ]
    assert {r.weight for r in _read(tmp_path / "a.jsonl", weight=2.0)} == {2.0}


def test_the_digest_follows_the_content(tmp_path: Path) -> None:
    data = DataConfig(datasets=(DatasetConfig(str(_lines(tmp_path / "a.jsonl", ROWS))),))
    before = datasets_digest(data)
    assert before == datasets_digest(data)
    assert (before["num_files"], before["num_bytes"]) == (1, (tmp_path / "a.jsonl").stat().st_size)
    _lines(tmp_path / "a.jsonl", ROWS[1:])
    assert datasets_digest(data)["digest"] != before["digest"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"a,b\n", r"'.*a\.csv' is none of \.jsonl \.ndjson \.json \.parquet"),
        ("a.json", b' [{"text": "a"}]', r"a\.json is one JSON array; write an object on each line: jq -c"),
        ("a.parquet", b"PAR0", r"a\.parquet cannot be read as Parquet: "),
    ],
)
def test_a_file_that_cannot_be_read_gets_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        _read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_path_that_is_not_there_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file or folder '.*nowhere\.jsonl'"):
        _read(tmp_path / "nowhere.jsonl")
    with pytest.raises(DataError, match=r"holds no \.jsonl \.ndjson \.json \.parquet file and no saved"):
        _read(tmp_path)
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(DataError, match="cannot be loaded from disk"):
        _read(tmp_path)
