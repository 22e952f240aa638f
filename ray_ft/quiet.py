"""Keeps other libraries' chatter off the terminal, and JAX off the GPU; their errors stay."""

import importlib
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from functools import cache
from io import StringIO
from typing import Any

from ray_ft.errors import EngineStoppedError

LIBRARIES = ("ray.data", "ray.train", "ray.serve", "ray.tune", "DeepSpeed")

log = logging.getLogger("ray_ft")


def quiet_libraries() -> None:
    """Turn off progress bars and start-up lines of libraries that print them when they are imported."""
    os.environ.setdefault("RAY_TRAIN_METRICS_ENABLED", "0")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")  # about its own next version
    for name in LIBRARIES:  # filters, not levels: these libraries set their loggers' levels when they are imported
        logging.getLogger(name).addFilter(_only_errors)


@contextmanager
def quiet_ray_data() -> Iterator[None]:
    """Run Ray Data jobs without progress bars, plans and their notices; they come back with `--verbose`.

    Raises EngineStoppedError where the process of an actor ended and may not begin again.

    A job's actors go with its last reference: an error must not keep them, and their CPUs, for as long as somebody
    keeps its traceback. So jobs are made in functions that are called inside.
    """
    import ray.data

    context = ray.data.DataContext.get_current().copy()
    verbose = log.isEnabledFor(logging.DEBUG)
    context.enable_progress_bars = verbose
    context.print_on_execution_start = verbose
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.INFO if verbose else logging.ERROR)  # its children ask it for their level
    try:
        with ray.data.DataContext.current(context), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*ray_remote_args. is deprecated")  # max_restarts has no keyword
            yield
    except Exception as error:
        traceback.clear_frames(error.__traceback__)
        _forget_frames_of_causes(error)
        if isinstance(error, ray.exceptions.ActorDiedError):
            raise EngineStoppedError("the process that answers ended, perhaps for want of memory") from None
        raise
    finally:
        logger.setLevel(level)


def restarts_of_actors() -> dict[str, int]:
    """What Ray Data's actors are told of restarts. Ray must be up.

    On one machine a dead actor has run out of memory and would again; and where one may restart, Ray's core writes an
    error to the terminal, past every logger (ray-project/ray issue 57733). Among several machines, one may go.
    """
    import ray

    return {"max_restarts": 0} if len(ray.nodes()) == 1 else {}


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Let transformers read and write weights without a bar for each file; its GGUF reader has one that asks nobody."""
    from transformers.utils import logging as its

    shown = its.is_progress_bar_enabled()
    its.disable_progress_bar()
    try:
        with redirect_stderr(StringIO()):  # of a bar that begins now; logging keeps the one that it began with
            yield
    finally:
        if shown:
            its.enable_progress_bar()


def _forget_frames_of_causes(error: BaseException) -> None:
    """Those of Ray Data's own thread, which may still run and hold the job; what they say is in the error's text."""
    seen, left = {error}, [error.__cause__, error.__context__]
    while left:
        cause = left.pop()
        if cause is not None and cause not in seen:
            seen.add(cause)
            cause.__traceback__ = None
            left += [cause.__cause__, cause.__context__]


def _only_errors(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR or log.isEnabledFor(logging.DEBUG)


@cache
def import_bm25s() -> Any:
    """bm25s, kept from JAX: it would start it where it is installed, which takes three quarters of a GPU's memory."""
    hidden = {name: sys.modules.get(name) for name in ("jax", "jax.lax")}
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # there is no such module
    try:
        return importlib.import_module("bm25s")
    finally:
        for name, module in hidden.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module
