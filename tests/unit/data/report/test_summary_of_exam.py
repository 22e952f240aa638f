"""An exam that loses its questions to training says so."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from exam_fixtures import write_training_set

from ray_ft.data.build.job import GroupResult
from ray_ft.data.report.summary import report


@pytest.mark.parametrize(("lost", "is_said"), [(31, True), (20, True), (15, False), (0, False)])
def test_an_exam_that_is_left_out_for_the_most_part_is_warned_about(
    lost: int, is_said: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    row = {"looked at": 31, "question": 0, "reference": 0, "run": lost}
    made = replace(write_training_set(tmp_path / "data"), overlap={"held_out": row})
    with caplog.at_level(logging.WARNING, "ray_ft"):
        report(GroupResult(), made, 1.0)
    assert bool(caplog.messages) == is_said
    if is_said:
        assert caplog.messages[0].startswith(f"{lost} of the 31 questions on held out documents were left out")
        assert "data.common" in caplog.messages[0]
