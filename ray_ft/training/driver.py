"""What the process that starts a run sees to: that the cluster can carry it, that no other process is at work in the
folder, and that Ctrl-C ends it.

Workers hold a lock of their own (worker.py): they may outlive a killed driver for a while.
"""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from ray_ft.artifacts import Plan
from ray_ft.errors import ConfigError, DoesNotFitError, TrainingError
from ray_ft.locks import take_lock

log = logging.getLogger("ray_ft")

LOCK_FILE = ".train.lock"  # not among the checkpoints, which --force deletes
ABORT_SECONDS = 10  # a controller that waits for machines does not answer; it ends with the session


@contextmanager
def only_driver(run_path: str | Path) -> Iterator[None]:
    """Hold the run folder while the context lasts.

    A second driver would delete what the first one is writing, and put its own mark there, before its workers found the
    folder taken. Raises ConfigError where another process has it, TrainingError where nothing can be written.
    """
    path = Path(run_path) / LOCK_FILE
    with ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = held.enter_context(path.open("a+"))
            mine = take_lock(file)
        except OSError as error:
            raise TrainingError(f"cannot write to the run folder {run_path}: {error.strerror or error}") from None
        if not mine:
            file.seek(0)
            who = file.read().strip() or "another process"
            raise ConfigError(f"{who} is training in {run_path}; wait for it or stop it, or choose another run_name")
        with suppress(OSError):  # a full disk: only the name is lost
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
        yield


def check_cluster(plan: Plan, *, cpus_per_worker: int, min_workers: int | None) -> None:
    """Say at once what the cluster lacks, unless it can grow."""
    import ray

    have = ray.cluster_resources()
    kind, per_worker = ("CPU", cpus_per_worker) if plan.gpu == "cpu" else ("GPU", 1)
    needed, there = per_worker * plan.num_workers, int(have.get(kind, 0))
    if there >= needed:
        return
    can_grow = len(ray.nodes()) > 1 or (plan.gpu == "cpu" and bool(os.environ.get("RAY_ADDRESS")))
    if not can_grow and there < per_worker * (min_workers or plan.num_workers):
        raise DoesNotFitError(_too_small(plan, needed=needed, there=there))
    log.info("the plan needs %d %ss and the cluster has %d now; waiting for it to grow", needed, kind, there)


def _too_small(plan: Plan, *, needed: int, there: int) -> str:
    if plan.gpu == "cpu":
        return f"train.num_workers: {plan.num_workers} workers need {needed} CPUs and this machine has {there}"
    if there == 0:
        return (
            f"the plan is for {needed} x {plan.gpu} and Ray sees no GPU; give --address of a cluster that has them, "
            "or leave plan.gpu out"
        )
    return f"the plan needs {needed} {plan.gpu} and Ray has {there} GPUs; set train.num_workers, or give --address"


def fit_interruptibly(**options: Any) -> Any:
    """What a TorchTrainer made from `options` returns. Raises KeyboardInterrupt once its workers are gone.

    Ray Train's own handler of Ctrl-C ends the process without a word, and with the exit code of a success.
    """
    import ray
    from ray.train.torch import TorchTrainer

    controllers: list[Any] = []

    class Trainer(TorchTrainer):  # type: ignore[misc]  # ray has no types
        def _register_sigint_handler(self, controller: Any) -> None:
            controllers.append(controller)

    try:
        return Trainer(**options).fit()
    except KeyboardInterrupt:
        for controller in controllers:
            with suppress(Exception):  # it ends itself, which is an error to whoever waits for its answer
                ray.get(controller.abort.remote(), timeout=ABORT_SECONDS)
        raise
