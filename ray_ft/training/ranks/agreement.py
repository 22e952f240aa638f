"""How ranks stay together where one of them fails or knows more: all raise the same error, all get the same answer."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray_ft.errors import RayFTError, TrainingError


def attempt(failures: list[str], write: Any, *arguments: Any) -> None:
    """Call `write`; a full disk, a missing permission or the like becomes a line in `failures`."""
    from safetensors import SafetensorError

    try:
        write(*arguments)
    except (OSError, SafetensorError) as error:
        failures.append(f"cannot write to the run folder: {getattr(error, 'strerror', None) or error}")


def agree(failures: list[str], *, step: int | None = None, partial: Path | None = None) -> None:
    """Compare notes with all ranks: where one has failed, all raise the same TrainingError and none waits for it."""
    import torch.distributed as dist

    problem = next((p for p in from_every_rank(failures[0] if failures else None) if p is not None), None)
    if problem is None:
        return
    if partial is not None and dist.get_rank() == 0:
        shutil.rmtree(partial, ignore_errors=True)
    where = f"at step {step}: " if step is not None else ""
    raise TrainingError(f"{where}{problem}")


def from_every_rank(value: Any) -> list[Any]:
    """What each rank has to tell, by rank, on all of them."""
    import torch.distributed as dist

    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, value)
    return everyone


def from_rank_0(find: Callable[[], Any]) -> Any:
    """What rank 0 finds, on all ranks; and what it raises."""
    import torch.distributed as dist

    found: list[Any] = [None]
    if dist.get_rank() == 0:
        try:
            found[0] = find()
        except RayFTError as error:
            found[0] = error
    dist.broadcast_object_list(found, src=0)
    if isinstance(found[0], RayFTError):
        raise found[0]
    return found[0]
