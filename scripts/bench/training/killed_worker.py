"""What a forked worker of `bench_training kills` does: train, tell where it began, and die when it was told to."""

import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn


@dataclass(frozen=True)
class Kill:
    """Who dies when."""

    rank: int
    kind: str  # "operation": on files of the run folder; "step": before it
    count: int  # the how-manieth of its attempt


EVENTS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree")


def import_all() -> None:
    """Everything that workers need, before they are forked."""
    warnings.filterwarnings("ignore")
    import bitsandbytes  # noqa: F401
    import deepspeed  # noqa: F401
    import peft  # noqa: F401
    import torch
    import transformers  # noqa: F401
    from transformers.models.llama import modeling_llama  # noqa: F401

    import ray_ft.training.fine_tune
    import ray_ft.training.worker  # noqa: F401

    torch.set_num_threads(1)


def import_also(modules: Path) -> None:
    """What a worker has imported besides, for those to come."""
    for name in json.loads(modules.read_text()) if modules.is_file() else ():
        if name not in sys.modules:
            with suppress(Exception):
                import_module(name)


def start_worker(work: Callable[[], Any], log: Path) -> NoReturn:
    """In a child: do the work with its words in a log, and end without the parent's exit handlers."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def work_on(task: Any, rank: int, num_workers: int, meeting: Path, kill: Kill | None) -> None:
    """The worker's own loop on gloo. It tells its first step and how many operations on files it did."""
    import torch.distributed as dist

    from ray_ft.training import worker
    from ray_ft.training.checkpoints.save import Checkpointer

    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(num_workers),
                   "LOCAL_WORLD_SIZE": str(num_workers)}  # fmt: skip
    store = dist.FileStore(str(meeting / "store"), num_workers)  # type: ignore[attr-defined]
    dist.init_process_group("gloo", store=store, rank=rank, world_size=num_workers)
    counts = {"operation": 0, "step": 0}

    def count(kind: str) -> None:
        counts[kind] += 1
        if kill is not None and kill.kind == kind and counts[kind] == kill.count:
            os.kill(os.getpid(), signal.SIGKILL)

    told: dict[str, int] = {}

    def tell(**values: int) -> None:
        told.update(values)
        (meeting / f"told-{rank}.json").write_text(json.dumps(told))

    def audited(event: str, arguments: tuple[Any, ...]) -> None:
        if event in EVENTS and str(arguments[0]).startswith(task.run_path):
            count("operation")

    restore, train_step = Checkpointer.restore, worker.train_step

    def restored(self: Checkpointer, engine: Any) -> int:
        step = restore(self, engine)
        tell(start=step)
        return step

    def stepped(*arguments: Any, **options: Any) -> Any:
        count("step")
        return train_step(*arguments, **options)

    Checkpointer.restore, worker.train_step = restored, stepped  # type: ignore[method-assign]
    sys.addaudithook(audited)
    worker.fit(task, report=lambda *_: None)
    tell(operations=counts["operation"])
    mine = meeting / f"modules-{rank}.json"
    mine.write_text(json.dumps(sorted(sys.modules)))
    mine.replace(meeting / "modules.json")  # whole, whichever worker is the last
