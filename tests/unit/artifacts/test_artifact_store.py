"""Artifacts survive the way to disk and back, and say what is wrong when they do not."""

import errno
from pathlib import Path

import pytest

from ray_ft.artifacts import Estimate, Memory, Plan, load, load_inputs, save, write_text
from ray_ft.errors import ConfigError, MissingArtifactError
from ray_ft.strategies import QLoRA

MEMORY = Memory(
    weights=1, gradients=2, optimizer=3, activations=4, logits=5, transient=6, fixed=7, total=28, phase="loss",
    phases={"loss": 28},
)  # fmt: skip
ESTIMATE = Estimate(
    strategy=QLoRA(r=3), num_workers=1, micro_batch_size=2, gradient_accumulation_steps=4, gradient_checkpointing=True,
    memory=MEMORY, host_memory_bytes=9, tokens_per_second=1.5, hours=2.0, cost=3.0, fits=True,
)  # fmt: skip
PLAN = Plan(
    model="m", gpu="L4", strategy=QLoRA(r=3), num_workers=1, micro_batch_size=2, gradient_accumulation_steps=4,
    gradient_checkpointing=True, estimate=ESTIMATE, rejected=(ESTIMATE,), notes=("assumed",),
)  # fmt: skip


def test_a_plan_loads_back_equal_with_its_strategy_class(tmp_path: Path) -> None:
    save(PLAN, tmp_path, {"seed": 0})
    assert load(Plan, tmp_path) == PLAN
    assert load_inputs(Plan, tmp_path) == {"seed": 0}


def test_a_missing_artifact_names_the_verb_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifactError, match=r"No plan in .*\. Run `ray-ft plan a\.yaml` first\."):
        load(Plan, tmp_path, config_path="a.yaml")


def test_a_damaged_artifact_is_reported_not_crashed_on(tmp_path: Path) -> None:
    save(PLAN, tmp_path)
    (tmp_path / "plan.json").write_text('{"artifact": {"model": "m"')
    with pytest.raises(MissingArtifactError, match=r"damaged .* --force"):
        load(Plan, tmp_path)


def test_an_output_folder_that_is_a_file_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("")
    for read in (load, load_inputs):
        with pytest.raises(
            ConfigError, match=rf"output_dir: cannot read {tmp_path}/outputs/run/plan.json: Not a direct"
        ):
            read(Plan, tmp_path / "outputs" / "run")
    with pytest.raises(ConfigError, match=r"cannot write .*plan.html: Not a directory"):
        write_text(tmp_path / "outputs" / "run" / "plan.html", "")


def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.json"
    write_text(path, "old")

    def full(self: Path, text: str, encoding: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ConfigError, match=r"cannot write .*: No space left on device"):
        write_text(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]
