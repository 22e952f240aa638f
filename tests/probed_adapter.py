"""A LoRA adapter with random weights and the probe that training would have written beside it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ray_ft.engines.probe import write_probe
from ray_ft.strategies import LoRA
from ray_ft.training.checkpoints.probe import take_probe


class PlainEngine:
    """What the training loop holds, as far as a forward pass goes."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def __call__(self, **batch: Any) -> Any:
        # training hands over what its own attention kernels need; here transformers' attention runs
        return self.module(
            **{name: value for name, value in batch.items() if not name.startswith(("cu_", "max_length"))}
        )

    def train(self) -> None:
        self.module.train()

    def eval(self) -> None:
        self.module.eval()


def write_probed_adapter(base_path: str, folder: Path, *, seed: int, std: float = 0.2) -> str:
    """Save an adapter and its probe, as training does."""
    from peft import PeftModel
    from random_adapter import write_random_adapter
    from transformers import AutoModelForCausalLM

    write_random_adapter(base_path, folder, seed=seed, std=std)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base_path), folder)
    task: Any = SimpleNamespace(base_path=base_path, precision="fp32", strategy=LoRA(), about_base={"base_model": "x"})
    engine: Any = PlainEngine(model.train())
    write_probe(folder, take_probe(engine, task), weights=folder / "adapter_model.safetensors")
    assert model.training
    return str(folder)
