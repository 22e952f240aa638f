"""What the workers of one run are told; who makes it is fine_tune.py, who follows it worker.py."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ray_ft.config import TrainConfig
from ray_ft.strategies import Strategy

Precision = Literal["fp32", "bf16", "fp16"]
"""What the model computes in. The weights that train are always updated in fp32."""


@dataclass(frozen=True)
class TrainingTask:
    """Everything a worker needs to know; the same for all. Paths are absolute: Ray changes the working folder."""

    training_set_path: str
    base_path: str
    about_base: dict[str, str]  # base_model, base_digest, tokenizer_digest: written beside the adapter
    chat_template: str | None
    run_path: str
    strategy: Strategy
    use_gpu: bool
    num_threads: int  # of one worker on the CPU
    micro_batch_size: int
    gradient_accumulation_steps: int
    gradient_checkpointing: bool
    train: TrainConfig
    learning_rate: float
    num_steps: int
    eval_every: int
    checkpoint_every: int
    seed: int
    identity: dict[str, Any]  # what must be equal for a checkpoint to be gone on from

    @property
    def output_path(self) -> Path:
        """Where the tuned weights go."""
        return Path(self.run_path) / ("adapter" if self.strategy.is_adapter else "model")
