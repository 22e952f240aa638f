import json
from pathlib import Path
from typing import Any

import pytest

from ray_ft.errors import ConfigError
from ray_ft.training.checkpoints.record import (
    Checkpoint,
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


BEFORE = {
    "inputs": {"train": {"compile": None, "eval_every": 3, "load_best": False, "max_steps": 6, "learning_rate": 0.1}},
    "num_steps": 6,
    "precision": "fp32",
}


def changed(num_steps: int = 6, precision: str = "fp32", **keys: Any) -> dict[str, Any]:
    train = {**BEFORE["inputs"]["train"], **keys}  # type: ignore[index]
    return {"inputs": {"train": train}, "num_steps": num_steps, "precision": precision}


def checkpoint_of(run: dict[str, Any], *, gpu: str = "cpu") -> Checkpoint:
    return Checkpoint(Path("c"), 3, {"run": run, "plan": {"gpu": gpu}, "files": {}, "sha256": {}})


@pytest.mark.parametrize(
    "now",
    [
        changed(compile=True),
        changed(offload_activations=False),
        changed(eval_every=1),
        changed(load_best=True),
        changed(early_stopping_patience=2),
        changed(12, max_steps=12),
        changed(9, max_steps=None, num_epochs=4.0),
    ],
    ids=["compile", "offload", "eval_every", "load_best", "patience", "more-steps", "more-epochs"],
)
def test_what_computes_the_same_may_differ_and_a_run_may_be_made_longer(now: dict[str, Any]) -> None:
    check_same_run(checkpoint_of(BEFORE), now)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (changed(learning_rate=0.2), r"inputs\.train\.learning_rate: 0\.1 -> 0\.2"),
        (changed(precision="bf16"), r'precision: "fp32" -> "bf16"'),
        (changed(4, max_steps=4), "num_steps: 6 -> 4, and a run can only be made longer"),
    ],
)
def test_what_computes_otherwise_is_refused(now: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_same_run(checkpoint_of(BEFORE), now)


def test_a_record_without_a_precision_was_automatic() -> None:
    before = {key: BEFORE[key] for key in ("inputs", "num_steps")}
    check_same_run(checkpoint_of(before), changed())
    check_same_run(checkpoint_of(before, gpu="T4"), changed(precision="fp16"))
    check_same_run(checkpoint_of(before, gpu="H200"), changed(precision="bf16"))
    with pytest.raises(ConfigError, match=r'precision: "bf16" -> "fp32"'):
        check_same_run(checkpoint_of(before, gpu="H200"), changed())
