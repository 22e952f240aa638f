"""ZeRO-0: every worker holds all weights and updates them alike; only gradients travel.

The model computes in its own dtype. Where that has 16 bits, an fp32 master of every weight that trains is what AdamW
updates, and the model gets it rounded. Nothing in a step waits for the GPU: whether a gradient is finite, how far it is
clipped and whether the update is left out are decided on the device.
"""

import math
from pathlib import Path
from typing import Any

from ray_ft.strategies.zero import UPDATE_ELEMENTS
from ray_ft.training.backends.acceleration import kernel_warnings
from ray_ft.training.backends.base import Update
from ray_ft.training.backends.gradients import Gradients, whole_buckets
from ray_ft.training.backends.masters import Chunk, make_chunk, update
from ray_ft.training.backends.parameters import parameter_groups
from ray_ft.training.backends.saved_state import MOMENTS, SavedParameters, on_host, piece
from ray_ft.training.backends.update_guard import Guard
from ray_ft.training.task import Precision, TrainingTask

SCALE_GROWTH_STEPS = 2000  # of fp16's loss scale, as torch.amp.GradScaler has it
FIRST_SCALE = 2.0**16


class ReplicatedEngine:
    """A model whose every rank has all of it; see `base.Engine`."""

    def __init__(self, model: Any, task: TrainingTask, *, precision: Precision) -> None:
        import torch
        import torch.distributed as dist

        self.module = model
        self.warnings: list[str] = kernel_warnings(model)
        self._max_grad_norm = task.train.max_grad_norm
        self._names = {id(p): name for name, p in model.named_parameters() if p.requires_grad}
        per_pass = task.micro_batch_size * dist.get_world_size()
        several = math.ceil(task.train.global_batch_size / per_pass)  # the plan's, unless workers have come or gone
        self._chunks: list[Chunk] = []
        self._gradients = self._lay_out(task, num_micro_batches=several)
        device = next(p.device for p in model.parameters() if p.requires_grad)
        self._guard = Guard(task.train.max_grad_norm_ratio, device=device, scaled=precision == "fp16")
        self._scale = torch.full((), FIRST_SCALE, device=device) if precision == "fp16" else None
        self._growth = torch.zeros((), dtype=torch.int32, device=device)

    def _lay_out(self, task: TrainingTask, *, num_micro_batches: int) -> Gradients:
        """Make `_chunks`, and what adds the gradients up for them."""
        groups = parameter_groups(self.module, weight_decay=task.train.weight_decay)
        self._chunks = [make_chunk(part) for part in _split(groups)]
        parameters = [p for p in self.module.parameters() if p.requires_grad]
        # A whole model's gradients are summed over the ranks in 16 bits, as an fp32 copy would cost 4 bytes for each.
        wide = num_micro_batches > 1 or task.strategy.is_adapter
        return Gradients(parameters, buckets=whole_buckets(parameters, num_micro_batches=num_micro_batches, wide=wide))

    def _norm(self) -> Any:
        return norm_of(self._gradients.flat())

    def _updated(self, number: int) -> None:
        """Called when the weights of chunk `number` are new."""

    def __call__(self, **batch: Any) -> Any:
        return self.module(**batch)

    def train(self) -> None:
        self.module.train()

    def eval(self) -> None:
        self.module.eval()

    def backward(self, loss: Any, *, last: bool) -> None:
        self._gradients.backward(loss if self._scale is None else loss * self._scale, last=last)

    def step(self, loss: Any, *, learning_rate: float) -> Update:
        import torch

        with torch.no_grad():
            scaled_norm = self._norm()
            norm = scaled_norm if self._scale is None else scaled_norm / self._scale
            verdict = self._guard.judge(norm, loss)
            divisor = torch.ones_like(verdict.skipped) if self._scale is None else self._scale.clone()
            if self._max_grad_norm > 0:
                divisor = divisor * ((norm.float() + 1e-6) / self._max_grad_norm).clamp(min=1.0)
            gradients = self._gradients.by_parameter()
            for number, chunk in enumerate(self._chunks):
                mine = [gradients.pop(id(p)) for p in chunk.parameters]
                update(chunk, mine, divisor=divisor, skipped=verdict.skipped, learning_rate=learning_rate)
                self._updated(number)
            self._gradients.clear()
            if self._scale is not None:
                overflown = (~torch.isfinite(norm)).float()
                torch._amp_update_scale_(self._scale, self._growth, overflown, 2.0, 0.5, SCALE_GROWTH_STEPS)
        return verdict

    def trainable_weights(self) -> dict[str, Any]:
        import torch.distributed as dist

        if dist.get_rank() != 0:
            return {}
        parameters = ((name, p) for name, p in self.module.named_parameters() if p.requires_grad)
        return {name: p.detach().to("cpu", copy=True) for name, p in parameters}

    def host_state(self) -> dict[str, Any]:
        """Each rank's share of the parameters; which rank wrote what does not matter to `load_state`."""
        import torch.distributed as dist

        rank, world_size = dist.get_rank(), dist.get_world_size()
        state = {}
        for chunk in self._chunks:
            for parameter, master in zip(chunk.parameters, chunk.masters, strict=True):
                state[self._names[id(parameter)]] = piece(parameter, master, chunk.optimizer.state[master])
        mine = {name: state[name] for name in list(state)[rank::world_size]}
        return {f"replicated-{rank:05d}.pt": on_host({"parameters": mine, **self._about()})}

    def load_state(self, folder: Path) -> None:
        import torch

        saved = SavedParameters(folder, self._shapes())
        with torch.no_grad():
            for chunk in self._chunks:
                for parameter, master in zip(chunk.parameters, chunk.masters, strict=True):
                    name = self._names[id(parameter)]
                    saved.copy(name, "weight", master.view(-1))
                    state = chunk.optimizer.state[master] = {}
                    if (step := saved.step(name)) is None:
                        continue
                    state["step"] = step.to(master.device, copy=True)
                    for key in MOMENTS:
                        state[key] = torch.empty_like(master)
                        saved.copy(name, key, state[key].view(-1))
                torch._foreach_copy_(chunk.parameters, chunk.masters)
        self._restore(saved.about)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(p.shape) for name, p in self.module.named_parameters() if p.requires_grad}

    def _about(self) -> dict[str, Any]:
        """What does not belong to a parameter."""
        about = {"norms": self._guard.norms}
        if self._scale is not None:
            about |= {"scale": self._scale, "growth": self._growth}
        return about

    def _restore(self, about: dict[str, Any]) -> None:
        self._guard.norms.copy_(about["norms"])
        if self._scale is not None:
            self._scale.copy_(about["scale"])
            self._growth.copy_(about["growth"])


def _split(groups: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The same groups in parts of about UPDATE_ELEMENTS parameters of one dtype."""
    parts: list[list[dict[str, Any]]] = []
    for group in groups:
        room, dtype = 0, None
        for parameter in group["params"]:
            if parameter.numel() > room or parameter.dtype != dtype:
                parts.append([{**group, "params": []}])
                room, dtype = UPDATE_ELEMENTS, parameter.dtype
            parts[-1][0]["params"].append(parameter)
            room -= parameter.numel()
    return parts


def norm_of(gradients: list[Any]) -> Any:
    """Euclidean norm of all gradients together, as a scalar on the device."""
    import torch

    # In fp32 the sum over a large embedding would be off in the fifth digit; a GPU adds in a tree, and is exact enough.
    dtype = torch.float64 if gradients[0].device.type == "cpu" else torch.float32
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients, 2, dtype)))
