"""DeepSpeed's engine on one CPU worker, at every ZeRO stage: our own engines' updates, and the same rule of faults.

DeepSpeed refuses fp16 on processors without it; it is told that this one has it, so that its own loss scale is at work.
"""

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ray_ft.models.shape import load_model_shape
from ray_ft.strategies import Full
from ray_ft.training.backends.base import Engine
from ray_ft.training.backends.deepspeed import DeepSpeedEngine, compile_nothing
from ray_ft.training.backends.deepspeed_config import deepspeed_config
from ray_ft.training.backends.replicated import ReplicatedEngine
from ray_ft.training.task import Precision

pytestmark = pytest.mark.filterwarnings("ignore")

DTYPES: dict[Precision, Any] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
STAGES = [0, 1, 2, 3]


class Spoilt(torch.nn.Module):
    """Hands on what it gets, and an infinite gradient."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.requires_grad:
            x.register_hook(lambda gradient: gradient * torch.inf)
        return x


@pytest.fixture(scope="module", autouse=True)
def one_worker() -> Iterator[None]:
    environment = dict(os.environ)
    os.environ |= {"DS_ACCELERATOR": "cpu", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()
    os.environ.clear()
    os.environ.update(environment)


def engine_of(
    stage: int | None,
    precision: Precision,
    *,
    accumulation: int = 1,
    ratio: float | None = None,
    max_norm: float = 1.0,
    spoilt: bool = False,
) -> Engine:
    """DeepSpeed's engine, or with stage None our own, for the same model of two layers."""
    torch.manual_seed(3)
    layers = [torch.nn.Linear(4, 8), torch.nn.Linear(8, 1), *([Spoilt()] if spoilt else [])]
    model = torch.nn.Sequential(*layers).to(DTYPES[precision])
    train = SimpleNamespace(
        max_grad_norm=max_norm, weight_decay=0.1, global_batch_size=accumulation, max_grad_norm_ratio=ratio
    )
    strategy = SimpleNamespace(is_adapter=False, offload="none")
    task: Any = SimpleNamespace(
        train=train, micro_batch_size=1, strategy=strategy, learning_rate=0.01, use_gpu=False
    )  # fmt: skip
    if stage is None:
        return ReplicatedEngine(model, task, precision=precision)
    from deepspeed.accelerator import get_accelerator

    get_accelerator().is_fp16_supported = lambda: True
    compile_nothing(task)
    config = deepspeed_config(
        Full(zero_stage=stage, offload="none"),
        load_model_shape("builtin:tiny"),
        micro_batch_size=1,
        gradient_accumulation_steps=accumulation,
        max_grad_norm=max_norm,
        precision=precision,
    )
    config["zero_optimization"]["overlap_comm"] = False  # a CPU has no streams
    return DeepSpeedEngine(model, task, config=config)


def step(engine: Engine, *inputs: float, first: float = 1.0) -> Any:
    """One update from as many micro-batches as there are inputs; the loss of the first one counts `first` times."""
    total = torch.zeros((), dtype=torch.float64)
    for number, value in enumerate(inputs, start=1):
        dtype = next(engine.module.parameters()).dtype
        loss = engine(input=torch.full((1, 4), value, dtype=dtype)).float().sum() * (first if number == 1 else 1.0)
        engine.backward(loss, last=number == len(inputs))
        total += loss.detach()
    return engine.step(total, learning_rate=0.01)


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stage", STAGES)
def test_updates_are_those_of_our_own_engine(stage: int, precision: Precision, accumulation: int) -> None:
    ours, theirs = (engine_of(at, precision, accumulation=accumulation) for at in (None, stage))
    for number in range(5):
        inputs = [0.5 + number / 8 + i for i in range(accumulation)]
        expected, found = step(ours, *inputs), step(theirs, *inputs)
        assert float(found.grad_norm) == pytest.approx(
            float(expected.grad_norm), rel=1e-5 if precision == "fp32" else 1e-2
        )
        assert float(found.skipped) == float(found.excused) == 0
    weights = theirs.trainable_weights()
    for name, value in ours.trainable_weights().items():
        torch.testing.assert_close(
            weights[name], value, rtol=1e-5 if precision == "fp32" else 1e-2, atol=1e-5, msg=name
        )


@pytest.mark.parametrize("stage", [None, *STAGES])
def test_micro_batches_are_added_up_in_fp32(stage: int | None) -> None:
    engine = engine_of(stage, "bf16", accumulation=9, max_norm=0.0)
    one = step(engine_of(None, "fp32", max_norm=0.0), 0.0)
    # 256 times a gradient and eight times it once more: in bf16 each of the eight is rounded away.
    found = step(engine, *[0.0] * 9, first=256.0)
    assert float(found.grad_norm / one.grad_norm) == pytest.approx(264, rel=5e-3)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("precision", "value"), [("fp32", 1000.0), ("bf16", 1000.0), ("bf16", float("inf"))])
def test_an_update_that_is_left_out_changes_nothing_and_is_the_batch_s_fault(
    stage: int, precision: Precision, value: float
) -> None:
    engine = engine_of(stage, precision, ratio=10.0)
    for _ in range(8):
        assert float(step(engine, 1.0).skipped) == 0
    before = engine.trainable_weights()
    update = step(engine, value)
    assert (float(update.skipped), float(update.excused)) == (1, 0)
    assert not float(update.grad_norm) < 0
    after = engine.trainable_weights()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())
    assert float(step(engine, 1.0).skipped) == 0
    assert not torch.equal(engine.trainable_weights()["1.bias"], before["1.bias"])


@pytest.mark.parametrize("stage", [None, *STAGES])
def test_a_loss_scale_that_is_too_large_excuses_the_batch_until_it_has_fallen(stage: int | None) -> None:
    """2^16 times a gradient of 8 is over fp16's 65,504; the scale halves until it is not."""
    engine = engine_of(stage, "fp16", ratio=10.0)
    before = engine.trainable_weights()
    updates = []
    while not updates or float(updates[-1].skipped):
        updates.append(step(engine, 8.0))
        assert len(updates) < 10
        if float(updates[-1].skipped):
            after = engine.trainable_weights()
            assert all(torch.equal(after[name], weight) for name, weight in before.items())
    assert len(updates) > 3
    assert [float(update.excused) for update in updates] == [1.0] * (len(updates) - 1) + [0.0]
    assert not torch.equal(engine.trainable_weights()["0.weight"], before["0.weight"])
    expected = float(step(engine_of(None, "fp32"), 8.0).grad_norm)
    assert float(updates[-1].grad_norm) == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("stage", [None, *STAGES])
def test_in_fp16_too_a_loss_that_is_not_finite_is_the_batch_s_fault(stage: int | None) -> None:
    update = step(engine_of(stage, "fp16"), float("nan"))
    assert (float(update.skipped), float(update.excused)) == (1, 0)


@pytest.mark.parametrize("stage", [None, *STAGES])
def test_a_gradient_over_the_ratio_leaves_the_loss_scale_alone(stage: int | None) -> None:
    engine = engine_of(stage, "fp16", ratio=3.0)
    while float(step(engine, 8.0).skipped):
        pass  # until the scale is one that suits it
    for _ in range(8):
        step(engine, 0.1)
    scale = loss_scale(engine)
    update = step(engine, 8.0)
    assert (float(update.skipped), float(update.excused)) == (1, 0)
    assert loss_scale(engine) == scale


@pytest.mark.parametrize("stage", STAGES)
def test_deepspeed_does_not_end_the_run_at_its_smallest_loss_scale(stage: int) -> None:
    engine = engine_of(stage, "fp16", spoilt=True)
    updates = [step(engine, 1.0) for _ in range(20)]  # 2^16 halves sixteen times
    assert all(float(update.excused) == 1 for update in updates)
    assert loss_scale(engine) == 1.0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_gradient_that_is_not_finite_beside_a_loss_that_is_has_no_norm(stage: int, precision: Precision) -> None:
    update = step(engine_of(stage, precision, spoilt=True), 1.0)
    assert (float(update.skipped), float(update.excused)) == (1, 0)
    assert not torch.isfinite(update.grad_norm)


def loss_scale(engine: Any) -> float:
    return float(engine._scale if isinstance(engine, ReplicatedEngine) else engine.engine.optimizer.loss_scale)
