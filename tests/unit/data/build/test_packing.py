"""Packing: nothing lost, nothing split, rows full, borders marked."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from ray_ft.data.build.packing import INPUT_IDS, LABELS, POSITION_IDS, fill_row, pack_rows, write_shards
from ray_ft.data.build.publish import manifest
from ray_ft.data.tokenization.encoded import IGNORED, Encoded

A = Encoded([5, 6, 7], [IGNORED, IGNORED, 7])
B = Encoded([8, 9], [IGNORED, 9])


def test_each_example_goes_where_it_leaves_the_least_space() -> None:
    # By size: 7 opens a row with 3 free, 6 one with 4 free; 4 fits the second exactly, 3 the first exactly.
    assert pack_rows([3, 6, 4, 7], 10) == [[0, 3], [1, 2]]


def test_rows_are_as_full_as_they_can_be() -> None:
    # 1 + 2 + ... + 9 = 45 fills at least 5 rows of 10; 9+1, 8+2, 7+3, 6+4 and 5 do it.
    assert len(pack_rows(list(range(1, 10)), 10)) == 5


def test_every_example_is_packed_once_and_none_overflows() -> None:
    rng = random.Random(0)
    for _ in range(50):
        lengths = [rng.randrange(1, 65) for _ in range(rng.randrange(0, 200))]
        rows = pack_rows(lengths, 64)
        assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
        assert all(sum(lengths[i] for i in row) <= 64 for row in rows)
        # Any two rows of a best-fit packing hold more than one row's worth together, but for the last.
        assert len(rows) <= 2 * (sum(lengths) + 63) // 64 + 1


def test_packing_does_not_depend_on_chance() -> None:
    lengths = [random.Random(1).randrange(1, 50) for _ in range(300)]
    assert pack_rows(lengths, 64) == pack_rows(list(lengths), 64)


def test_a_row_holds_ids_labels_and_positions_with_padding_as_one_more_example() -> None:
    row = fill_row([A, B], 8, pad_id=1)
    assert row.tolist() == [
        [5, 6, 7, 8, 9, 1, 1, 1],
        [-100, -100, 7, -100, 9, -100, -100, -100],
        [0, 1, 2, 0, 1, 0, 1, 2],
    ]
    assert row.dtype == np.int32


def test_no_label_is_predicted_from_another_example() -> None:
    # Even an example whose first token were a target loses it: its prediction would come from its neighbour.
    row = fill_row([A, Encoded([8, 9], [8, 9])], 6, pad_id=1)
    starts = row[POSITION_IDS] == 0
    assert (row[LABELS][starts] == IGNORED).all()


def test_shards_hold_the_rows_in_files_of_limited_size_with_their_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray_ft.data.build.packing.MAX_SHARD_BYTES", 12 * 4 * 2)  # two rows of 4 tokens
    shards = write_shards(
        [(f"chunk {i}", A) for i in range(5)], split="train", group=3, folder=tmp_path, max_seq_len=4, pad_id=0
    )
    assert [(s.file, s.num_rows, s.num_tokens, s.num_target_tokens) for s in shards] == [
        ("train-00003-00.npy", 2, 6, 2),
        ("train-00003-01.npy", 2, 6, 2),
        ("train-00003-02.npy", 1, 3, 1),
    ]
    array = np.load(tmp_path / "train-00003-01.npy")
    assert array.shape == (2, 3, 4)
    assert array[0, INPUT_IDS].tolist() == [5, 6, 7, 0]
    lines = (tmp_path / "train-00003-02.chunks.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [["chunk 4"]]


def test_a_split_without_examples_writes_nothing(tmp_path: Path) -> None:
    assert write_shards([], split="test", group=0, folder=tmp_path, max_seq_len=4, pad_id=0) == []
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_lists_shards_in_order_and_sums_them(tmp_path: Path) -> None:
    shards = [
        s
        for group in (1, 0)
        for s in write_shards([("c", A)], split="train", group=group, folder=tmp_path, max_seq_len=4, pad_id=0)
    ]
    about = manifest(shards, max_seq_len=4, tokenizer_digest="t", template_digest="c", data_digest="d")
    assert about["splits"]["train"]["num_rows"] == 2
    assert about["splits"]["train"]["num_target_tokens"] == 2
    assert [s["file"] for s in about["splits"]["train"]["shards"]] == ["train-00000-00.npy", "train-00001-00.npy"]
