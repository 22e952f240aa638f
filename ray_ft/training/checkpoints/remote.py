"""Checkpoints beside the run folder: sent to any pyarrow or fsspec URI in the background, and fetched from there.

A checkpoint's record is sent last and names every file with its size, so one that was cut off is never taken for whole.
Storage that cannot be reached is tried again while training goes on; only the newest checkpoint waits.
"""

import json
import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from ray_ft.errors import TrainingError, first_line
from ray_ft.storage import joined, open_filesystem
from ray_ft.training.checkpoints.files import damage
from ray_ft.training.checkpoints.record import (
    FOLDER,
    LEFTOVER,
    RECORD,
    Checkpoint,
    complete_checkpoints,
    folder_name,
    remove,
)

log = logging.getLogger("ray_ft")

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
CLOSE_SECONDS = 600.0  # that the end of a run waits for storage


class CheckpointStore:
    """The checkpoints of one run under a URI, through fsspec's interface."""

    def __init__(self, fs: Any, root: str, *, uri: str) -> None:
        self.fs, self.root, self.uri = fs, PurePosixPath(root), uri

    def send(self, folder: Path) -> None:
        """Copy a complete local checkpoint; its record goes last."""
        record = (folder / RECORD).read_bytes()
        target = self.root / folder.name
        for name in sorted(json.loads(record)["files"]):
            self.fs.makedirs(str((target / name).parent), exist_ok=True)
            self.fs.put_file(str(folder / name), str(target / name))
        self.fs.pipe_file(str(target / RECORD), record)

    def records(self) -> dict[str, dict[str, Any]]:
        """Record by folder name of every checkpoint that is whole, oldest first."""
        if not self.fs.exists(str(self.root)):
            return {}
        found = {}
        for path in sorted(str(entry) for entry in self.fs.ls(str(self.root), detail=False)):
            folder = self.root / PurePosixPath(path).name
            try:
                record = json.loads(self.fs.cat_file(str(folder / RECORD)))
                whole = all(self.fs.size(str(folder / name)) == size for name, size in record["files"].items())
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, KeyError):
                continue
            if whole:
                found[folder.name] = record
        return found

    def fetch(self, name: str, record: dict[str, Any], target: Path) -> str | None:
        """Copy a checkpoint here; it appears under `target` by a rename. What is wrong with it, where it does not."""
        partial = target.with_name(f"{LEFTOVER}{name}")
        shutil.rmtree(partial, ignore_errors=True)
        for file in record["files"]:
            (partial / file).parent.mkdir(parents=True, exist_ok=True)
            self.fs.get_file(str(self.root / name / file), str(partial / file))
        (partial / RECORD).write_text(json.dumps(record, indent=1) + "\n")
        if (why := damage(partial, record)) is not None:
            shutil.rmtree(partial, ignore_errors=True)
            return why
        remove(target)
        partial.rename(target)
        return None

    def keep_only(self, names: set[str]) -> None:
        """Delete the other checkpoints, their records first."""
        for name in self.records():
            if name not in names:
                self.fs.rm_file(str(self.root / name / RECORD))
                self.fs.rm(str(self.root / name), recursive=True)

    def clear(self) -> None:
        """Delete all of the run's checkpoints."""
        self.keep_only(set())


def open_store(uri: str | None, run_path: str | Path) -> CheckpointStore | None:
    """Where a run's checkpoints go beside its folder: `uri`/<name of the run's folder>; None without a URI."""
    if uri is None:
        return None
    where = joined(uri, Path(run_path).name)
    fs, root = open_filesystem(where, "train.checkpoint_uri")
    return CheckpointStore(fs, root, uri=where)


def fetch_newest(store: CheckpointStore, run_path: str | Path) -> Checkpoint | None:
    """Copy the newest sound checkpoint into the run folder, and the best one until then; None where there is none."""
    try:
        records = store.records()
        for name, record in reversed(records.items()):
            if (found := fetch(store, name, run_path)) is not None:
                if (best := _best(record, records)) is not None and best != name:
                    fetch(store, best, run_path)
                return found
    except Exception as error:  # whatever the storage's library raises
        raise TrainingError(f"cannot read checkpoints from {store.uri}: {first_line(error)}") from error
    if records:
        raise TrainingError(
            f"none of the {len(records)} checkpoints in {store.uri} is sound; start over with `--force`"
        )
    return None


def fetch(store: CheckpointStore, name: str, run_path: str | Path) -> Checkpoint | None:
    """Copy one checkpoint into the run folder; None where it is not there, or not what was written."""
    record = store.records().get(name)
    if record is None:
        return None
    folder = Path(run_path) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    if (why := store.fetch(name, record, folder / name)) is not None:
        log.warning("%s in %s was passed over: %s", name, store.uri, why)
        return None
    return next((c for c in complete_checkpoints(run_path) if c.path.name == name), None)


def _best(record: dict[str, Any], records: dict[str, dict[str, Any]]) -> str | None:
    """Folder of the best checkpoint when `record` was written, among `records`."""
    if "best_step" in record:
        name = folder_name(record["best_step"])
        return name if name in records else None
    losses = {name: r["validation_loss"] for name, r in records.items() if r.get("validation_loss") is not None}
    return min(losses, key=lambda name: float(losses[name]), default=None)


class Uploader:
    """A thread that sends the newest checkpoint, again and again until it is there. `wait` is for tests."""

    def __init__(
        self, store: CheckpointStore, *, keep: int, wait: Callable[[threading.Event, float], Any] | None = None
    ) -> None:
        self.sending: set[Path] = set()
        self._store, self._keep = store, keep
        self._wait = wait or (lambda event, seconds: event.wait(seconds))
        self._next: tuple[Path, str | None] | None = None
        self._changed = threading.Condition()
        self._newer = threading.Event()  # something newer waits, so the pause between two tries may end
        self._closed = False
        self._away = False  # the last try failed, and that was said
        self._warnings: list[str] = []
        self._thread = threading.Thread(target=self._work, name="checkpoint-upload", daemon=True)
        self._thread.start()

    def send(self, folder: Path, *, best: str | None) -> None:
        """Send this one next, in place of one that still waits; `best` names the one to keep beside the newest."""
        with self._changed:
            self._next = folder, best
            self._newer.set()
            self._changed.notify_all()

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Wait until everything is sent, for so long."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._next is not None or self.sending:
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    self._warnings.append(f"the last checkpoint could not be sent to {self._store.uri}")
                    break
            self._closed = True
            self._newer.set()
            self._changed.notify_all()

    def take_warnings(self) -> list[str]:
        """What went wrong since the last call."""
        warnings, self._warnings = self._warnings, []
        return warnings

    def _work(self) -> None:
        while True:
            with self._changed:
                while self._next is None and not self._closed:
                    self._changed.wait()
                if self._next is None or self._closed:
                    return
                (folder, best), self._next = self._next, None
                self.sending = {folder} if best is None else {folder, folder.with_name(best)}
                self._newer.clear()
            self._send_until_it_is_there(folder, best)
            with self._changed:
                self.sending = set()
                self._changed.notify_all()

    def _send_until_it_is_there(self, folder: Path, best: str | None) -> None:
        pause = FIRST_WAIT_SECONDS
        while True:
            try:
                if best is not None and best != folder.name and best not in self._store.records():
                    self._store.send(folder.with_name(best))  # a newer one had taken its place
                self._store.send(folder)
                newest = sorted({*self._store.records()})[-self._keep :]
                self._store.keep_only({*newest, folder.name, *([best] if best else [])})
                if self._away:
                    self._warnings.append(f"{self._store.uri} can be reached again; {folder.name} is there")
                self._away = False
                return
            except Exception as error:  # whatever the storage's library raises; training does not depend on it
                if not self._away:
                    what = f"cannot send {folder.name} to {self._store.uri}"
                    self._warnings.append(f"{what}, trying again: {_cause(error)}")
                self._away = True
            self._wait(self._newer, pause)
            if self._next is not None or self._closed:  # a newer one takes its place
                return
            pause = min(2 * pause, LONGEST_WAIT_SECONDS)


def _cause(error: Exception) -> str:
    return first_line(error) or type(error).__name__
