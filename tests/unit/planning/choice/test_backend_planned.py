"""Who runs the steps is part of every row: asked for or chosen, with its reason, and with its own memory and time."""

from dataclasses import replace
from typing import Any, Literal

import pytest

from ray_ft.artifacts import Plan, Workload, from_json, to_json
from ray_ft.config import PlanConfig, TrainConfig, parse_config
from ray_ft.errors import ConfigError
from ray_ft.hardware import hardware_for
from ray_ft.models.shape import load_model_shape
from ray_ft.planning.choice.choose import choose_plan
from ray_ft.planning.choice.estimate import Job, estimate
from ray_ft.planning.memory.stack import Stack
from ray_ft.planning.memory.state import Candidate, state_bytes
from ray_ft.planning.show.table import render_plan
from ray_ft.strategies import Full, LoRA, Strategy

LLAMA_7B = load_model_shape("meta-llama/Llama-2-7b-hf")
P = 6_738_415_616  # its parameters
H200_2 = PlanConfig(gpu="H200-SXM", num_gpus=2)


def plan_for(backend: Literal["auto", "native", "deepspeed"], strategy: Strategy | None = None) -> Plan:
    train = TrainConfig(global_batch_size=16, backend=backend, strategy=strategy)
    workload = Workload(10_000_000, 1.0, 2048, 16)
    return choose_plan(LLAMA_7B, hardware=hardware_for(H200_2), workload=workload, train=train, plan=H200_2)


def backends(plan: Plan) -> set[tuple[int, str, str]]:
    return {(row.strategy.zero_stage, row.strategy.offload, row.backend) for row in (plan.estimate, *plan.rejected)}


def test_auto_takes_our_own_engines_where_they_can_and_says_why() -> None:
    made = plan_for("auto", LoRA(zero_stage=0))
    assert made.backend == made.estimate.backend == "native"
    assert made.backend_reason.startswith("native: our own engines of ZeRO 0 to 2 are 1.15 times as fast as DeepSpeed")
    (other,) = [row for row in made.rejected if row.backend == "deepspeed"]
    assert other.strategy == made.strategy
    assert other.hours > made.estimate.hours
    assert other.reason.endswith(": waits for the GPU in every step")


def test_auto_takes_deepspeed_where_nothing_else_can() -> None:
    made = plan_for("auto", LoRA(zero_stage=3))
    assert {row.backend for row in (made.estimate, *made.rejected)} == {"deepspeed"}
    assert made.backend_reason == "deepspeed: it alone splits weights over workers"
    offloaded = plan_for("auto", Full(zero_stage=2, offload="optimizer"))
    assert offloaded.backend_reason == "deepspeed: it alone offloads"


def test_deepspeed_runs_every_stage_when_asked() -> None:
    made = plan_for("deepspeed", LoRA())
    assert {(stage, "none", "deepspeed") for stage in (0, 1, 2, 3)} <= backends(made)
    assert {backend for _, _, backend in backends(made)} == {"deepspeed"}
    assert made.backend_reason == "deepspeed, as train.backend says"
    assert "by DeepSpeed" in render_plan(made).splitlines()[0]


def test_native_plans_neither_zero_3_nor_offload() -> None:
    assert backends(plan_for("native")) == {(stage, "none", "native") for stage in (0, 1, 2)}


@pytest.mark.parametrize("strategy", [{"zero_stage": 3}, {"offload": "optimizer"}, {"offload": "all"}])
def test_native_with_zero_3_or_offload_is_refused_and_deepspeed_named(strategy: dict[str, Any]) -> None:
    config = {
        "run_name": "r",
        "model": {"name": "builtin:tiny"},
        "data": {"sources": ["docs"], "recipes": ["paragraph"]},
        "train": {"backend": "native", "strategy": {"name": "lora", **strategy}},
    }
    said = "train.backend: 'native' must be deepspeed or auto with ZeRO-3 or offload"
    with pytest.raises(ConfigError, match=said):
        parse_config(config, source="handbook.yaml")


def test_a_plan_from_before_backends_were_named_reads_as_what_ran_it() -> None:
    for stage, backend in ((2, "native"), (3, "deepspeed")):
        old = to_json(plan_for("auto", LoRA(zero_stage=stage)))
        del old["backend"], old["estimate"]["backend"]
        read = from_json(Plan, old)
        assert read.backend == read.estimate.backend == backend


@pytest.mark.parametrize(
    ("stage", "accumulation", "kept", "gradients", "step"),
    [
        # Bytes per parameter of two workers: 16-bit gradients, whole at 0 and 1, and what a step makes of them in fp32.
        (0, 1, 0.0, 2.0, 4.0),
        (1, 1, 0.0, 2.0 + 1.0, 3.0),
        (2, 1, 0.0, 1.0, 3.0),
        (3, 1, 1.0, 1.0, None),
        # Sums of several micro-batches in fp32: whole at 0, whole beside the last 16-bit ones at 1, halved from 2 on.
        (0, 2, 4.0, 4.0, 2.0),
        (1, 2, 4.0, 4.0 + 2.0, 2.0),
        (2, 2, 2.0, 2.0, 2.0),
        (3, 2, 2.0, 2.0, None),
    ],
)
def test_gradients_under_deepspeed_by_stage(
    stage: int, accumulation: int, kept: float, gradients: float, step: float | None
) -> None:
    candidate = Candidate(Full(zero_stage=stage, offload="none"), 2, 1, accumulation, False, "deepspeed")
    state = state_bytes(LLAMA_7B, candidate, stack=Stack())
    assert (state.kept_gradients / P, state.gradients / P) == (kept, gradients)
    assert state.optimizer == 12 * (P if stage == 0 else P // 2)
    assert state.step == (4 * 1_000_000_000 if step is None else step * P)


def test_the_row_of_deepspeed_is_near_what_was_measured_beside_ours() -> None:
    """Full tuning of 7B, four rows of 2048 on each of two H200s: ours 74.1 GiB and 25,727 tokens/s, DeepSpeed's ZeRO-2
    79.0 and 22,299, with the machine's profile and no accumulation."""
    job = Job(LLAMA_7B, hardware_for(H200_2), Workload(10_000_000, 1.0, 2048, 8))
    ours = Candidate(Full(zero_stage=2, offload="none"), 2, 4, 1, False)
    rows = [estimate(candidate, job) for candidate in (ours, replace(ours, backend="deepspeed"))]
    measured = [(74.1, 25_727), (79.0, 22_299)]
    for row, (gib, _) in zip(rows, measured, strict=True):
        assert row.memory.allocated / 2**30 == pytest.approx(gib, rel=0.08)
    faster = rows[0].tokens_per_second / rows[1].tokens_per_second
    assert faster == pytest.approx(25_727 / 22_299, rel=0.02)
