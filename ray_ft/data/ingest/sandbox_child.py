"""The child process that `sandbox` starts: parses one file after another until its parent is gone.

Linux lends what keeps it harmless: a limit on its memory that a parser feels as MemoryError, death with its parent, and
the first place among those that go when the machine's memory runs out.
"""

import contextlib
import ctypes
import pickle
import resource
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ray_ft.data.formats.base import SIGNS_OF_LIFE, Parsed

PR_SET_PDEATHSIG = 1


def serve(connection: Connection) -> None:
    """The child: answer files until the parent is gone."""
    _settle()
    limit_from = _address_space()
    SIGNS_OF_LIFE.append(lambda: connection.send_bytes(pickle.dumps(None)))
    connection.send_bytes(b"ready")
    while True:
        try:
            parse, source, limits = pickle.loads(connection.recv_bytes())
        except EOFError:
            return
        connection.send_bytes(pickle.dumps(None))  # importing the parser may have taken a while
        _limit_memory(limit_from + limits.memory_bytes)
        connection.send_bytes(_answer(parse, source))


def _answer(parse: Callable[[Any], Parsed], source: bytes | str) -> bytes:
    """What the parser returned or raised, to be sent."""
    try:
        return pickle.dumps(parse(source), protocol=pickle.HIGHEST_PROTOCOL)
    except MemoryError:
        return pickle.dumps(MemoryError())
    except Exception as error:  # parsers of others fail in ways of their own
        return pickle.dumps(_sendable(error))


def _sendable(error: Exception) -> Exception:
    """The error itself when it survives the journey, else its words."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return ValueError(f"{type(error).__name__}: {error}")


def _settle() -> None:
    """Die with the parent, go first when memory is short, leave no core files."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")


def _address_space() -> int:
    """Bytes of address space in use, 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _limit_memory(num_bytes: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (num_bytes if hard < 0 else min(num_bytes, hard), hard))


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
