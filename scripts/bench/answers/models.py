"""Bases and adapters with random weights, made on the spot: answers cost the same whatever they say."""

import json
from pathlib import Path
from typing import Any

SHAPES: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4, "num_attention_heads": 8,
             "num_key_value_heads": 4, "vocab_size": 4096},
    "7b": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 32, "vocab_size": 32000},
}  # fmt: skip


def make_base(folder: Path, shape: str, *, dtype: str) -> str:
    """A Llama of a shape, with a byte-level tokenizer; made once."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    if (folder / "config.json").is_file():
        return str(folder)
    config = LlamaConfig(
        **SHAPES[shape], max_position_embeddings=4096, tie_word_embeddings=False, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, dtype=dtype, rms_norm_eps=1e-5,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    _save_tokenizer(folder, config.vocab_size)
    model.save_pretrained(folder)
    return str(folder)


def _save_tokenizer(folder: Path, num_tokens: int) -> None:
    """Bytes are tokens; the rest of the vocabulary is filled up with words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = ["<pad>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokens += [f"\u0120w{n}" for n in range(num_tokens - len(tokens))]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    fast.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
    fast.save_pretrained(folder)


def make_adapters(folder: Path, base: str, count: int, *, ranks: tuple[int, ...] = (16,)) -> dict[str, str]:
    """Random adapters of all linear layers, in PEFT's format; ranks take turns."""
    import torch
    from safetensors.torch import save_file

    config = json.loads((Path(base) / "config.json").read_text())
    paths = {}
    for number in range(count):
        path = folder / f"adapter{number:02d}"
        paths[path.name] = str(path)
        if (path / "adapter_config.json").is_file():
            continue
        rank = ranks[number % len(ranks)]
        draw = torch.Generator().manual_seed(1000 + number)
        tensors: dict[str, Any] = {}
        for layer in range(config["num_hidden_layers"]):
            for name, inputs, outputs in _linears(config):
                key = f"base_model.model.model.layers.{layer}.{name}"
                tensors[f"{key}.lora_A.weight"] = torch.randn(rank, inputs, generator=draw) * inputs**-0.5
                tensors[f"{key}.lora_B.weight"] = torch.randn(outputs, rank, generator=draw) * 0.02
        path.mkdir(parents=True, exist_ok=True)
        dtype = getattr(torch, config["dtype"])
        save_file({k: v.to(dtype) for k, v in tensors.items()}, path / "adapter_model.safetensors", {"format": "pt"})
        (path / "adapter_config.json").write_text(
            json.dumps(
                {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "r": rank,
                 "lora_alpha": 2 * rank, "lora_dropout": 0.0, "bias": "none", "inference_mode": True,
                 "target_modules": [name.split(".")[1] for name, _, _ in _linears(config)]}
            )
        )  # fmt: skip
    return paths


def _linears(config: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Name, inputs and outputs of each linear layer of a block."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    kv_width = width // config["num_attention_heads"] * config["num_key_value_heads"]
    attention = [("q", width, width), ("k", width, kv_width), ("v", width, kv_width), ("o", width, width)]
    mlp = [("gate", width, inner), ("up", width, inner), ("down", inner, width)]
    return [(f"self_attn.{n}_proj", i, o) for n, i, o in attention] + [(f"mlp.{n}_proj", i, o) for n, i, o in mlp]
