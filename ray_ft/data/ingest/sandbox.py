"""Parsers that may crash, hang or swell, in a child process that can be killed: one for each process that reads.

The parent sends a parser and a file, and waits for the document or for a sign of life. A child that says nothing until
the deadline is killed, and one that dies takes nothing but its file with it; the next file gets a new child.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

from ray_ft.data.formats.base import Parsed, Unreadable
from ray_ft.data.ingest.sandbox_child import ALIVE, Failure, Job
from ray_ft.data.run.budget import renew
from ray_ft.data.run.typed import Malformed, dump, load

LONGEST = 10  # times the seconds that a parser may take as long as it gives signs of life
MAX_FILES = 300  # of one child: native libraries leak
START_SECONDS = 60.0  # for a child to begin, on a busy machine
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
PASSED_ON = ("LD_LIBRARY_PATH",)  # where the interpreter finds its own libraries; a child gets nothing else of ours
BEGIN = (
    "import sys; sys.path[:] = sys.argv[2:]; from multiprocessing.connection import Connection; "
    "from ray_ft.data.ingest.sandbox_child import serve; serve(Connection(int(sys.argv[1])))"
)
ANSWER: Any = Parsed | Failure

TIMED_OUT, CRASHED, OUT_OF_MEMORY = "parser timed out", "parser crashed", "parser ran out of memory"


@dataclass(frozen=True)
class Limits:
    """What may be taken for one file, by a parser in a child process and by what else is done with it."""

    seconds: float = 60.0  # without a sign of life
    memory_bytes: int = 1536 * 2**20  # beyond what the process has when it begins


class ParserError(Exception):
    """What a parser in a child raised: the name of its class, and its words."""

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(words)
        self.kind = kind


class Child:
    """The child of this process, started when it is needed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.connection: Connection | None = None
        self.num_files = 0

    def parse(self, parse: Callable[[Any], Parsed], source: bytes | str, limits: Limits) -> Parsed:
        """What the parser makes of a file.

        Raises Unreadable for what it gives no document of, broken where it does not come to an end, ParserError for
        all others.
        """
        is_text = isinstance(source, str)
        about = dump(Job.of(parse, is_text=is_text, memory_bytes=limits.memory_bytes))
        job = (about, source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source)
        with self.lock:
            try:
                return self._parse(job, limits)
            except (EOFError, OSError):
                if self.num_files <= 1:
                    raise self._crashed() from None
            self.close()  # what it did before may have harmed it
            try:
                return self._parse(job, limits)
            except (EOFError, OSError):
                raise self._crashed() from None

    def _parse(self, job: tuple[bytes, bytes], limits: Limits) -> Parsed:
        connection = self._started()
        self.num_files += 1
        latest = time.monotonic() + LONGEST * limits.seconds
        raw = ALIVE
        try:
            for part in job:
                connection.send_bytes(part)
            while raw == ALIVE:
                renew()
                if not connection.poll(limits.seconds):
                    raise Unreadable(TIMED_OUT, f"no sign of life for {limits.seconds:g} s", broken=True)
                if time.monotonic() > latest:
                    raise Unreadable(TIMED_OUT, f"no end after {LONGEST * limits.seconds:g} s", broken=True)
                raw = connection.recv_bytes()
        except (EOFError, OSError):
            raise
        except BaseException:  # what it says next would be taken for another file's
            self.close()
            raise
        try:
            answer = load(ANSWER, raw)
        except Malformed:
            self.close()
            raise Unreadable(CRASHED, "its answer is none", broken=True) from None
        if isinstance(answer, Parsed):
            return answer
        if answer.kind == "memory":
            self.close()
            raise Unreadable(OUT_OF_MEMORY, f"more than {limits.memory_bytes / 2**30:g} GiB", broken=True)
        if answer.kind == "unreadable":
            raise Unreadable(answer.reason, answer.note, broken=answer.broken)
        raise ParserError(answer.reason, answer.note)

    def _started(self) -> Connection:
        """The connection to a child that waits for a file."""
        if self.connection is not None and self.num_files < MAX_FILES:
            return self.connection
        self.close()
        self.connection, theirs = Pipe()
        with theirs:
            self.process = subprocess.Popen(
                # Isolated: no environment, no folder of the user, and modules from where this process has them.
                [sys.executable, "-I", "-X", "utf8", "-c", BEGIN, str(theirs.fileno()), *map(_absolute, sys.path)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**ONE_THREAD, **{name: os.environ[name] for name in PASSED_ON if name in os.environ}},
            )
        if not self.connection.poll(START_SECONDS):
            self.close()
            raise OSError("the child that parses did not begin")
        self.connection.recv_bytes()
        return self.connection

    def _crashed(self) -> Unreadable:
        """Why the child died, in words."""
        code = self.process.wait(10) if self.process is not None else None
        self.close()
        names = {int(s): s.name for s in signal.Signals}
        return Unreadable(CRASHED, names.get(-code, f"exit {code}") if code is not None else "", broken=True)

    def close(self) -> None:
        """End the child, whatever it is doing."""
        if self.connection is not None:
            self.connection.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.process, self.connection, self.num_files = None, None, 0


def _absolute(path: str) -> str:
    return path or str(Path.cwd())


CHILD = Child()
