"""Answers of an evaluation on their way to its report, kept one by one as they end: a killed one goes on after them.

Every process writes a file of its own, so that none waits for another; a line that a kill cut short is no answer.
"""

import json
import uuid
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from ray_ft.errors import ConfigError
from ray_ft.evaluation.exam.tasks import Done, Task


class Kept:
    """What was answered before, and where more goes. `folder` belongs to one fingerprint of a report."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / f"{uuid.uuid4().hex}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._known = {_key(done): done for done in _read(folder)}
        except OSError as error:
            raise ConfigError(f"output_dir: cannot keep answers in {folder}: {error.strerror}") from None

    def get(self, task: Task, prompt_sha256: str) -> Done | None:
        """The answer to the same prompt, if it has ended; how long it took is not known any more."""
        return self._known.get((task.kind, task.system, task.index, task.sample, prompt_sha256))

    def add(self, done: Done) -> None:
        """Keep an answer that has just ended."""
        try:
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(asdict(done), ensure_ascii=True) + "\n")
        except OSError as error:
            raise ConfigError(f"output_dir: cannot keep answers in {self._file.parent}: {error.strerror}") from None


def _key(done: Done) -> tuple[str, str, int, int, str]:
    return done.kind, done.system, done.index, done.sample, done.prompt_sha256


def _read(folder: Path) -> Iterator[Done]:
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                yield replace(Done(**json.loads(line)), seconds=0.0, token_ids=())  # answers alone are kept
            except (ValueError, TypeError):  # the last line of a process that was killed
                continue
