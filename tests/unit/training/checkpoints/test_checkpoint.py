import json
from pathlib import Path

import pytest

from ray_ft.errors import ConfigError
from ray_ft.training.checkpoints.record import (
    check_same_run,
    complete_checkpoints,
    latest_checkpoint,
    remove_leftovers,
)


def write_checkpoint(run_path: Path, step: int, *, name: str | None = None) -> Path:
    folder = run_path / "checkpoints" / (name or f"step-{step:06d}")
    folder.mkdir(parents=True)
    (folder / "weights.pt").write_bytes(b"12345678")
    (folder / "checkpoint.json").write_text(
        json.dumps({"step": step, "run": {"seed": 1, "strategy": {"r": 8}}, "files": {"weights.pt": 8}})
    )
    return folder


def test_the_newest_checkpoint_is_the_latest(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 20)
    write_checkpoint(tmp_path, 100)
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 100


def test_a_checkpoint_with_a_truncated_file_is_passed_over(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 1)
    (write_checkpoint(tmp_path, 2) / "weights.pt").write_bytes(b"1234")
    assert [c.step for c in complete_checkpoints(tmp_path)] == [1]


def test_a_checkpoint_that_was_never_put_in_place_is_passed_over(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 1)
    write_checkpoint(tmp_path, 2, name=".partial-step-000002")
    assert [c.step for c in complete_checkpoints(tmp_path)] == [1]


def test_leftovers_of_a_killed_run_go_and_whole_checkpoints_stay(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 1)
    write_checkpoint(tmp_path, 2, name=".partial-step-000002")
    remove_leftovers(tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000001"]


def test_a_run_without_checkpoints_has_no_latest(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None


def test_going_on_with_another_rank_names_the_key(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 1)
    checkpoint = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    check_same_run(checkpoint, {"seed": 1, "strategy": {"r": 8}})
    with pytest.raises(ConfigError, match=r"strategy\.r: 8 -> 16.*--force"):
        check_same_run(checkpoint, {"seed": 1, "strategy": {"r": 16}})
