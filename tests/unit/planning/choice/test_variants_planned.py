"""What LoRA's variants change in a plan: more memory, and no ZeRO-3 where their weights have to be whole."""

import re

import pytest

from ray_ft.artifacts import Workload
from ray_ft.config import PlanConfig, TrainConfig
from ray_ft.errors import ConfigError
from ray_ft.hardware import hardware_for
from ray_ft.models.shape import ModelShape, load_model_shape
from ray_ft.planning.choice.candidates import search
from ray_ft.planning.choice.estimate import Job, estimate
from ray_ft.planning.memory.state import Candidate
from ray_ft.strategies import LoRA, QLoRA, Strategy

LLAMA_8B = load_model_shape("meta-llama/Llama-3.1-8B")
JOB = Job(LLAMA_8B, hardware_for(PlanConfig(gpu="H200", num_gpus=2)), Workload(1_000_000, 1, 2048, 8))


def stages(strategy: Strategy, shape: ModelShape = LLAMA_8B) -> set[int]:
    job = Job(shape, JOB.hardware, JOB.workload)
    rows = search(job, train=TrainConfig(strategy=strategy, global_batch_size=8), objective="cost")
    return {row.strategy.zero_stage for row in rows}


def test_weights_that_have_to_be_whole_are_never_planned_for_zero_3() -> None:
    more = LLAMA_8B.with_added_tokens(4)
    assert 3 in stages(LoRA(use_dora=True)) & stages(LoRA(train_embeddings=True), more) & stages(QLoRA(), more)
    assert 3 not in stages(QLoRA(use_dora=True)) | stages(LoRA(), more)


@pytest.mark.parametrize(
    ("strategy", "num_added", "says"),
    [
        (
            QLoRA(use_dora=True, zero_stage=3),
            0,
            "zero_stage: 3 cannot be used: use_dora takes the norms",
        ),
        (LoRA(zero_stage=3), 2, "the rows of model.added_tokens need embedding and head whole; train_embeddings=true"),
    ],
)
def test_asking_for_it_gives_the_reason(strategy: Strategy, num_added: int, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        stages(strategy, LLAMA_8B.with_added_tokens(num_added))


def test_dora_in_8_bits_is_named() -> None:
    assert [name for name, *_ in QLoRA(bits=8, use_dora=True).problems()] == ["use_dora"]


def test_every_variant_needs_more_memory_than_plain_lora() -> None:
    def total(strategy: LoRA, shape: ModelShape = LLAMA_8B) -> int:
        candidate = Candidate(strategy, 1, 1, 8, gradient_checkpointing=True)
        return estimate(candidate, Job(shape, JOB.hardware, JOB.workload)).memory.total

    plain = total(LoRA(zero_stage=0, offload="none"))
    assert total(LoRA(zero_stage=0, offload="none", use_dora=True)) > plain
    # Embedding and head of 128,256 rows of 4096: a copy in 2 bytes and AdamW's 12 are 2 * 525,336,576 * 14 bytes.
    assert total(LoRA(zero_stage=0, offload="none", train_embeddings=True)) > plain + 2 * 525_336_576 * 14
    assert total(LoRA(zero_stage=0, offload="none"), LLAMA_8B.with_added_tokens(2)) > plain
