"""Each YAML in configs/ loads, plans without a network, and says of itself what the plan says."""

import re
from pathlib import Path

import pytest

import ray_ft
from ray_ft.artifacts import Plan
from ray_ft.hardware import GIB
from ray_ft.sweeping.space import expand

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
ESTIMATED = re.compile(r"# Estimated by `ray-ft plan` .*, not measured: (.*)")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_loads_and_plans(path: Path, tmp_path: Path) -> None:
    made = _plan(path, tmp_path)
    assert made.estimate.fits
    batch = made.num_workers * made.micro_batch_size * made.gradient_accumulation_steps
    assert batch == ray_ft.load_config(path).train.global_batch_size


@pytest.mark.parametrize("path", [p for p in CONFIGS if "gpu:" in p.read_text()], ids=lambda path: path.stem)
def test_the_header_gives_the_plans_figures_as_estimates(path: Path, tmp_path: Path) -> None:
    estimated = ESTIMATED.search(path.read_text())
    assert estimated is not None
    row = _plan(path, tmp_path).estimate
    assert estimated[1] == f"{row.memory.total / GIB:.1f} GiB per GPU, {row.hours:.1f} hours, {row.cost:.2f} USD"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_header_gives_the_command(path: Path) -> None:
    verb = "sweep" if ray_ft.load_config(path).sweep.parameters else "run"
    assert f"ray-ft {verb} configs/{path.name}" in path.read_text()


@pytest.mark.parametrize("path", [p for p in CONFIGS if "sweep:" in p.read_text()], ids=lambda path: path.stem)
def test_every_trial_of_a_sweep_is_a_configuration_that_works(path: Path) -> None:
    trials = expand(ray_ft.load_config(path))
    assert len({trial.name for trial in trials}) == len(trials) >= 2


def _plan(path: Path, tmp_path: Path) -> Plan:
    config = ray_ft.load_config(path, [f"output_dir={tmp_path}"])
    if config.plan.gpu is None:  # else it would ask Ray
        config = ray_ft.load_config(path, [f"output_dir={tmp_path}", "plan.gpu=cpu"])
    return ray_ft.plan(config)
