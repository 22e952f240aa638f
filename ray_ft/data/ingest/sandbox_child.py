"""The child process that `sandbox` starts: parses one file after another until its parent is gone.

It has none of its parent's environment, and gives data of a known type alone, for it reads what strangers have written.
Linux lends what else keeps it harmless: a limit on its memory that a parser feels as MemoryError, death with its
parent, the first place among those that go when the machine's memory runs out, and, where it is allowed, no network.
"""

import contextlib
import ctypes
import importlib
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from ray_ft.data.formats.base import SIGNS_OF_LIFE, Parsed, Unreadable
from ray_ft.data.run.budget import address_space, limit_memory
from ray_ft.data.run.typed import dump, load

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
ALIVE = b""  # a message that only says so


@dataclass(frozen=True)
class Job:
    """A parser by its name, and what it may take; the file follows."""

    module: str
    name: str
    settings: dict[str, str]
    is_text: bool
    memory_bytes: int

    @staticmethod
    def of(parse: Callable[[Any], Parsed], *, is_text: bool, memory_bytes: int) -> "Job":
        """The job of a function of a module, some of whose keywords may be given."""
        function, settings = (parse.func, parse.keywords) if isinstance(parse, partial) else (parse, {})
        return Job(function.__module__, function.__qualname__, settings, is_text, memory_bytes)


@dataclass(frozen=True)
class Failure:
    """Why there is no document: what the parser says of the file, that memory ran out, or an error by its class."""

    kind: Literal["unreadable", "memory", "error"]
    reason: str = ""
    note: str = ""
    broken: bool = True


def serve(connection: Connection) -> None:
    """The child: answer files until the parent is gone."""
    _settle()
    limit_from = address_space()
    SIGNS_OF_LIFE.append(lambda: connection.send_bytes(ALIVE))
    connection.send_bytes(b"ready")
    while True:
        try:
            job, source = load(Job, connection.recv_bytes()), connection.recv_bytes()
        except EOFError:
            return
        parse = partial(getattr(importlib.import_module(job.module), job.name), **job.settings)
        connection.send_bytes(ALIVE)  # importing the parser may have taken a while
        limit_memory(limit_from + job.memory_bytes)
        connection.send_bytes(_answer(parse, source.decode("utf-8", "surrogatepass") if job.is_text else source))


def _answer(parse: Callable[[Any], Parsed], source: bytes | str) -> bytes:
    """What the parser returned or raised, to be sent."""
    try:
        return dump(parse(source))
    except MemoryError:
        return dump(Failure("memory"))
    except Unreadable as why:
        return dump(Failure("unreadable", why.reason, why.note, why.broken))
    except Exception as error:  # parsers of others fail in ways of their own
        return dump(Failure("error", type(error).__name__, str(error)[:1000]))


def _settle() -> None:
    """Die with the parent, go first when memory is short, leave no core files, reach nobody."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
        system = ctypes.CDLL(None)
        if system.unshare(CLONE_NEWNET):  # which root may; others need a namespace of users, where that is allowed
            system.unshare(CLONE_NEWUSER | CLONE_NEWNET)
        system.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
