"""The trace against what autograd saves by hand count, and against the closed form; all on small shapes."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ray_ft.artifacts import Workload
from ray_ft.errors import ModelError
from ray_ft.hardware import gpu_hardware
from ray_ft.models.shape import shape_from_config
from ray_ft.planning.choice.estimate import Job, estimate
from ray_ft.planning.memory.state import Candidate
from ray_ft.planning.trace import check, process
from ray_ft.planning.trace.request import Adapters, Line, TraceRequest, TraceResult, request_from_json
from ray_ft.planning.trace.worker import trace
from ray_ft.strategies import Full, LoRA, QLoRA, Strategy

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 2048,
    "num_hidden_layers": 24,
}
CONFIG_8B = {  # Llama-3's; without data, size costs nothing
    **CONFIG,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "num_hidden_layers": 32,
}
H, F, Q, K, N = 512, 1536, 512, 128, 8
TOKENS = 1024
LORA = Adapters(r=8, dropout=0.0, target_modules=("all-linear",))


def request(**changes: Any) -> TraceRequest:
    return TraceRequest(config=CONFIG, rows=1, max_seq_len=TOKENS, **changes)


def test_a_compiled_layer_keeps_its_products() -> None:
    # 2 bytes of input, q, k, v, attention's output, what is made of it, gate and up; and the log-sum-exp in fp32.
    result = trace(request(gradients_leave=True))
    assert result.phases["loss"].per_layer == TOKENS * (2 * (2 * H + 2 * Q + 2 * K + 2 * F) + 4 * N)


def test_checkpointing_keeps_input_and_attention() -> None:
    # Input and attention's output, 2 bytes each, and the log-sum-exp; of 7 adapters the 8-wide middles.
    result = trace(request(checkpointing=True, adapters=LORA))
    assert result.phases["loss"].per_layer == TOKENS * (2 * (H + Q) + 4 * N + 2 * 7 * 8)


def test_offloading_leaves_on_the_device_what_is_small() -> None:
    # Rows of 8192 tokens make both tensors 8 MiB, which go; the log-sum-exp, 8192 * 4 * 8 bytes, stays.
    result = trace(replace(request(checkpointing=True, offloaded=True), rows=8))
    assert result.phases["loss"].per_layer == 8 * TOKENS * 4 * N


def test_weights_are_those_of_the_model_and_packed_ones_take_half_a_byte() -> None:
    shape = shape_from_config(CONFIG, "small")
    four_bits = Adapters(r=8, dropout=0.0, target_modules=("all-linear",), bits=4, double_quant=True)
    whole, packed = trace(request(compiled=False)), trace(request(compiled=False, adapters=four_bits))
    # To within the blocks of 512 bytes that an allocator hands out, and rotary tables.
    assert whole.weights.at(24) == pytest.approx(2 * shape.num_parameters, rel=2e-3)
    assert packed.weights.at(24) == pytest.approx(QLoRA(r=8).weight_bytes(shape), rel=1e-2)
    assert packed.trained.at(24) == LoRA(r=8).trainable_parameters(shape)


def test_an_architecture_without_formulas_is_traced_too() -> None:
    config = {**CONFIG, "model_type": "gpt_neox"}
    result = trace(replace(request(compiled=False, fused_loss=False), config=config))
    # 2 bytes of 4h^2 + 2hf weights, which come with 3h + h + f + h biases and 4h of two norms.
    assert result.weights.per_layer == 2 * (4 * H * H + 2 * H * F + 5 * H + F + 4 * H)
    assert result.phases["backward start"].per_layer > 0


def test_an_architecture_without_formulas_is_planned_by_a_trace_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray_ft.planning.trace import shape as by_trace

    monkeypatch.setattr(by_trace, "run_trace", trace)
    monkeypatch.setattr(check, "run_trace", trace)
    config = {**CONFIG, "model_type": "olmo2", "pad_token_id": 0}
    shape = by_trace.shape_by_trace(config, "olmo")
    # Embedding and head, 2 * 2048h; of each layer q, o: 2h^2, k, v: 2hk, the MLP's 3hf, norms of 3h and k; and h.
    layer = 2 * H * H + 2 * H * K + 3 * H * F + 3 * H + K
    assert shape.num_parameters == 2 * 2048 * H + 24 * layer + H
    row, job = _row(LoRA(), checkpointing=True)
    job = replace(job, shape=shape)
    found = check.check_estimate(replace(row, memory=replace(row.memory, parts={})), job, config=config)
    assert found.traced == found.estimate.memory.total
    assert "olmo2 has no formulas" in found.note


EXPERTS = {
    "model_type": "deepseek_v3", "hidden_size": H, "intermediate_size": 4 * F, "moe_intermediate_size": F,
    "num_hidden_layers": 12, "first_k_dense_replace": 3, "n_routed_experts": 16, "n_shared_experts": 1, "n_group": 4,
    "topk_group": 2, "num_experts_per_tok": 2, "num_attention_heads": 8, "num_key_value_heads": 8, "q_lora_rank": 64,
    "kv_lora_rank": 64, "qk_nope_head_dim": 64, "qk_rope_head_dim": 32, "v_head_dim": 64, "vocab_size": 2048,
}  # fmt: skip


def test_experts_behind_dense_layers_are_counted() -> None:
    """Three dense layers say nothing of nine with 16 experts each."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        config = AutoConfig.for_model(**EXPERTS)
        expected = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
    result = trace(replace(request(compiled=False, fused_loss=False), config=EXPERTS))
    assert result.num_parameters == result.trained.at(12) == expected
    assert expected > 9 * 17 * 3 * H * F  # of the experts alone
    assert result.weights.at(12) == pytest.approx(2 * expected, rel=1e-2)


def test_what_kinds_of_layers_keep_is_weighted_by_their_count() -> None:
    """A model of layers by turns keeps what models of each kind alone keep, by their shares."""
    kinds = ["sliding_attention", "sliding_attention", "full_attention"] * 4
    config = {**CONFIG, "model_type": "gemma3_text", "num_hidden_layers": 12, "head_dim": 64, "sliding_window": 8}

    def loss(layer_types: list[str]) -> int:
        asked = replace(request(compiled=False, fused_loss=False), config={**config, "layer_types": layer_types})
        return trace(asked).phases["loss"].at(12)

    mixed, sliding, full = loss(kinds), loss(["sliding_attention"] * 12), loss(["full_attention"] * 12)
    assert mixed == pytest.approx((2 * sliding + full) / 3, rel=0.02)


def test_a_short_model_begins_and_ends_as_the_whole_one() -> None:
    from ray_ft.planning.trace.worker import _few, _layers_of

    dense_first = ["dense"] * 3 + ["experts"] * 58
    assert _few(dense_first, at_least=2) == ["dense", "experts"]
    assert _layers_of(["dense", "dense", "experts"], dense_first) == [0, 1, 3]
    by_turns = (["sliding"] * 5 + ["full"]) * 4 + ["sliding"] * 2
    assert _few(by_turns, at_least=2) == ["sliding", "full", "sliding"]
    assert _layers_of(_few(by_turns, at_least=4), by_turns) == [0, 1, 5, 11, 2]
    assert _few(["all"] * 32, at_least=4) == ["all"] * 4
    assert _few(["first", *["others"] * 7], at_least=4) == ["first", "others", "others"]


@pytest.mark.parametrize(
    ("strategy", "checkpointing"),
    [(Full(), False), (QLoRA(), True), (LoRA(lora_dropout=0.05), False)],
    ids=["full", "qlora", "dropout"],
)
def test_formula_and_trace_agree(strategy: Strategy, checkpointing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "run_trace", trace)
    row, job = _row(strategy, checkpointing)
    found = check.check_estimate(row, job, config=CONFIG_8B)
    assert found.traced == pytest.approx(row.memory.total, rel=0.02)
    assert "memory checked" in found.note


def test_a_trace_that_says_more_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    row, job = _row(LoRA(r=8), checkpointing=False)
    much = Line(fixed=200 * 2**30, per_layer=0)
    weights = Line(LoRA(r=8).weight_bytes(job.shape), 0)
    answer = TraceResult(32, weights, dict.fromkeys(check.PHASES, much))
    monkeypatch.setattr(check, "run_trace", lambda _: answer)
    found = check.check_estimate(row, job, config=CONFIG_8B)
    assert found.estimate.memory.total == found.traced
    assert found.traced is not None
    assert found.traced > 200 * 2**30
    assert not found.estimate.fits
    assert "takes the larger" in found.note
    assert "loss" in found.note or "backward" in found.note


def test_a_trace_in_its_own_process_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = request(compiled=False)
    first = check.run_trace(asked)
    # In bf16 of every layer as it is written, and token: 20h + 4k + 8f + 4n + 8 bytes.
    assert first.phases["loss"].per_layer == TOKENS * (20 * H + 4 * K + 8 * F + 4 * N + 8)
    monkeypatch.setattr(process.subprocess, "Popen", lambda *_, **__: pytest.fail("traced again"))
    assert check.run_trace(asked) == first


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("import sys; sys.stdin.readline(); print('no room', file=sys.stderr); sys.exit(3)", "no room"),
        ("import sys; sys.stdin.readline(); sys.exit(3)", "exit code 3"),
        ("import sys; sys.exit(4)", "exit code 4"),
        ("import time; time.sleep(60)", "more than 0.5 s"),
        ('import sys; sys.stdin.readline(); print(\'{"error": "no such type"}\')', "no such type"),
    ],
)
def test_a_tracing_process_that_dies_says_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, problem: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(process, "TIMEOUT_SECONDS", 0.5 if "sleep" in program else 60)
    real = process.subprocess.Popen
    monkeypatch.setattr(
        process.subprocess, "Popen", lambda _, **options: real([sys.executable, "-c", program], **options)
    )
    with process.Tracer().start() as tracer, pytest.raises(ModelError, match=problem):
        tracer(request())


def test_a_model_that_cannot_be_traced_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: TraceRequest) -> TraceResult:
        raise ModelError("no such model type")

    monkeypatch.setattr(check, "run_trace", fail)
    row, job = _row(LoRA(r=8), checkpointing=False)
    found = check.check_estimate(row, job, config=CONFIG_8B)
    assert found.estimate == row
    assert "no such model type" in found.note


def test_requests_survive_json() -> None:
    import dataclasses
    import json

    asked = request(adapters=LORA)
    assert request_from_json(json.dumps(dataclasses.asdict(asked))) == asked
    assert asked.key() != replace(asked, rows=2).key()


def _row(strategy: Strategy, checkpointing: bool) -> tuple[Any, Job]:
    shape = shape_from_config(CONFIG_8B, "8B")
    workload = Workload(num_tokens=10**6, num_epochs=1, max_seq_len=4096, global_batch_size=2)
    job = Job(shape, gpu_hardware("H200", 1), workload)
    fixed = replace(strategy, zero_stage=0, offload="none")
    return estimate(Candidate(fixed, 1, 2, 1, checkpointing), job), job
