"""What the workers of one run are told; who makes it is fine_tune.py, who follows it worker.py."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ray_ft.artifacts import to_json
from ray_ft.config import TrainConfig
from ray_ft.hardware.gpus import Precision as Precision
from ray_ft.strategies import Backend, Strategy


@dataclass(frozen=True)
class TrainingTask:
    """Everything a worker needs to know; the same for all. Paths are absolute: Ray changes the working folder."""

    training_set_path: str
    base_path: str
    about_base: dict[str, str]  # base_model, base_digest, tokenizer_digest: written beside the adapter
    chat_template: str | None
    run_path: str
    strategy: Strategy
    backend: Backend
    use_gpu: bool
    precision: Precision
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
    plan: dict[str, Any]  # as JSON: what the run was planned as, for its checkpoints' records
    planned_bytes: int  # of one GPU at the phase that binds, as estimated
    planned_phase: str
    mark: str = ""  # what the driver wrote into the run folder, for workers to see that theirs is the same

    @property
    def config(self) -> dict[str, Any]:
        """The train section as JSON, for the record of a checkpoint."""
        return cast(dict[str, Any], to_json(self.train))

    @property
    def writes_best(self) -> bool:
        """Whether the weights with the lowest validation loss are what is written; stopping early has no other use."""
        return self.train.load_best or self.train.early_stopping_patience is not None

    @property
    def output_path(self) -> Path:
        """Where the tuned weights go."""
        return Path(self.run_path) / ("adapter" if self.strategy.is_adapter else "model")
