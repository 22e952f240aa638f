"""Attention by the lengths of the examples in packed rows."""

import json
from pathlib import Path

import numpy as np

from ray_ft.planning.speed.lengths import attended_tokens


def _write(folder: Path, lengths: list[list[int]]) -> Path:
    rows = np.zeros((len(lengths), 3, sum(lengths[0])), dtype=np.int32)
    for row, parts in zip(rows, lengths, strict=True):
        row[2] = np.concatenate([np.arange(n) for n in parts])
    (folder / "shards").mkdir()
    np.save(folder / "shards" / "train-0.npy", rows)
    manifest = {"splits": {"train": {"shards": [{"file": "train-0.npy"}]}}}
    (folder / "shards" / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_one_example_a_row_is_as_long_as_the_row(tmp_path: Path) -> None:
    assert attended_tokens(_write(tmp_path, [[64], [64]])) == 64


def test_a_long_example_weighs_by_its_tokens(tmp_path: Path) -> None:
    # (48^2 + 16 * 1^2) / 64 = 36.25, where the mean of the 17 lengths is 3.8
    assert attended_tokens(_write(tmp_path, [[48, *[1] * 16]])) == 36.25


def test_without_rows_there_is_no_length(tmp_path: Path) -> None:
    assert attended_tokens(tmp_path) is None
