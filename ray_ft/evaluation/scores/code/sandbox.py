"""Runs generated programs by the user's command alone: with nothing of our environment, for a time, with little output.

What keeps a program from doing harm is the command's business: a container, a virtual machine, a jail. Nothing here
runs a program by itself.
"""

import os
import selectors
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ray_ft.config import CodeTestsConfig
from ray_ft.errors import ConfigError

MAX_OUTPUT = 4096  # bytes that are kept of what a program prints; the rest is read and forgotten
SUFFIXES = {
    "python": ".py", "javascript": ".js", "typescript": ".ts", "tsx": ".tsx", "java": ".java", "go": ".go", "c": ".c",
    "cpp": ".cpp", "csharp": ".cs", "rust": ".rs", "ruby": ".rb", "php": ".php", "bash": ".sh",
    "kotlin": ".kt", "swift": ".swift", "scala": ".scala", "lua": ".lua", "terraform": ".tf",
}  # fmt: skip


@dataclass(frozen=True)
class Ran:
    """How a program did with its test."""

    passed: bool
    said: str  # the beginning of its output, or why there is none
    seconds: float


def command_words(tests: CodeTestsConfig) -> list[str]:
    """The command's words, its program found. ConfigError where it is not there."""
    key = "evaluation.code_tests.command"
    try:
        words = shlex.split(tests.command or "")
    except ValueError as error:
        raise ConfigError(f"{key}: {tests.command!r} is no command ({error})") from None
    found = shutil.which(words[0]) if words else None
    if found is None:
        raise ConfigError(f"{key}: there is no program {words[0] if words else ''!r}; name one that is on the PATH")
    words[0] = str(Path(found).resolve()) if os.sep in found else found
    return words if any("{program}" in w or "{folder}" in w for w in words) else [*words, "{program}", "{test}"]


def run_program(program: str, test: str, *, language: str, words: list[str], timeout_s: float) -> Ran:
    """Hand a program and its test to the command, in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix="ray_ft-program-") as folder:
        suffix = SUFFIXES[language]
        paths = {"program": Path(folder, f"program{suffix}"), "test": Path(folder, f"test{suffix}")}
        paths["program"].write_text(program.rstrip("\n") + "\n", encoding="utf-8", errors="replace")
        paths["test"].write_text(test, encoding="utf-8", errors="replace")
        places = {**{name: str(path) for name, path in paths.items()}, "folder": folder}
        asked = []
        for word in words:
            for name, place in places.items():
                word = word.replace(f"{{{name}}}", place)
            asked.append(word)
        return _run(asked, folder, timeout_s)


def _run(asked: list[str], folder: str, timeout_s: float) -> Ran:
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            asked,
            cwd=folder,
            env={},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return Ran(False, f"cannot be started: {error.strerror}", 0.0)
    try:
        output = _output(process, started + timeout_s)
        code = process.wait(max(0.0, started + timeout_s - time.monotonic()))
        said = output.decode("utf-8", "replace").strip()
        return Ran(code == 0, said or f"exit code {code}", time.monotonic() - started)
    except subprocess.TimeoutExpired:
        return Ran(False, f"stopped after {timeout_s:g} s", time.monotonic() - started)
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # and what it left behind
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _output(process: "subprocess.Popen[bytes]", until: float) -> bytes:
    """The beginning of what a process prints until it closes its output or its time is over."""
    assert process.stdout is not None
    kept = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            left = until - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired(process.args, left)
            # Something that a finished program left running may hold its output open.
            if not selector.select(min(left, 0.5)):
                if process.poll() is not None:
                    return kept
                continue
            part = os.read(process.stdout.fileno(), 1 << 16)
            if not part:
                return kept
            kept += part[: MAX_OUTPUT - len(kept)]
