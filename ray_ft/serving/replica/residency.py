"""Which versions a copy of the model holds: loaded through the gate when deployed or first asked for, and let go again.

A version is loaded from the endpoint's own copy of its files, in a thread that does not hold up the engine's, several
at once; whoever asks for one meanwhile waits for the same load.
"""

import itertools
import logging
import threading
import time
from collections.abc import Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_ft.engines import LoadedModel
from ray_ft.engines.probe import file_sha256, read_probe, replay
from ray_ft.engines.transformers.adapters import WEIGHTS_FILE
from ray_ft.errors import RayFTError, first_line
from ray_ft.serving.exchange import Verdict
from ray_ft.serving.registry.registry import read_state
from ray_ft.serving.registry.versions import VERSIONS, content_id

logger = logging.getLogger(__name__)

LOADERS = 4
"""Versions that are read at a time."""
RETRY_SECONDS = 30
"""After so long a version that failed for want of memory or the like is tried again."""
NO_PROBE = "no probe.json: nothing was written down when it was trained to compare its answers with"


@dataclass(frozen=True)
class Held:
    """A version as the engine knows it, or why it does not."""

    name: str
    verdict: Verdict
    retry_at: float | None = None  # on the monotonic clock; None: trying again changes nothing


class Residency:
    """The versions that a loaded model holds. Any thread may call."""

    def __init__(self, model: LoadedModel, folder: str | Path, *, arithmetic: str) -> None:
        self._model, self._folder, self._arithmetic = model, Path(folder), arithmetic
        self._held: dict[str, Future[Held]] = {}
        self._lock = threading.Lock()
        self._loads = itertools.count()
        self._pool = ThreadPoolExecutor(LOADERS, thread_name_prefix="adapters")

    def load(self, version: str) -> "Future[Held]":
        """What comes of loading a version, or came of it; never an exception."""
        with self._lock:
            held = self._held.get(version)
            if held is None or (held.done() and _is_due(held.result())):
                held = self._held[version] = self._pool.submit(self._load, version)
            return held

    def sync(self, wanted: Set[str] | None = None) -> None:
        """Begin to load what is deployed, let go of what is not."""
        if wanted is None:
            try:
                wanted = read_state(self._folder).wanted
            except FileNotFoundError:
                return  # the endpoint has stopped
            except (OSError, ValueError, KeyError, TypeError):
                logger.exception("the list of deployed adapters cannot be read")
                return
        with self._lock:
            gone = [self._held.pop(version) for version in self._held.keys() - wanted]
        for held in gone:
            held.add_done_callback(lambda done: self._model.unload_adapter(done.result().name))
        for version in wanted:
            self.load(version)

    def close(self) -> None:
        """Load nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _load(self, version: str) -> Held:
        # The engine keeps a name until its last answer has ended, so each load has its own.
        name = f"{version}#{next(self._loads)}"
        began = time.monotonic()
        try:
            reason, probe = self._through_the_gate(version, name)
            retry_at = None
        except Exception as error:  # whatever is wrong with one adapter is its own
            own = f"adapter {name!r} ({self._folder / VERSIONS / version})"  # nothing to those who ask
            reason, probe = first_line(error).removeprefix(own).lstrip(": "), None
            logger.warning("version %s was not loaded: %s", version, reason)
            retry_at = None if isinstance(error, RayFTError) else time.monotonic() + RETRY_SECONDS
        if reason:
            with suppress(Exception):
                self._model.unload_adapter(name)
        return Held(name, Verdict(reason, probe, round(time.monotonic() - began, 3)), retry_at)

    def _through_the_gate(self, version: str, name: str) -> tuple[str, dict[str, Any]]:
        """Why a version must not answer, or nothing; and what came of its probe."""
        folder = self._folder / VERSIONS / version
        if content_id(folder) != version:
            return "its copy is not what was deployed", {}
        try:
            probe = read_probe(folder)
        except ValueError as error:
            return str(error), {}
        if probe is not None and probe.weights_sha256 != file_sha256(folder / WEIGHTS_FILE):
            return "its weights are not those that its probe.json was written for", {}
        self._model.load_adapter(name, str(folder))
        if probe is None:
            return "", {"note": NO_PROBE}
        found = replay(self._model, name, probe, arithmetic=self._arithmetic)
        if found["passed"]:
            return "", found
        return (
            "it does not answer as it did when it was trained: log-probabilities differ by "
            f"{found['mean_difference']} nats on average, those of the base alone by {found['base_difference']}; "
            f"{found['tolerance']} are allowed",
            found,
        )


def _is_due(held: Held) -> bool:
    return held.retry_at is not None and time.monotonic() >= held.retry_at
