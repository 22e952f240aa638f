"""ZeRO 1 and 2: weights are whole on every worker, gradients and optimizer state divided among them.

Like ZeRO-0, and unlike DeepSpeed's stages 1 and 2, nothing in a step waits for the GPU, gradients travel while the
backward pass still runs, and new weights while the next ones are computed. A checkpoint fits any number of workers.
"""

from pathlib import Path
from typing import Any

from ray_ft.training.backends.gradients import Gradients, parts_of
from ray_ft.training.backends.host_copy import on_host
from ray_ft.training.backends.masters import make_chunk
from ray_ft.training.backends.parameters import parameter_groups
from ray_ft.training.backends.partitions import Partition, PartitionedGradients
from ray_ft.training.backends.replicated import ReplicatedEngine, norm_of
from ray_ft.training.task import TrainingTask

MOMENTS = ("exp_avg", "exp_avg_sq")


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
                name = ",".join(self._names[id(p)] for p in part)
                self._partitions.append(partition)
                self._chunks.append(make_chunk([{**group, "params": [partition.share]}], {id(partition.share): name}))
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
        """This rank's shares, with where in each partition they begin."""
        import torch.distributed as dist

        shares = []
        for chunk, partition in zip(self._chunks, self._partitions, strict=True):
            (master,) = chunk.masters
            state = {"weight": master.detach(), **chunk.optimizer.state[master]}
            shares.append({"names": chunk.names[0], "start": partition.start, **state})
        return {f"partitioned-{dist.get_rank():05d}.pt": on_host({"shares": shares, **self._about()})}

    def load_state(self, folder: Path) -> None:
        import torch

        # Mapped, so that each rank reads its own part of all files instead of holding all of them.
        files = [
            torch.load(path, map_location="cpu", weights_only=True, mmap=True) for path in sorted(folder.glob("*.pt"))
        ]
        with torch.no_grad():
            for index, (chunk, partition) in enumerate(zip(self._chunks, self._partitions, strict=True)):
                pieces = [file["shares"][index] for file in files]
                (master,) = chunk.masters
                _fill(master, pieces, "weight", start=partition.start)
                state = chunk.optimizer.state[master]
                state["step"] = pieces[0]["step"].to(master.device)
                for key in MOMENTS:
                    state[key] = torch.empty_like(master)
                    _fill(state[key], pieces, key, start=partition.start)
                partition.share.copy_(master)
                partition.gather()
                partition.gathered()
        self._restore(files[0])


def _fill(share: Any, pieces: list[dict[str, Any]], key: str, *, start: int) -> None:
    """Copy to `share`, which begins at `start` of its partition, whatever part of it each piece has.

    Partitions of other numbers of workers differ only in the zeros at their end.
    """
    share.zero_()
    for piece in pieces:
        values, begins = piece[key], piece["start"]
        first, last = max(start, begins), min(start + len(share), begins + len(values))
        if first < last:
            share[first - start : last - start].copy_(values[first - begins : last - begins])
