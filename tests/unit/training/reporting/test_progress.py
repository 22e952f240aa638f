import json
import logging
from pathlib import Path
from typing import Any

import pytest

from ray_ft.progress import Task, watched_by
from ray_ft.training.reporting.progress import FollowedSteps

STEP = {"step": 3, "loss": 2.5, "tokens_per_second": 1234.0, "seconds_per_step": 10.0}


class Seen:
    """Keeps every line of a task."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def show(self, task: Task) -> None:
        self.lines.append(task.line())


def followed(folder: Path, lines: list[dict[str, Any]], *, before: list[dict[str, Any]]) -> list[str]:
    path, seen = folder / "metrics.jsonl", Seen()
    path.write_text("".join(json.dumps(line) + "\n" for line in before))
    with watched_by(seen), FollowedSteps(folder, Task("train", "steps", 10, clock=lambda: 0.0)):
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return seen.lines


def test_a_step_says_loss_speed_and_time_left_and_the_validation_loss_stays(tmp_path: Path) -> None:
    lines = [STEP, {"step": 3, "validation_loss": 2.0}, {**STEP, "step": 4, "loss": 2.25}]
    assert followed(tmp_path, lines, before=[]) == [  # 7 steps of 10 s are left, then 6
        "train 3 of 10 steps, loss 2.5000, 1,234 tokens/s, about 1 min 10 s left",
        "train 3 of 10 steps, loss 2.5000, 1,234 tokens/s, validation 2.0000, about 1 min 10 s left",
        "train 4 of 10 steps, loss 2.2500, 1,234 tokens/s, validation 2.0000, about 1 min 0 s left",
    ]


def test_each_step_is_shown_once_even_when_a_restart_rewrites_it(tmp_path: Path) -> None:
    shown = followed(tmp_path, [{**STEP, "step": s} for s in (1, 2, 3)], before=[{**STEP, "step": 1}])
    assert [line.split()[1] for line in shown] == ["2", "3"]


def test_a_step_s_warning_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ray_ft"):
        assert followed(tmp_path, [{"step": 3, "warning": "the loss is not finite"}], before=[]) == []
    assert caplog.messages == ["step 3: the loss is not finite"]
