"""Time per step, checked with a pencil."""

import dataclasses

import pytest

from ray_ft.artifacts import Workload
from ray_ft.hardware import Hardware, cpu_hardware, gpu_hardware
from ray_ft.models.shape import load_model_shape
from ray_ft.planning.memory.activations import Stack
from ray_ft.planning.memory.state import Candidate
from ray_ft.planning.speed.throughput import (
    StepTime,
    communication,
    flops_per_token,
    needed_flops_per_token,
    num_steps,
    step_time,
)
from ray_ft.strategies import Full, LoRA, QLoRA, Strategy

LLAMA_7B = load_model_shape("meta-llama/Llama-2-7b-hf")
A100 = gpu_hardware("A100-80GB", 8)
WORKLOAD = Workload(num_tokens=1_000_000, num_epochs=3, max_seq_len=2048, global_batch_size=16)
PRODUCTS = 6_476_005_376 + 131_072_000  # the decoder's linears and the head; the embedding multiplies nothing
ATTENTION = 4 * 2048 * 4096 * 32  # 2 * 2 * positions * q, in 32 layers, with a mask


def _candidate(strategy: Strategy, stage: int = 0, workers: int = 1, **changes: object) -> Candidate:
    base = Candidate(dataclasses.replace(strategy, zero_stage=stage, offload="none"), workers, 1, 16 // workers, False)
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def _time(candidate: Candidate, hardware: Hardware = A100) -> StepTime:
    return step_time(LLAMA_7B, candidate, hardware=hardware, workload=WORKLOAD, stack=Stack())


def test_flops_of_full_tuning_are_six_per_weight_and_three_and_a_half_attentions() -> None:
    flops = flops_per_token(LLAMA_7B, _candidate(Full()), workload=WORKLOAD, stack=Stack())
    assert flops == 6 * PRODUCTS + 3.5 * ATTENTION


def test_flops_of_lora_are_four_per_frozen_weight_and_six_per_adapter() -> None:
    flops = flops_per_token(LLAMA_7B, _candidate(LoRA()), workload=WORKLOAD, stack=Stack())
    assert flops == 4 * PRODUCTS + 6 * 39_976_960 + 3.5 * ATTENTION


def test_checkpointing_repeats_the_layers_forward_pass() -> None:
    candidate = _candidate(Full(), gradient_checkpointing=True)
    again = flops_per_token(LLAMA_7B, candidate, workload=WORKLOAD, stack=Stack())
    once = flops_per_token(LLAMA_7B, _candidate(Full()), workload=WORKLOAD, stack=Stack())
    assert again - once == 2 * 6_476_005_376 + ATTENTION


def test_a_kernel_without_a_mask_attends_only_inside_examples() -> None:
    workload = dataclasses.replace(WORKLOAD, mean_example_tokens=256.0)
    flops = flops_per_token(LLAMA_7B, _candidate(Full()), workload=workload, stack=Stack(masked_attention=False))
    assert flops == 6 * PRODUCTS + 3.5 * ATTENTION / 2 * 256 / 2048  # half is causal


def test_what_a_method_needs_leaves_out_what_software_repeats() -> None:
    needed = needed_flops_per_token(LLAMA_7B, QLoRA(zero_stage=3, offload="none"), workload=WORKLOAD)
    assert needed == 4 * PRODUCTS + 6 * 39_976_960 + 3.5 * ATTENTION / 2  # one example fills a row; half is causal


def test_a_saturated_gpu_computes_at_its_usual_efficiency() -> None:
    seconds = _time(_candidate(Full())).compute
    assert seconds == pytest.approx(16 * 2048 * (6 * PRODUCTS + 3.5 * ATTENTION) / (0.45 * 312e12))


def test_one_worker_has_nobody_to_talk_to() -> None:
    assert _time(_candidate(Full())).communication == 0


def test_collectives_by_stage() -> None:
    # 7/8 of 2 bytes per parameter, twice over NVLink per step for all-reduce; stage 2 scatters per micro-batch.
    share = 7 / 8 * 2 * 6_738_415_616 / 230e9
    seconds = [
        communication(LLAMA_7B, _candidate(Full(), stage, 8), hardware=A100, stack=Stack()) for stage in (0, 1, 2, 3)
    ]
    assert seconds[0] == seconds[1] == pytest.approx((0, 2 * share))
    assert seconds[2] == pytest.approx((share, share))
    # Stage 3 gathers the weights twice and scatters gradients once, half of it hidden.
    assert seconds[3] == pytest.approx((1.5 * share, 0))


def test_two_nodes_talk_over_the_network() -> None:
    near = _time(_candidate(Full(), 2, 16), gpu_hardware("A100-80GB", 16, gpus_per_node=16))
    far = _time(_candidate(Full(), 2, 16), gpu_hardware("A100-80GB", 16, gpus_per_node=8))
    assert far.communication == pytest.approx(near.communication * 230 / 11)


def test_lora_pays_for_gathering_a_frozen_base() -> None:
    assert _time(_candidate(LoRA(), 3, 8)).communication > 50 * _time(_candidate(LoRA(), 0, 8)).communication


def test_qlora_pays_for_turning_weights_back_twice_per_pass_and_thrice_with_checkpointing() -> None:
    # 6.476e9 weights at 0.45 * 2039e9 / 4.75 per second, in 16 micro-batches.
    once = 6_476_005_376 / (0.45 * 2039e9 / 4.75)
    assert _time(_candidate(QLoRA())).dequantise == pytest.approx(16 * 2 * once)
    assert _time(_candidate(QLoRA(), gradient_checkpointing=True)).dequantise == pytest.approx(16 * 3 * once)
    assert _time(_candidate(LoRA())).dequantise == 0


def test_offloading_moves_gradients_and_parameters_and_steps_on_the_host() -> None:
    strategy = dataclasses.replace(Full(), zero_stage=2, offload="optimizer")
    offloaded = Candidate(strategy, 8, 1, 2, False)
    kept = _time(_candidate(Full(), 2, 8, gradient_accumulation_steps=2))
    moved = 2 * 2 * 6_738_415_616 / 8 / 24e9
    assert _time(offloaded).communication - kept.communication == pytest.approx(moved)
    assert _time(offloaded).optimizer == pytest.approx(28 * 6_738_415_616 / 100e9)


def test_workers_on_a_cpu_share_its_cores() -> None:
    one = _time(_candidate(LoRA()), cpu_hardware(4, 2**35))
    two = _time(_candidate(LoRA(), 0, 2), cpu_hardware(4, 2**35))
    assert one.compute == pytest.approx(two.compute)


def test_few_tokens_leave_a_gpu_idle() -> None:
    short = dataclasses.replace(WORKLOAD, max_seq_len=256)
    assert (
        step_time(LLAMA_7B, _candidate(Full()), hardware=A100, workload=short, stack=Stack()).compute
        > 16 * 256 * 6 * PRODUCTS / (0.45 * 312e12) * 1.9
    )


def test_steps_follow_from_packed_rows() -> None:
    # ceil(1,000,000 / 2048) = 489 rows, 3 epochs, 16 a step: ceil(1467 / 16) = 92.
    assert num_steps(WORKLOAD, None) == 92
    assert num_steps(WORKLOAD, 10) == 10


@pytest.mark.parametrize(
    ("strategy", "checkpointing", "tokens_per_second"),
    [
        (Full(), False, 8998),
        (Full(), False, 9174),  # with a loss in chunks
        (Full(), True, 7210),
        (LoRA(), True, 8210),
        (QLoRA(), True, 8035),
    ],
)
def test_published_runs_of_compiled_layers_on_an_a100_come_out_within_a_tenth(
    strategy: Strategy, checkpointing: bool, tokens_per_second: float
) -> None:
    # torchtune's README: Llama 3.2 3B, two packed rows of 4096 tokens, torch.compile.
    candidate = Candidate(dataclasses.replace(strategy, zero_stage=0, offload="none"), 1, 2, 1, checkpointing)
    seconds = step_time(
        load_model_shape("meta-llama/Llama-3.2-3B"),
        candidate,
        hardware=gpu_hardware("A100-80GB", 1),
        workload=Workload(1_000_000, 1, 4096, 2),
        stack=Stack(fused_loss=True, masked_attention=False, step_bytes=0, kernels=True, gated=True),
    )
    assert 2 * 4096 / sum(seconds) == pytest.approx(tokens_per_second, rel=0.10)
