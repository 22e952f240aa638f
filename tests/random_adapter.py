"""A LoRA adapter with random weights, for tests of what is done with adapters."""

from pathlib import Path


def write_random_adapter(base_path: str, folder: Path, *, seed: int, r: int = 4, std: float = 0.2) -> str:
    """Save an adapter on all linear layers as PEFT does; its B matrices are not zero, so that it changes answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    base = AutoModelForCausalLM.from_pretrained(base_path)
    tuned = get_peft_model(base, LoraConfig(r=r, lora_alpha=2 * r, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=std)
    tuned.save_pretrained(folder)
    return str(folder)
