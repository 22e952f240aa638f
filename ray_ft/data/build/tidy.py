"""What stays of a run beside its set: all that the next run can take over, and nothing else."""

import logging
import shutil
from collections.abc import Collection

import numpy as np

from ray_ft.config import DataConfig
from ray_ft.data.build.job import RESULT
from ray_ft.data.build.plan import GROUPS
from ray_ft.data.ingest.stage import PARSED, Work
from ray_ft.data.run.journal import compact
from ray_ft.data.run.keys import Keys

log = logging.getLogger("ray_ft")


def tidy(work: Work, names: Collection[str], data: DataConfig) -> None:
    """Keep what the next run can take over: no documents of files that are gone, no groups but those named."""
    named = frozenset(names)
    try:
        for folder in (work.folder / GROUPS).iterdir():
            if folder.name not in named or not data.keep_parsed:
                # First what says that the group is whole: half of a removal must not look like a group.
                (folder / RESULT).unlink(missing_ok=True)
                shutil.rmtree(folder, ignore_errors=True)
        if data.keep_parsed:
            live = Keys.of(work.items.keys[i] for i in np.flatnonzero(work.kept.is_there).tolist())
            compact(work.folder / PARSED, live)
        else:
            shutil.rmtree(work.folder, ignore_errors=True)
    except OSError as error:  # the set itself is whole
        log.warning("cannot tidy up %s: %s", work.folder, error.strerror)
