"""Follows runs: each new checkpoint's adapter, and what the run writes at its end, become versions of a name."""

import asyncio
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ray_ft.errors import RayFTError
from ray_ft.serving.registry.desk import Desk
from ray_ft.serving.registry.versions import CONFIG_FILE

logger = logging.getLogger(__name__)

WATCH_SECONDS = 2.0
TRIES = 3
"""Times that a checkpoint is tried whose adapter cannot be copied; training may be deleting it."""
_STEP = re.compile(r"step-(\d+)")


@dataclass(frozen=True)
class Found:
    """An adapter that a run has written."""

    folder: Path
    step: int
    mark: int  # when its files came to be there, ns: a run that starts over writes the same step again


class Watch:
    """Publishes what runs write. Belongs to the event loop of the desk."""

    def __init__(self, desk: Desk, runs: Mapping[str, str]) -> None:
        self._desk = desk
        self._runs = {name: Path(run).expanduser() for name, run in runs.items()}
        self._tries: dict[tuple[str, Found], int] = {}

    async def follow(self) -> None:
        """Look again and again; ends by being cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(WATCH_SECONDS)

    async def look(self) -> None:
        """Publish what is new, of each run the oldest first."""
        for name, run in self._runs.items():
            for found in await asyncio.to_thread(list, adapters_of_run(run)):
                if self._tries.get((name, found), 0) < TRIES:
                    await self._publish(name, run, found)

    async def _publish(self, name: str, run: Path, found: Found) -> None:
        key = (name, found)
        self._tries[key] = self._tries.get(key, 0) + 1
        try:
            version = await self._desk.deploy(name, found.folder, step=found.step, run=run.name, is_trusted=True)
        except (RayFTError, OSError) as error:
            logger.warning("%s of the run %s was not published: %s", found.folder.name, run, error)
            return
        self._tries[key] = TRIES
        logger.info("%s@step-%d is %s: version %s", name, found.step, version.state, version.id)


def adapters_of_run(run: Path) -> Iterator[Found]:
    """Adapters in a run folder, the oldest first: of complete checkpoints, and the run's own once it has ended.

    A checkpoint appears by a rename when all of its files are there.
    """
    steps = [
        (int(match[1]), folder) for folder in run.glob("checkpoints/step-*") if (match := _STEP.fullmatch(folder.name))
    ]
    for step, folder in sorted(steps):
        if (found := _found(folder / "adapter", step)) is not None and (folder / "checkpoint.json").is_file():
            yield found
    try:
        tuned = json.loads((run / "tuned_model.json").read_text())["artifact"]
        if tuned["is_adapter"] and (found := _found(run / "adapter", int(tuned["steps"]))) is not None:
            yield found
    except (OSError, ValueError, KeyError, TypeError):
        return  # it has not ended


def _found(folder: Path, step: int) -> Found | None:
    try:
        return Found(folder, step, (folder / CONFIG_FILE).stat().st_mtime_ns)
    except OSError:
        return None
