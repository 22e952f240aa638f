"""Tasks are few lines where nobody watches."""

import itertools
import logging

import pytest

from ray_ft import progress
from ray_ft.progress import Lines, Task, duration, watched_by


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.4, "4 s"), (59.6, "1 min 0 s"), (190, "3 min 10 s"), (5 * 3600 + 720, "5 h 12 min")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def logged(caplog: pytest.LogCaptureFixture, *, seconds: int, level: int = logging.INFO) -> list[str]:
    """The lines of a task of one step a second that ends after so many."""
    now = 0.0
    with caplog.at_level(level, "ray_ft"), watched_by(Lines()):
        task = Task("train", "steps", seconds, clock=lambda: now)
        for step in range(1, seconds + 1):
            now = float(step)
            task.at(step)
        task.end()
    return caplog.messages


def test_lines_come_after_ten_seconds_and_then_twice_as_late(caplog: pytest.LogCaptureFixture) -> None:
    lines = logged(caplog, seconds=100)
    assert [int(line.split()[1]) for line in lines] == [10, 20, 40, 80, 100]
    assert lines[0] == "train 10 of 100 steps, about 1 min 30 s left"
    assert lines[-1] == "train 100 of 100 steps"


def test_a_day_s_lines_come_every_ten_minutes(caplog: pytest.LogCaptureFixture) -> None:
    lines = logged(caplog, seconds=24 * 3600)
    steps = [int(line.split()[1].replace(",", "")) for line in lines]
    assert len(lines) < 160
    assert max(b - a for a, b in itertools.pairwise(steps)) <= 640


def test_what_is_soon_over_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(caplog, seconds=9) == []


def test_verbose_says_every_step(caplog: pytest.LogCaptureFixture) -> None:
    assert len(logged(caplog, seconds=9, level=logging.DEBUG)) == 10  # the last one again: it is over


def test_a_resumed_task_goes_at_the_rate_of_what_it_did_itself() -> None:
    now = 0.0
    task = Task("train", "steps", 100, done=90, clock=lambda: now)
    assert task.seconds_left is None
    now = 10.0
    task.at(95)
    assert task.seconds_left == pytest.approx(10.0)  # five steps in ten seconds, five are left


def test_the_first_of_many_tells_nothing_of_the_rest() -> None:
    now = 0.0
    task = Task("answer", "tasks", 680, clock=lambda: now)
    now = 55.0  # a model was loaded
    task.count_to(1)
    assert task.line() == "answer 1 of 680 tasks, 0.0 a second"
    now = 60.0
    task.count_to(20)
    assert task.seconds_left == pytest.approx(1980.0)


def test_a_stage_s_own_estimate_runs_down() -> None:
    now = 0.0
    task = Task("train", "steps", 100, clock=lambda: now)
    task.at(1, seconds_left=30.0)
    now = 10.0
    assert task.seconds_left == 20.0
    now = 60.0
    assert task.seconds_left == 0.0


def test_a_task_ends_where_its_block_fails() -> None:
    with pytest.raises(ValueError, match="on purpose"), progress.task("read", "files", 3) as task:
        raise ValueError("on purpose")
    assert task.is_over
