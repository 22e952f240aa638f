"""The committed grid of the estimator's table, in the order of worth: a run that is cut short is spread over it."""

from typing import Any

from bench.estimator.configuration import Configuration

LLAMA_1B, LLAMA_3B = "meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-3B"
QWEN_1B, QWEN_7B, QWEN3_4B = "Qwen/Qwen2.5-1.5B", "Qwen/Qwen2.5-7B", "Qwen/Qwen3-4B"
LLAMA2_7B, LLAMA2_13B, LLAMA2_70B = "meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-13b-hf", "meta-llama/Llama-2-70b-hf"
LLAMA3_8B = "meta-llama/Llama-3.1-8B"


def one(model: str, strategy: str, batch: str, checkpointing: str = "", **other: Any) -> Configuration:
    """On one GPU; `batch` is ROWSxTOKENS."""
    rows, tokens = map(int, batch.split("x"))
    return Configuration(model, strategy, tokens, rows, checkpointing == "ckpt", **other)


def two(model: str, strategy: str, stage: int, batch: str, checkpointing: str = "", **other: Any) -> Configuration:
    """On two GPUs with a ZeRO stage."""
    return one(model, strategy, batch, checkpointing, zero_stage=stage, num_gpus=2, **other)


ONE_GPU = (
    one(LLAMA2_7B, "lora", "4x2048", evaluate=True),
    one(LLAMA_1B, "full", "4x2048", evaluate=True),
    one(LLAMA2_7B, "qlora", "4x2048", "ckpt"),
    one(LLAMA3_8B, "full", "1x2048", "ckpt"),
    one(LLAMA_1B, "lora", "1x16384"),
    one(QWEN_7B, "lora", "4x2048"),
    one(LLAMA2_70B, "qlora", "2x2048", "ckpt"),
    one(LLAMA_3B, "full", "8x4096", "ckpt"),
    one(LLAMA2_13B, "lora", "2x2048"),
    one(LLAMA2_7B, "lora", "21x2048"),
    one(LLAMA2_7B, "full", "4x2048", "ckpt"),
    one(QWEN_1B, "full", "4x2048"),
    one(LLAMA3_8B, "lora", "2x8192", "ckpt", evaluate=True),
    one(LLAMA_3B, "qlora", "8x512"),
    one(LLAMA2_70B, "qlora", "1x2048"),
    one(LLAMA_1B, "full", "16x512"),
    one(LLAMA2_7B, "lora", "1x16384"),
    one(LLAMA2_13B, "qlora", "4x2048"),
    one(QWEN3_4B, "lora", "4x2048"),
    one(LLAMA3_8B, "full", "4x2048"),
    one(LLAMA_3B, "lora", "16x1024"),
    one(QWEN_7B, "qlora", "2x4096"),
    one(LLAMA_1B, "lora", "4x4096", "ckpt"),
    one(LLAMA2_7B, "full", "4x2048"),
    one(LLAMA3_8B, "lora", "4x2048"),
    one(QWEN_1B, "lora", "1x512"),
    one(LLAMA2_13B, "lora", "4x4096", "ckpt"),
    one(LLAMA_3B, "full", "4x2048"),
    one(QWEN_7B, "lora", "1x16384", "ckpt"),
    one(LLAMA2_7B, "lora", "16x2048"),
    one(LLAMA2_7B, "lora", "24x2048"),
    one(LLAMA2_70B, "qlora", "6x1024"),
    one(LLAMA_1B, "qlora", "4x2048"),
    one(LLAMA2_7B, "lora", "4x2048", "ckpt"),
    one(QWEN_1B, "qlora", "8x2048", "ckpt"),
    one(LLAMA3_8B, "qlora", "16x2048", "ckpt"),
    one(LLAMA_3B, "lora", "2x8192"),
    one(LLAMA2_70B, "lora", "1x512"),
    one(LLAMA3_8B, "qlora", "6x8192"),
    one(LLAMA_1B, "full", "2x2048", accumulation=2),
    one(QWEN_7B, "full", "1x1024", "ckpt"),
    one(LLAMA2_13B, "full", "1x512", "ckpt"),
    one(LLAMA3_8B, "qlora", "5x8192"),
    one(LLAMA2_7B, "full", "8x2048"),
    one(QWEN_1B, "lora", "4x4096", "ckpt", rank=64),
    one(QWEN_7B, "lora", "1x512", accumulation=2),
    one(LLAMA_1B, "full", "2x16384", "ckpt"),
)  # fmt: skip

TWO_GPUS = (
    two(LLAMA2_7B, "full", 2, "4x2048", "ckpt"),
    two(LLAMA2_7B, "lora", 0, "4x2048"),
    two(LLAMA_1B, "full", 3, "4x2048"),
    two(LLAMA3_8B, "full", 3, "2x2048", "ckpt"),
    two(LLAMA_3B, "full", 1, "4x2048"),
    two(LLAMA2_7B, "lora", 2, "4x2048"),
    two(LLAMA2_13B, "full", 2, "1x2048", "ckpt"),
    two(QWEN_7B, "lora", 3, "2x2048"),
    two(LLAMA_1B, "full", 0, "4x2048"),
    two(LLAMA3_8B, "full", 2, "4x2048"),
    two(LLAMA2_7B, "qlora", 1, "4x2048", "ckpt"),
    two(LLAMA2_13B, "full", 3, "2x2048", "ckpt"),
    two(LLAMA_3B, "full", 1, "4x2048", backend="deepspeed"),
    two(LLAMA_1B, "full", 0, "4x2048", backend="deepspeed"),
    two(LLAMA2_7B, "full", 2, "4x2048", "ckpt", backend="deepspeed"),
    two(LLAMA2_7B, "lora", 0, "4x2048", backend="deepspeed"),
    two(LLAMA_1B, "full", 1, "2x2048", accumulation=2, backend="deepspeed"),
    two(LLAMA2_7B, "lora", 1, "4x2048", backend="deepspeed"),
)

TINY = (
    one("builtin:tiny", "lora", "2x64", evaluate=True),
    one("builtin:tiny", "full", "1x64", "ckpt"),
    one("builtin:tiny", "full", "1x64", accumulation=2),
    two("builtin:tiny", "lora", 0, "1x64"),
    two("builtin:tiny", "full", 2, "1x64"),
    two("builtin:tiny", "full", 1, "1x64", backend="deepspeed"),
)
