"""Shapes of common public models, so that planning them needs neither a network nor a licence click.

One row per config.json on the Hugging Face hub; `config_json.py` prefers a copy in the local cache.
"""

COLUMNS = (
    "model_type",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
    "tie_word_embeddings",
)

Row = tuple[str, int, int, int, int, int, int, int, int, bool]

LLAMA_2_7B: Row = ("llama", 4096, 11008, 32, 32, 32, 128, 32000, 4096, False)
LLAMA_2_13B: Row = ("llama", 5120, 13824, 40, 40, 40, 128, 32000, 4096, False)
LLAMA_2_70B: Row = ("llama", 8192, 28672, 80, 64, 8, 128, 32000, 4096, False)
CODE_LLAMA_7B: Row = ("llama", 4096, 11008, 32, 32, 32, 128, 32016, 16384, False)
CODE_LLAMA_13B: Row = ("llama", 5120, 13824, 40, 40, 40, 128, 32016, 16384, False)
LLAMA_3_8B: Row = ("llama", 4096, 14336, 32, 32, 8, 128, 128256, 8192, False)
LLAMA_3_70B: Row = ("llama", 8192, 28672, 80, 64, 8, 128, 128256, 8192, False)
LLAMA_31_8B: Row = ("llama", 4096, 14336, 32, 32, 8, 128, 128256, 131072, False)
LLAMA_31_70B: Row = ("llama", 8192, 28672, 80, 64, 8, 128, 128256, 131072, False)
LLAMA_32_1B: Row = ("llama", 2048, 8192, 16, 32, 8, 64, 128256, 131072, True)
LLAMA_32_3B: Row = ("llama", 3072, 8192, 28, 24, 8, 128, 128256, 131072, True)
TINYLLAMA: Row = ("llama", 2048, 5632, 22, 32, 4, 64, 32000, 2048, False)
SMOLLM2_135M: Row = ("llama", 576, 1536, 30, 9, 3, 64, 49152, 8192, True)
SMOLLM2_360M: Row = ("llama", 960, 2560, 32, 15, 5, 64, 49152, 8192, True)
SMOLLM2_1_7B: Row = ("llama", 2048, 8192, 24, 32, 32, 64, 49152, 8192, True)
MISTRAL_7B: Row = ("mistral", 4096, 14336, 32, 32, 8, 128, 32000, 32768, False)
MISTRAL_7B_V3: Row = ("mistral", 4096, 14336, 32, 32, 8, 128, 32768, 32768, False)
QWEN25_0_5B: Row = ("qwen2", 896, 4864, 24, 14, 2, 64, 151936, 32768, True)
QWEN25_1_5B: Row = ("qwen2", 1536, 8960, 28, 12, 2, 128, 151936, 32768, True)
QWEN25_3B: Row = ("qwen2", 2048, 11008, 36, 16, 2, 128, 151936, 32768, True)
QWEN25_7B: Row = ("qwen2", 3584, 18944, 28, 28, 4, 128, 152064, 32768, False)
QWEN25_14B: Row = ("qwen2", 5120, 13824, 48, 40, 8, 128, 152064, 32768, False)
QWEN25_32B: Row = ("qwen2", 5120, 27648, 64, 40, 8, 128, 152064, 32768, False)
QWEN25_72B: Row = ("qwen2", 8192, 29568, 80, 64, 8, 128, 152064, 32768, False)
QWEN3_0_6B: Row = ("qwen3", 1024, 3072, 28, 16, 8, 128, 151936, 40960, True)
QWEN3_1_7B: Row = ("qwen3", 2048, 6144, 28, 16, 8, 128, 151936, 40960, True)
QWEN3_4B: Row = ("qwen3", 2560, 9728, 36, 32, 8, 128, 151936, 40960, True)
QWEN3_8B: Row = ("qwen3", 4096, 12288, 36, 32, 8, 128, 151936, 40960, False)
QWEN3_14B: Row = ("qwen3", 5120, 17408, 40, 40, 8, 128, 151936, 40960, False)
QWEN3_32B: Row = ("qwen3", 5120, 25600, 64, 64, 8, 128, 151936, 40960, False)
PHI3_MINI: Row = ("phi3", 3072, 8192, 32, 32, 32, 96, 32064, 4096, False)
PHI35_MINI: Row = ("phi3", 3072, 8192, 32, 32, 32, 96, 32064, 131072, False)
PHI4: Row = ("phi3", 5120, 17920, 40, 40, 10, 128, 100352, 16384, False)
GEMMA_2B: Row = ("gemma", 2048, 16384, 18, 8, 1, 256, 256000, 8192, True)
GEMMA_7B: Row = ("gemma", 3072, 24576, 28, 16, 16, 256, 256000, 8192, True)

KNOWN_MODELS: dict[str, Row] = {
    "meta-llama/Llama-2-7b-hf": LLAMA_2_7B,
    "meta-llama/Llama-2-7b-chat-hf": LLAMA_2_7B,
    "meta-llama/Llama-2-13b-hf": LLAMA_2_13B,
    "meta-llama/Llama-2-13b-chat-hf": LLAMA_2_13B,
    "meta-llama/Llama-2-70b-hf": LLAMA_2_70B,
    "meta-llama/Llama-2-70b-chat-hf": LLAMA_2_70B,
    "codellama/CodeLlama-7b-hf": CODE_LLAMA_7B,
    "codellama/CodeLlama-7b-Instruct-hf": CODE_LLAMA_7B,
    "codellama/CodeLlama-13b-hf": CODE_LLAMA_13B,
    "codellama/CodeLlama-13b-Instruct-hf": CODE_LLAMA_13B,
    "meta-llama/Meta-Llama-3-8B": LLAMA_3_8B,
    "meta-llama/Meta-Llama-3-8B-Instruct": LLAMA_3_8B,
    "meta-llama/Meta-Llama-3-70B": LLAMA_3_70B,
    "meta-llama/Meta-Llama-3-70B-Instruct": LLAMA_3_70B,
    "meta-llama/Llama-3.1-8B": LLAMA_31_8B,
    "meta-llama/Llama-3.1-8B-Instruct": LLAMA_31_8B,
    "meta-llama/Llama-3.1-70B": LLAMA_31_70B,
    "meta-llama/Llama-3.1-70B-Instruct": LLAMA_31_70B,
    "meta-llama/Llama-3.3-70B-Instruct": LLAMA_31_70B,
    "meta-llama/Llama-3.2-1B": LLAMA_32_1B,
    "meta-llama/Llama-3.2-1B-Instruct": LLAMA_32_1B,
    "meta-llama/Llama-3.2-3B": LLAMA_32_3B,
    "meta-llama/Llama-3.2-3B-Instruct": LLAMA_32_3B,
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": TINYLLAMA,
    "HuggingFaceTB/SmolLM2-135M": SMOLLM2_135M,
    "HuggingFaceTB/SmolLM2-135M-Instruct": SMOLLM2_135M,
    "HuggingFaceTB/SmolLM2-360M": SMOLLM2_360M,
    "HuggingFaceTB/SmolLM2-360M-Instruct": SMOLLM2_360M,
    "HuggingFaceTB/SmolLM2-1.7B": SMOLLM2_1_7B,
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": SMOLLM2_1_7B,
    "mistralai/Mistral-7B-v0.1": MISTRAL_7B,
    "mistralai/Mistral-7B-Instruct-v0.2": MISTRAL_7B,
    "mistralai/Mistral-7B-v0.3": MISTRAL_7B_V3,
    "mistralai/Mistral-7B-Instruct-v0.3": MISTRAL_7B_V3,
    "Qwen/Qwen2.5-0.5B": QWEN25_0_5B,
    "Qwen/Qwen2.5-0.5B-Instruct": QWEN25_0_5B,
    "Qwen/Qwen2.5-1.5B": QWEN25_1_5B,
    "Qwen/Qwen2.5-1.5B-Instruct": QWEN25_1_5B,
    "Qwen/Qwen2.5-3B": QWEN25_3B,
    "Qwen/Qwen2.5-3B-Instruct": QWEN25_3B,
    "Qwen/Qwen2.5-7B": QWEN25_7B,
    "Qwen/Qwen2.5-7B-Instruct": QWEN25_7B,
    "Qwen/Qwen2.5-14B": QWEN25_14B,
    "Qwen/Qwen2.5-14B-Instruct": QWEN25_14B,
    "Qwen/Qwen2.5-32B": QWEN25_32B,
    "Qwen/Qwen2.5-32B-Instruct": QWEN25_32B,
    "Qwen/Qwen2.5-72B": QWEN25_72B,
    "Qwen/Qwen2.5-72B-Instruct": QWEN25_72B,
    "Qwen/Qwen2.5-Coder-7B": QWEN25_7B,
    "Qwen/Qwen2.5-Coder-7B-Instruct": QWEN25_7B,
    "Qwen/Qwen2.5-Coder-14B-Instruct": QWEN25_14B,
    "Qwen/Qwen2.5-Coder-32B-Instruct": QWEN25_32B,
    "Qwen/Qwen3-0.6B": QWEN3_0_6B,
    "Qwen/Qwen3-1.7B": QWEN3_1_7B,
    "Qwen/Qwen3-4B": QWEN3_4B,
    "Qwen/Qwen3-8B": QWEN3_8B,
    "Qwen/Qwen3-14B": QWEN3_14B,
    "Qwen/Qwen3-32B": QWEN3_32B,
    "microsoft/Phi-3-mini-4k-instruct": PHI3_MINI,
    "microsoft/Phi-3.5-mini-instruct": PHI35_MINI,
    "microsoft/phi-4": PHI4,
    "google/gemma-2b": GEMMA_2B,
    "google/gemma-2b-it": GEMMA_2B,
    "google/gemma-7b": GEMMA_7B,
    "google/gemma-7b-it": GEMMA_7B,
}


def known_config(name: str) -> dict[str, object] | None:
    """The keys of a known model's config.json that its shape depends on; None for any other model."""
    row = KNOWN_MODELS.get(name)
    return dict(zip(COLUMNS, row, strict=True)) if row else None
