"""Makes what holds the weights, by a task's backend and ZeRO stage, loads the model and hands it over.

Of our own, `ReplicatedEngine` (ZeRO-0) keeps everything on every worker and `PartitionedEngine` (ZeRO 1 and 2) splits
gradients and optimizer state. `DeepSpeedEngine` has every stage, and alone splits weights and offloads.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray_ft.errors import RayFTError
from ray_ft.models.shape import load_model_shape
from ray_ft.training.backends.acceleration import accelerate
from ray_ft.training.backends.base import Engine
from ray_ft.training.backends.deepspeed import DeepSpeedEngine, compile_nothing
from ray_ft.training.backends.deepspeed_config import deepspeed_config
from ray_ft.training.backends.partitioned import PartitionedEngine
from ray_ft.training.backends.replicated import ReplicatedEngine
from ray_ft.training.neftune import add_noise_to_embeddings
from ray_ft.training.ranks.agreement import agree
from ray_ft.training.task import Precision, TrainingTask


def start_engine(task: TrainingTask, *, device: Any, precision: Precision) -> Engine:
    """Load the model as the strategy says and give it to the engine that the plan names."""
    if task.backend == "native":
        kind = PartitionedEngine if task.strategy.zero_stage else ReplicatedEngine
        return kind(_load_model(task, device=device, precision=precision), task, precision=precision)
    compile_nothing(task)
    config = deepspeed_config(
        task.strategy,
        load_model_shape(task.base_path),
        micro_batch_size=task.micro_batch_size,
        gradient_accumulation_steps=task.gradient_accumulation_steps,
        max_grad_norm=task.train.max_grad_norm,
        precision=precision,
    )
    with _weights_split_while_loading(config, enabled=task.strategy.zero_stage == 3 and not task.strategy.is_quantised):
        model = _load_model(task, device=device, precision=precision)
    return DeepSpeedEngine(model, task, config=config)


def _load_model(task: TrainingTask, *, device: Any, precision: Precision) -> Any:
    """The strategy's model with fast kernels; where one rank cannot load it, all raise the same error."""
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    failures: list[str] = []
    model = None
    try:
        model = task.strategy.load_model(task.base_path, dtype=dtype, device=device, seed=task.seed)
    except RayFTError as error:
        failures.append(str(error))
    agree(failures)
    model = accelerate(model, task)
    add_noise_to_embeddings(model, alpha=task.train.neftune_alpha)
    return model


@contextmanager
def _weights_split_while_loading(config: dict[str, Any], *, enabled: bool) -> Iterator[None]:
    """Under ZeRO-3, make from_pretrained give each rank only its part of every weight instead of a whole copy."""
    if not enabled:
        yield
        return
    from transformers.integrations import HfDeepSpeedConfig

    keep_alive = HfDeepSpeedConfig(config)  # transformers holds it by a weak reference
    yield
    del keep_alive
