"""What answering needs of a GPU: figures worked out by hand, and what is advised or refused before training."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ray_ft
from ray_ft.api.planning import refuse_unanswerable
from ray_ft.artifacts import Plan, load
from ray_ft.config import Config, parse_config
from ray_ft.errors import DoesNotFitError
from ray_ft.hardware import GIB, gpu_hardware
from ray_ft.models.shape import ModelShape, load_model_shape
from ray_ft.planning.choice.answering import BY_TRANSFORMERS, AnswerSetup, answering, describe
from ray_ft.planning.profile import Profile
from ray_ft.strategies import Full, LoRA

LLAMA_7B = load_model_shape("meta-llama/Llama-2-7b-hf")
LLAMA_70B = load_model_shape("meta-llama/Llama-2-70b-chat-hf")
PROFILE = Profile(context_bytes=GIB, nccl_bytes=GIB, workspace_bytes=0)


def needs(shape: ModelShape, setup: AnswerSetup, strategy: Any = None, num_gpus: int = 1) -> Any:
    hardware = gpu_hardware("A100-80GB", num_gpus)
    strategy = strategy or LoRA(r=16)
    return answering(shape, setup=setup, strategy=strategy, hardware=hardware, profile=PROFILE, max_seq_len=2048)


def test_the_parts_are_those_of_the_model_by_hand() -> None:
    # Llama 2 7B: 6,738,415,616 weights, 32 layers, hidden 4096, inner 11008, 32 heads, vocabulary 32000
    made = needs(LLAMA_7B, AnswerSetup("vllm", memory_fraction=0.85, max_adapters=16))
    assert made.weights == 2 * 6_738_415_616
    # 4 projections of 4096 + 4096, and 3 of 4096 + 11008, in each layer; rank 16, 2 bytes, 16 adapters
    assert made.adapters == 16 * 16 * 2 * 32 * (4 * 8192 + 3 * 15104)
    assert made.cache == 2048 * 2 * 32 * 4096 * 2  # keys and values
    assert made.passes == 2 * 8192 * (4 * 4096 + 2 * 11008 + 3 * 4096)
    assert made.fixed == GIB
    assert made.limit == int(gpu_hardware("A100-80GB", 1).memory_bytes * 0.85)
    assert made.fits
    assert made.total == made.weights + made.adapters + made.cache + made.passes + made.fixed


def test_the_transformers_engine_holds_one_adapter_and_the_logits_that_it_scores() -> None:
    made = needs(LLAMA_7B, AnswerSetup("transformers"))
    assert made.adapters == 16 * 2 * 32 * (4 * 8192 + 3 * 15104)
    assert made.passes == 2 * 2048 * (4 * 4096 + 2 * 11008 + 3 * 4096) + 10 * 2048 * 32000
    whole = needs(LLAMA_7B, AnswerSetup("transformers"), strategy=Full())
    assert whole.adapters == 0


def test_gpus_that_share_a_copy_hold_a_part_each() -> None:
    one, four = (needs(LLAMA_70B, AnswerSetup("vllm", num_gpus=n, memory_fraction=0.85), num_gpus=4) for n in (1, 4))
    assert four.weights == one.weights // 4
    assert four.cache == one.cache // 4  # 8 heads of keys and values
    assert four.fixed == one.fixed + GIB  # NCCL's
    assert (one.fits, four.fits) == (False, True)


def test_what_does_not_fit_is_told_with_what_would() -> None:
    # 68,976,648,192 weights take 128.5 GiB in 16 bits
    made = needs(LLAMA_70B, AnswerSetup("transformers"), num_gpus=8)
    assert made.advice == ("engine.name=vllm engine.tensor_parallel=4", BY_TRANSFORMERS)
    text = describe(made, "A100-80GB")
    assert "do not fit" in text
    assert "weights 128.5" in text
    assert text.endswith(f"set {made.advice[0]} or {BY_TRANSFORMERS}")
    assert needs(LLAMA_70B, AnswerSetup("transformers"), num_gpus=1).advice == (BY_TRANSFORMERS,)
    assert needs(LLAMA_70B, AnswerSetup("transformers", "nf4")).fits
    huge = replace(LLAMA_70B, num_layers=800, num_parameters=10 * LLAMA_70B.num_parameters)
    assert describe(needs(huge, AnswerSetup("transformers")), "A100-80GB").endswith("a GPU with more memory would do")


def test_an_adapter_that_vllm_does_not_answer_with_is_told_before_it_is_trained() -> None:
    made = needs(LLAMA_7B, AnswerSetup("vllm"), strategy=LoRA(use_dora=True))
    assert not made.fits
    assert "vllm does not answer with DoRA; set engine.name=transformers" in describe(made, "A100-80GB")
    assert needs(LLAMA_7B.with_added_tokens(3), AnswerSetup("vllm")).refusal == "tokens of its own"
    assert needs(LLAMA_7B.with_added_tokens(3), AnswerSetup("transformers")).fits


def config_for(tmp_path: Path, engine: Any, **train: Any) -> Config:
    return parse_config(
        {
            "run_name": "x",
            "output_dir": str(tmp_path),
            "model": {"name": "meta-llama/Llama-2-70b-chat-hf"},
            "data": {"sources": ["docs"], "recipes": ["qa"]},
            "plan": {"gpu": "A100-80GB"},
            "train": {"strategy": {"name": "qlora"}, **train},
            "engine": engine,
        }
    )


def test_the_plan_shows_it_and_a_run_is_refused(tmp_path: Path) -> None:
    config = config_for(tmp_path, "transformers")
    made = ray_ft.plan(config)
    assert made.answering is not None
    assert not made.answering.fits
    assert made.notes[-1] == describe(made.answering, "A100-80GB")
    assert load(Plan, config.run_path) == made
    with pytest.raises(DoesNotFitError, match=r"do not fit.*engine\.quantization=nf4"):
        refuse_unanswerable(config)
    refuse_unanswerable(config_for(tmp_path, {"name": "transformers", "quantization": "nf4"}))


def test_a_server_and_a_machine_without_gpus_are_not_planned_for(tmp_path: Path) -> None:
    assert ray_ft.plan(config_for(tmp_path, {"name": "openai", "model": "x"})).answering is None
    tiny = parse_config(
        {
            "run_name": "y", "output_dir": str(tmp_path), "model": {"name": "builtin:tiny"}, "plan": {"gpu": "cpu"},
            "data": {"sources": ["docs"], "recipes": ["qa"]},
        }
    )  # fmt: skip
    assert ray_ft.plan(tiny).answering is None


def test_auto_is_planned_for_as_what_it_will_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray_ft.engines.auto.is_installed", lambda: True)
    made = ray_ft.plan(config_for(tmp_path, "auto")).answering
    assert made is not None
    assert (made.engine, made.num_gpus) == ("vllm", 1)
    dora = ray_ft.plan(config_for(tmp_path / "dora", "auto", strategy={"name": "qlora", "use_dora": True})).answering
    assert dora is not None
    assert dora.engine == "transformers"
