import json
from pathlib import Path

import pytest

from ray_ft.training.reporting.progress import ProgressLines, duration, progress_line

STEP = {"step": 3, "loss": 2.5, "tokens_per_second": 1234.0, "seconds_per_step": 10.0}


def test_a_progress_line_says_step_loss_speed_and_time_left() -> None:
    # 7 steps of 10 s are left.
    assert progress_line(STEP, num_steps=10) == "step 3/10  loss 2.5000  1,234 tokens/s  1 min 10 s left"


def test_a_validation_line_says_its_loss() -> None:
    assert progress_line({"step": 3, "validation_loss": 2.0}, num_steps=10) == "step 3/10  validation loss 2.0000"


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.4, "4 s"), (59.6, "1 min 0 s"), (190, "3 min 10 s"), (5 * 3600 + 720, "5 h 12 min")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_each_step_is_shown_once_even_when_a_restart_rewrites_it(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({**STEP, "step": 1}) + "\n")  # of the run that is gone on from
    shown: list[str] = []
    with ProgressLines(tmp_path, num_steps=9, show=shown.append):
        path.write_text("".join(json.dumps({**STEP, "step": s}) + "\n" for s in (1, 2, 3)))
    path.write_text("".join(json.dumps({**STEP, "step": s}) + "\n" for s in (1, 2)))
    assert [line.split()[1] for line in shown] == ["2/9", "3/9"]
