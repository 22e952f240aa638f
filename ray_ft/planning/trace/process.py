"""The process that traces: started before there is anything to ask, as its imports take longer than planning does.

It is a process of its own because PyTorch ends a process, with no exception to catch, where a tensor without data meets
a device that is not there.
"""

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import IO

from ray_ft.errors import ModelError
from ray_ft.planning.trace.request import TraceRequest, TraceResult

TIMEOUT_SECONDS = 300


class Tracer:
    """Answers requests, from the cache where it can; once started, the process imports while its caller goes on.

    A context manager: the process ends with the block.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._files = ExitStack()

    def start(self) -> "Tracer":
        """Begin to import; nothing waits for it."""
        if self._process is None:
            self._errors = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ray_ft.planning.trace.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false"},
            )
        return self

    def __enter__(self) -> "Tracer":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._files.close()
        self._process = self._errors = None

    def __call__(self, request: TraceRequest) -> TraceResult:
        """The trace's answer; ModelError where the model cannot be traced."""
        cached = _cache() / f"{request.key()}.json"
        try:
            return TraceResult.from_json(cached.read_text())
        except (OSError, ValueError, KeyError, TypeError):
            pass
        answer = self._ask(request)
        cached.parent.mkdir(parents=True, exist_ok=True)
        partial = cached.with_suffix(f".{os.getpid()}")
        partial.write_text(answer)
        partial.replace(cached)
        return TraceResult.from_json(answer)

    def _ask(self, request: TraceRequest) -> str:
        """One line to the process and one line back."""
        self.start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(asdict(request)).encode() + b"\n")
            process.stdin.flush()
            line = _read_line(process.stdout, deadline=time.monotonic() + TIMEOUT_SECONDS)
        except TimeoutError:
            self.stop()
            raise ModelError(f"it took more than {TIMEOUT_SECONDS} s") from None
        except BrokenPipeError:
            line = b""
        if not line.endswith(b"\n"):
            raise ModelError(self._last_words()) from None
        answer = line.decode()
        if "error" in (said := json.loads(answer)):
            raise ModelError(said["error"])
        return answer

    def _last_words(self) -> str:
        """What a process that died said last; it is gone then."""
        assert self._process is not None
        assert self._errors is not None
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        self.stop()
        return (lines or [f"exit code {code}"])[-1][:200]


def run_trace(request: TraceRequest) -> TraceResult:
    """One answer, from a process for it alone or from the cache; ModelError where the model cannot be traced."""
    with Tracer() as tracer:
        return tracer(request)


def _read_line(pipe: IO[bytes], *, deadline: float) -> bytes:
    """Up to a line's end, or to the pipe's; TimeoutError at the deadline."""
    found = b""
    with selectors.DefaultSelector() as ready:
        ready.register(pipe, selectors.EVENT_READ)
        while not found.endswith(b"\n"):
            if not ready.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            more = os.read(pipe.fileno(), 2**16)
            if not more:
                break
            found += more
    return found


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ray_ft" / "traces"
