"""Whether every worker sees the folders of its run, asked before anything is read or written.

Training set, base, checkpoints and output are plain files. On several machines they have to lie on storage that all of
them mount: `train.checkpoint_uri` is a second place for checkpoints, not a first one for the rest. Without this check a
folder that is not shared would come to light as a missing file on one rank, with the others waiting for it.
"""

import socket
from pathlib import Path
from uuid import uuid4

from ray_ft.errors import ConfigError, TrainingError
from ray_ft.storage import part_of
from ray_ft.training.checkpoints.record import FOLDER
from ray_ft.training.task import TrainingTask

MARK = "started.txt"
Sight = tuple[str, list[str]]
"""A rank's machine, and what it does not see."""


def leave_mark(run_path: str | Path) -> str:
    """On the driver: write what no other folder of that path can hold, and return it. Raises TrainingError."""
    path, mark = Path(run_path) / FOLDER / MARK, uuid4().hex
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(mark)  # in place: NFS may show other machines a removed file for a while, but not an old one
    except OSError as error:
        raise TrainingError(f"cannot write to the run folder {run_path}: {error.strerror or error}") from None
    return mark


def check_folders(task: TrainingTask) -> None:
    """On all ranks: raise the same ConfigError where one of them does not see what the driver sees."""
    import torch.distributed as dist

    everyone: list[Sight] = [("", [])] * dist.get_world_size()
    dist.all_gather_object(everyone, (socket.gethostname(), _unseen(task)))
    if (problem := what_is_not_seen(everyone)) is not None:
        raise ConfigError(problem)


def what_is_not_seen(everyone: list[Sight]) -> str | None:
    """One line on the first folder that some ranks do not see; None where all see all."""
    folder = next((unseen[0] for _, unseen in everyone if unseen), None)
    if folder is None:
        return None
    blind = {rank: host for rank, (host, unseen) in enumerate(everyone) if folder in unseen}
    hosts = list(dict.fromkeys(blind.values()))
    who = f"rank {next(iter(blind))} on {hosts[0]} does"
    if len(blind) > 1:
        who = f"ranks {', '.join(map(str, blind))} on {', '.join(hosts)} do"
    return (
        f"{who} not see the {folder} of the machine that started the run: on several machines output_dir, and a model "
        "given as a folder or HF_HOME, must lie on storage that all of them mount"
    )


def _unseen(task: TrainingTask) -> list[str]:
    mark = Path(task.run_path) / FOLDER / MARK
    found = []
    if task.mark and (not mark.is_file() or mark.read_text() != task.mark):
        found.append(f"run folder {task.run_path}")
    if not part_of(task.training_set_path, "shards/manifest.json").is_file():
        found.append(f"training set {task.training_set_path}")
    if not (Path(task.base_path) / "config.json").is_file():
        found.append(f"base model {task.base_path}")
    return found
