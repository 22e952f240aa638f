"""The smallest cluster that is in time, found from the other end."""

import dataclasses
from typing import Any

import pytest

from ray_ft.artifacts import Sizing, Workload
from ray_ft.config import PlanConfig, TrainConfig
from ray_ft.errors import ConfigError, DoesNotFitError
from ray_ft.hardware import GPUS, gpu_hardware
from ray_ft.models.shape import load_model_shape
from ray_ft.planning.choice.choose import choose_plan
from ray_ft.planning.choice.smallest import COUNTS, smallest_cluster
from ray_ft.planning.show.table import WIDTH, render_sizing
from ray_ft.strategies import LoRA

SHAPE = load_model_shape("meta-llama/Llama-3.1-8B")
WORKLOAD = Workload(10_000_000, 3.0, 2048, 64)


def _sizing(max_hours: float, gpu: str | None = None, **train: Any) -> Sizing:
    config = TrainConfig(**{"global_batch_size": 64, "strategy": LoRA(), **train})
    return smallest_cluster(SHAPE, max_hours=max_hours, workload=WORKLOAD, train=config, plan=PlanConfig(gpu=gpu))


@pytest.mark.parametrize("gpu", ["A100-80GB", "L4"])
def test_one_gpu_count_less_is_too_slow(gpu: str) -> None:
    (row,) = _sizing(1.0, gpu).clusters
    assert row.hours <= 1.0
    fewer = COUNTS[COUNTS.index(row.num_workers) - 1]
    made = choose_plan(
        SHAPE,
        hardware=gpu_hardware(gpu, fewer),
        workload=WORKLOAD,
        train=TrainConfig(global_batch_size=64, strategy=LoRA(), num_workers=fewer),
        plan=PlanConfig(objective="time"),
    )
    assert made.estimate.hours > 1.0


def test_every_kind_of_gpu_is_answered_for_and_the_fewest_come_first() -> None:
    found = _sizing(1.0)
    assert {row.gpu for row in (*found.clusters, *found.rejected)} == set(GPUS)
    counts = [row.num_workers for row in found.clusters]
    assert counts == sorted(counts)
    assert all(row.reason for row in found.rejected)


def test_less_time_never_takes_fewer_gpus() -> None:
    counts = [_sizing(hours, "A100-80GB").clusters[0].num_workers for hours in (4.0, 2.0, 1.0, 0.5)]
    assert counts == sorted(counts)


def test_what_cannot_be_gets_one_line() -> None:
    with pytest.raises(DoesNotFitError, match=r"up to 64 GPUs trains in 0\.01 hours; the fastest is 64 x"):
        _sizing(0.01)
    with pytest.raises(ConfigError, match="--max-hours: 0 is no time to train in"):
        _sizing(0)
    with pytest.raises(ConfigError, match=r"train\.num_workers fixes the number of GPUs"):
        _sizing(1.0, num_workers=4)
    with pytest.raises(ConfigError, match=r"no such GPU 'A200'.*Did you mean"):
        _sizing(1.0, "A200")


def test_a_small_batch_limits_the_gpus_and_is_named() -> None:
    with pytest.raises(DoesNotFitError, match=r"A larger train\.global_batch_size lets more than 1 GPUs share it"):
        smallest_cluster(
            SHAPE,
            max_hours=0.1,
            workload=dataclasses.replace(WORKLOAD, global_batch_size=5),
            train=TrainConfig(global_batch_size=5),
            plan=PlanConfig(gpu="L40S"),
        )


def test_the_table_fits_the_terminal_and_marks_the_smallest() -> None:
    text = render_sizing(_sizing(1.0))
    assert max(map(len, text.splitlines())) <= WIDTH
    (marked,) = [line for line in text.splitlines() if line.startswith(">")]
    assert marked.startswith("> 1 x ")
