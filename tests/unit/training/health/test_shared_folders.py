"""Workers that do not see the run's folders are named before training starts."""

from pathlib import Path

import pytest

from ray_ft.errors import TrainingError
from ray_ft.training.health.shared_folders import leave_mark, what_is_not_seen

RUN, DATA = "run folder /outputs/handbook", "training set /outputs/handbook/data"


def test_ranks_that_see_everything_give_no_line() -> None:
    assert what_is_not_seen([("a", []), ("b", [])]) is None


def test_the_rank_and_the_machine_are_named_with_what_would_work() -> None:
    line = what_is_not_seen([("a", []), ("b", [RUN, DATA])])
    assert line == (
        "rank 1 on b does not see the run folder /outputs/handbook of the machine that started the run: on several "
        "machines output_dir, and a model given as a folder or HF_HOME, must lie on storage that all of them mount"
    )


def test_ranks_on_one_machine_name_it_once() -> None:
    line = what_is_not_seen([("a", []), ("a", []), ("b", [DATA]), ("b", [DATA]), ("c", [DATA])])
    assert line is not None
    assert line.startswith("ranks 2, 3, 4 on b, c do not see the training set /outputs/handbook/data of")


def test_every_start_leaves_another_mark_in_the_same_file(tmp_path: Path) -> None:
    first, second = leave_mark(tmp_path), leave_mark(tmp_path)
    assert first != second
    assert [path.read_text() for path in (tmp_path / "checkpoints").iterdir()] == [second]


def test_a_run_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file in the way")
    with pytest.raises(TrainingError, match=rf"cannot write to the run folder {tmp_path}: File exists"):
        leave_mark(tmp_path)
