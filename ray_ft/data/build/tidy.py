"""What stays of a run beside its set: all that the next run can take over, and nothing else."""

import logging
import shutil
from collections.abc import Collection

import numpy as np

from ray_ft.config import DataConfig
from ray_ft.data.build.finished import groups_at
from ray_ft.data.ingest.stage import Work
from ray_ft.data.run.keys import Keys
from ray_ft.data.run.place import GROUPS, MADE, PARSED, SCRATCH, TRIES
from ray_ft.data.run.segments import compact
from ray_ft.errors import StorageError
from ray_ft.storage import SETS, Store, read_manifest

log = logging.getLogger("ray_ft")


def tidy(work: Work, names: Collection[str], data: DataConfig, made: str = "") -> None:
    """Keep what the next run can take over: no documents of files that are gone, no groups but those named.

    In storage the groups are the set's own, and other sets than the one `made` go before their files do.
    """
    place = work.shared
    try:
        if place.is_stored:
            _remove_old_sets(place.store, made)
        groups_at(place.below(GROUPS)).keep_only(frozenset(names if data.keep_parsed or place.is_stored else ()))
        if data.keep_parsed:
            live = Keys.of(work.items.keys[i] for i in np.flatnonzero(work.kept.is_there).tolist())
            compact(place.journals, live)
        elif place.is_stored:
            place.store.delete(f"{PARSED}/{found.name}" for found in place.store.below(PARSED).list())
        else:
            shutil.rmtree(work.folder, ignore_errors=True)
        if place.is_stored:
            place.store.delete(f"{TRIES}/{found.name}" for found in place.store.below(TRIES).list())
            place.store.delete(f"{SCRATCH}/{found.name}" for found in place.store.below(SCRATCH).list())
    except OSError as error:  # the set itself is whole
        log.warning("cannot tidy up %s: %s", work.folder, error.strerror)
    except StorageError as error:
        log.warning("cannot tidy up: %s", error)


def _remove_old_sets(store: Store, made: str) -> None:
    """Remove the manifests of other sets, and what was made for them alone."""
    own, kept = store.name_of(made), {part.object for part in read_manifest(made).values()}
    sets = [f"{SETS}/{found.name}" for found in store.below(SETS).list()]
    store.delete(name for name in sets if not name.startswith(f"{own}/"))
    store.delete(name for name in (f"{MADE}/{f.name}" for f in store.below(MADE).list()) if name not in kept)
