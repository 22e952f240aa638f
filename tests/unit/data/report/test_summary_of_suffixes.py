"""The summary names what was not read by its suffix."""

import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from exam_fixtures import write_training_set

from ray_ft.data.build.job import GroupResult
from ray_ft.data.report.summary import report
from ray_ft.data.schemas import COLUMNS, DOCUMENTS


def test_suffixes_that_are_not_read_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ["a.PNG", "b.png", "c.bin", "LICENSE", *(f"d.x{n}" for n in range(9))]
    columns = {name: [""] * (len(names) + 1) for name in COLUMNS[DOCUMENTS]}
    columns |= {"path": [*names, "e.md"], "reason": ["unknown format"] * len(names) + ["empty"]}
    path = tmp_path / "set" / DOCUMENTS
    path.mkdir(parents=True)
    pq.write_table(pa.table(columns), path / "a.parquet")
    made = replace(write_training_set(tmp_path / "data"), path=str(path.parent))
    with caplog.at_level(logging.INFO, "ray_ft"):
        report(GroupResult(files=Counter({"skipped: unknown format": len(names)})), made, 1.0)
    expected = "not read: 2 .png, 1 .bin, 1 .x0, 1 .x1, 1 .x2, 1 .x3, 1 .x4, 1 .x5, 4 others"
    assert expected in caplog.messages
