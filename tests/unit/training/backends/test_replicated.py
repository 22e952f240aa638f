"""The replicated engine on one worker: fp32 masters, sums in fp32, updates left out, state there and back."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ray_ft.training.backends.replicated import ReplicatedEngine
from ray_ft.training.backends.update_guard import Guard


@pytest.fixture(scope="module", autouse=True)
def one_worker() -> Iterator[None]:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def engine_of(
    dtype: torch.dtype = torch.bfloat16, *, accumulation: int = 1, ratio: float | None = None, max_norm: float = 0.0
) -> ReplicatedEngine:
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 1)).to(dtype)
    train = SimpleNamespace(
        max_grad_norm=max_norm, weight_decay=0.0, global_batch_size=accumulation, max_grad_norm_ratio=ratio
    )
    task: Any = SimpleNamespace(train=train, micro_batch_size=1, strategy=SimpleNamespace(is_adapter=False))
    return ReplicatedEngine(model, task, precision="fp32" if dtype == torch.float32 else "bf16")


def step(engine: ReplicatedEngine, *inputs: float, learning_rate: float = 0.01) -> Any:
    """One update from as many micro-batches as there are inputs."""
    total = torch.zeros((), dtype=torch.float64)
    for number, value in enumerate(inputs, start=1):
        dtype = next(engine.module.parameters()).dtype
        loss = engine(input=torch.full((1, 4), value, dtype=dtype)).float().sum()
        engine.backward(loss, last=number == len(inputs))
        total += loss.detach()
    return engine.step(total, learning_rate=learning_rate)


def weights(engine: ReplicatedEngine) -> dict[str, Any]:
    return engine.trainable_weights()


def test_steps_too_small_for_sixteen_bits_add_up_in_the_masters() -> None:
    engine = engine_of()
    before = weights(engine)["1.bias"].clone()
    # bf16 has 8 bits: a step of 1e-4 beside a bias of about 0.1 is lost, a hundred of them are not.
    step(engine, 1.0, learning_rate=1e-4)
    assert torch.equal(weights(engine)["1.bias"], before)
    for _ in range(100):
        step(engine, 1.0, learning_rate=1e-4)
    assert float(weights(engine)["1.bias"] - before) == pytest.approx(-1e-2, rel=0.1)


def test_sixteen_bit_gradients_are_added_up_in_fp32() -> None:
    engine = engine_of(accumulation=300)
    # The bias of the last layer has gradient 1 in each micro-batch; a sum in bf16 stops at 256.
    update = step(engine, *[0.0] * 300)
    norms = engine_of(torch.float32, accumulation=300)
    assert float(update.grad_norm) == pytest.approx(float(step(norms, *[0.0] * 300).grad_norm), rel=1e-2)
    assert float(update.grad_norm) > 299


def test_fp32_is_torch_s_adamw() -> None:
    engine = engine_of(torch.float32, max_norm=1.0)
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    for _ in range(5):
        update = step(engine, 1.0)
        model(torch.ones(1, 4)).sum().backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        assert float(update.grad_norm) == pytest.approx(float(norm), rel=1e-6)
    for name, parameter in model.named_parameters():
        assert torch.allclose(weights(engine)[name], parameter, atol=1e-6)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_an_update_that_is_not_finite_leaves_everything_as_it_was(value: float, accumulation: int) -> None:
    spoilt, sound = engine_of(accumulation=accumulation), engine_of(accumulation=accumulation)
    good = [1.0] * accumulation
    for engine in (spoilt, sound):
        assert float(step(engine, *good).skipped) == 0
    assert float(step(spoilt, *good[1:], value).skipped) == 1
    for engine in (spoilt, sound):
        step(engine, *good)
    for name, value_there in weights(sound).items():
        assert torch.equal(weights(spoilt)[name], value_there)


def test_a_gradient_far_over_the_median_is_left_out() -> None:
    engine = engine_of(ratio=10.0)
    for _ in range(8):
        assert float(step(engine, 1.0).skipped) == 0
    before = weights(engine)
    assert float(step(engine, 1000.0).skipped) == 1
    assert all(torch.equal(weights(engine)[name], value) for name, value in before.items())
    assert float(step(engine, 2.0).skipped) == 0


def test_the_first_norms_of_a_run_are_not_compared() -> None:
    guard = Guard(2.0, device="cpu", scaled=False)
    norms = [1.0, 100.0, *[1.0] * 6, 3.0]  # eight norms with the median 1; then 3 is over 2 times 1
    skipped = [float(guard.judge(torch.tensor(norm), torch.tensor(0.0)).skipped) for norm in norms]
    assert skipped == [0.0] * 8 + [1.0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_going_on_from_a_state_is_exact(dtype: torch.dtype, tmp_path: Path) -> None:
    engine = engine_of(dtype, ratio=10.0)
    for _ in range(3):
        step(engine, 1.0)
    files = engine.host_state()
    for name, state in files.items():
        torch.save(state, tmp_path / name)
    step(engine, 0.5)
    resumed = engine_of(dtype, ratio=10.0)
    resumed.load_state(tmp_path)
    step(resumed, 0.5)
    for name, value in weights(engine).items():
        assert torch.equal(weights(resumed)[name], value)
    assert torch.equal(engine._guard.norms[-4:], resumed._guard.norms[-4:])


def test_a_state_on_the_host_is_a_copy() -> None:
    engine = engine_of(torch.float32)
    step(engine, 1.0)
    state = engine.host_state()["replicated-00000.pt"]["parameters"]["1.bias"]
    kept = state["weight"].clone()
    step(engine, 1.0)
    assert torch.equal(state["weight"], kept)
