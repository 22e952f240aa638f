"""A run that a machine cannot carry is refused at once, where nothing could make the cluster grow."""

from dataclasses import replace
from typing import Any

import pytest

from ray_ft.artifacts import Estimate, Memory, Plan
from ray_ft.errors import DoesNotFitError
from ray_ft.strategies import LoRA
from ray_ft.training.driver import check_cluster

NOTHING = Memory(0, 0, 0, 0, 0, 0, 0, 0, phase="backward")
STRATEGY = LoRA(zero_stage=0, offload="none")
PLAN = Plan(
    model="m", gpu="cpu", strategy=STRATEGY, num_workers=4, micro_batch_size=1, gradient_accumulation_steps=1,
    gradient_checkpointing=False,
    estimate=Estimate(STRATEGY, 4, 1, 1, False, NOTHING, 0, 1.0, 0.0, 0.0, fits=True),
)  # fmt: skip


def check(monkeypatch: pytest.MonkeyPatch, plan: Plan, *, num_nodes: int = 1, **resources: Any) -> None:
    monkeypatch.setattr("ray.cluster_resources", lambda: resources)
    monkeypatch.setattr("ray.nodes", lambda: [{}] * num_nodes)
    check_cluster(plan, cpus_per_worker=1, min_workers=None)


def test_more_workers_than_cores_are_refused_on_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(DoesNotFitError, match="4 workers need 4 CPUs and this machine has 2"):
        check(monkeypatch, PLAN, CPU=2.0)
    check(monkeypatch, PLAN, CPU=4.0)
    check(monkeypatch, PLAN, CPU=2.0, num_nodes=2)  # a cluster may grow


def test_a_plan_for_gpus_says_what_to_do_where_there_are_none_or_few(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DoesNotFitError, match=r"4 x L4 and Ray sees no GPU; give --address .*, or leave plan.gpu out"):
        check(monkeypatch, replace(PLAN, gpu="L4"), CPU=2.0)
    with pytest.raises(DoesNotFitError, match=r"needs 4 L4 and Ray has 1 GPUs; set train.num_workers"):
        check(monkeypatch, replace(PLAN, gpu="L4"), CPU=2.0, GPU=1.0)
