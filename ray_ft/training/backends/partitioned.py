"""ZeRO 1 and 2: weights are whole on every worker, gradients and optimizer state divided among them.

Like ZeRO-0, and unlike DeepSpeed's stages 1 and 2, nothing in a step waits for the GPU, gradients travel while the
backward pass still runs, and new weights while the next ones are computed. A checkpoint fits any number of workers.
"""

from pathlib import Path
from typing import Any

from ray_ft.training.backends.gradients import Gradients, parts_of
from ray_ft.training.backends.masters import make_chunk
from ray_ft.training.backends.parameters import parameter_groups
from ray_ft.training.backends.partitions import Partition, PartitionedGradients
from ray_ft.training.backends.replicated import ReplicatedEngine, norm_of
from ray_ft.training.backends.saved_state import MOMENTS, SavedParameters, on_host, piece
from ray_ft.training.task import TrainingTask


class PartitionedEngine(ReplicatedEngine):
    """A model whose every rank updates a share; see `base.Engine`."""

    def _lay_out(self, task: TrainingTask, *, num_micro_batches: int) -> Gradients:
        import torch
        import torch.distributed as dist

        self._partitions: list[Partition] = []
        several = num_micro_batches > 1
        wide = task.strategy.is_adapter or (several and task.strategy.zero_stage == 1)
        for group in parameter_groups(self.module, weight_decay=task.train.weight_decay):
            # Backward reaches the last parameters first, and the small ones of all layers, which share a bucket, last.
            for part in parts_of(list(reversed(group["params"])), bytes_each=4 if wide else 0):
                partition = Partition(
                    part,
                    torch.float32 if wide else part[0].dtype,
                    keep=several and task.strategy.zero_stage == 1,
                    rank=dist.get_rank(),
                    world_size=dist.get_world_size(),
                )
                self._partitions.append(partition)
                self._chunks.append(make_chunk([{**group, "params": [partition.share]}]))
        return PartitionedGradients(self._partitions, every=task.strategy.zero_stage == 2)

    def _norm(self) -> Any:
        import torch.distributed as dist

        square = norm_of(self._gradients.flat()).square()
        dist.all_reduce(square)
        return square.sqrt()

    def _updated(self, number: int) -> None:
        self._partitions[number].gather()
        if number == len(self._chunks) - 1:
            for partition in self._partitions:
                partition.gathered()

    def host_state(self) -> dict[str, Any]:
        """This rank's share of every parameter that it has a share of."""
        import torch.distributed as dist

        mine = {}
        for chunk, partition in zip(self._chunks, self._partitions, strict=True):
            (master,) = chunk.masters
            values = chunk.optimizer.state[master]
            for parameter, start, here in partition.held():
                state = {key: value if key == "step" else value[here] for key, value in values.items()}
                mine[self._names[id(parameter)]] = piece(parameter, master[here], state, start=start)
        return {f"partitioned-{dist.get_rank():05d}.pt": on_host({"parameters": mine, **self._about()})}

    def load_state(self, folder: Path) -> None:
        import torch
        import torch.distributed as dist

        saved = SavedParameters(folder, self._shapes())
        num_filled = torch.zeros((), dtype=torch.int64, device=self._guard.norms.device)
        with torch.no_grad():
            for chunk, partition in zip(self._chunks, self._partitions, strict=True):
                (master,) = chunk.masters
                # Between parameters, and where a share holds none, there are zeros.
                filled = {"weight": master.zero_(), **{key: torch.zeros_like(master) for key in MOMENTS}}
                for parameter, start, here in partition.held():
                    for key, target in filled.items():
                        saved.copy(self._names[id(parameter)], key, target[here], start=start)
                    num_filled += here.stop - here.start
                step = saved.step(self._names[id(partition.parameters[0])])
                state = {"step": step.to(master.device, copy=True), **{key: filled[key] for key in MOMENTS}}
                chunk.optimizer.state[master] = state
                partition.share.copy_(master)
                partition.gather()
                partition.gathered()
        dist.all_reduce(num_filled)
        assert int(num_filled) == sum(p.numel() for part in self._partitions for p in part.parameters)
        self._restore(saved.about)
