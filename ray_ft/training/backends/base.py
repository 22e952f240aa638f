"""What the training loop asks of whatever holds the weights, and the choice among those that there are.

`ReplicatedEngine` (ZeRO-0) keeps everything on every worker, `PartitionedEngine` (ZeRO 1 and 2) splits gradients and
optimizer state, and `DeepSpeedEngine` (ZeRO-3, and offload of any stage) the weights too.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ray_ft.errors import RayFTError
from ray_ft.models.shape import load_model_shape
from ray_ft.training.task import Precision, TrainingTask


@dataclass(frozen=True)
class Update:
    """What came of one optimizer step, as tensors on the device, so that nobody has to wait for them."""

    grad_norm: Any  # scalar: norm of the whole global batch's gradient before clipping
    skipped: Any  # scalar, 1 where the update was left out and the weights are what they were
    excused: Any = None  # scalar, 1 where fp16's loss scale was merely too large, which is no fault of the batch


class Engine(Protocol):
    """A model with its optimizer. All ranks call every method, in the same order."""

    module: Any
    """The model itself, as loaded and accelerated."""
    warnings: list[str]
    """Lines for people about how it was set up."""

    def __call__(self, **batch: Any) -> Any:
        """The model's forward pass."""

    def backward(self, loss: Any, *, last: bool) -> None:
        """Add this rank's gradients of `loss`; with `last`, the global batch's last, sum them over the ranks."""

    def step(self, loss: Any, *, learning_rate: float) -> Update:
        """Clip and update, unless `loss` (a scalar on the device, equal on all ranks) or a gradient is not finite."""

    def train(self) -> None:
        """Dropout on."""

    def eval(self) -> None:
        """Dropout off."""

    def trainable_weights(self) -> dict[str, Any]:
        """The weights that train, by name, on rank 0's host; empty on the others."""

    def host_state(self) -> dict[str, Any]:
        """What this rank must write to go on from here, by file name: a copy in host memory, safe from later steps."""

    def load_state(self, folder: Path) -> None:
        """Go back to the `host_state` whose files are in `folder`."""


def start_engine(task: TrainingTask, *, device: Any, precision: Precision) -> Engine:
    """Load the model as the strategy says and give it to the engine that its ZeRO stage needs."""
    if not task.strategy.needs_deepspeed:
        from ray_ft.training.backends.partitioned import PartitionedEngine
        from ray_ft.training.backends.replicated import ReplicatedEngine

        kind = PartitionedEngine if task.strategy.zero_stage else ReplicatedEngine
        return kind(_load_model(task, device=device, precision=precision), task, precision=precision)
    from ray_ft.training.backends.deepspeed import DeepSpeedEngine, compile_nothing
    from ray_ft.training.backends.deepspeed_config import deepspeed_config

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


def set_up_device(task: TrainingTask) -> tuple[Any, Precision]:
    """fp32 on the CPU; on a GPU bf16, or fp16 where the chip has no bf16."""
    import torch

    if not task.use_gpu:
        # Ray's CPUs are what someone declared; more threads than cores would spend their time waiting for each other.
        cores = max(1, len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
        torch.set_num_threads(min(task.num_threads, cores))
        return torch.device("cpu"), "fp32"
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device, "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"


def parameter_groups(model: Any, *, weight_decay: float) -> list[dict[str, Any]]:
    """The parameters that train, for AdamW; biases and norms are not decayed."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    # Under ZeRO-3 a parameter is flat, and ds_shape is what it was.
    decayed = [p for p in trainable if len(getattr(p, "ds_shape", p.shape)) >= 2]
    others = [p for p in trainable if len(getattr(p, "ds_shape", p.shape)) < 2]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def on_host(state: Any) -> Any:
    """A copy of nested containers with every tensor in host memory; other values are taken as they are."""
    import torch

    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: on_host(value) for key, value in state.items()}
    if type(state) in (list, tuple):
        return type(state)(on_host(value) for value in state)
    return state


def _load_model(task: TrainingTask, *, device: Any, precision: Precision) -> Any:
    """The strategy's model with fast kernels; where one rank cannot load it, all raise the same error."""
    import torch

    from ray_ft.training.backends.acceleration import accelerate
    from ray_ft.training.backends.neftune import add_noise_to_embeddings
    from ray_ft.training.checkpoints.record import agree

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
