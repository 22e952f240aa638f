"""The last step of prepare: groups of documents, each written once into a folder named by all it is made of."""

import logging
import pickle
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from ray_ft.config import DataConfig
from ray_ft.data.build.job import RESULT, GroupJob, GroupResult, Placed
from ray_ft.data.build.plan import GROUPS
from ray_ft.data.build.publish import published_shard
from ray_ft.data.build.task import requests_of, write_group
from ray_ft.data.generation.requests import ask_engine
from ray_ft.data.ingest.items import size_of
from ray_ft.data.ingest.stage import PARSED, Work
from ray_ft.data.run.journal import compact
from ray_ft.data.run.progress import Progress
from ray_ft.data.run.tasks import run_tasks
from ray_ft.engines import Engine
from ray_ft.errors import DataError

log = logging.getLogger("ray_ft")


def write_groups(groups: Mapping[str, list[Placed]], job: GroupJob, generator: Engine | None) -> GroupResult:
    """Write the groups that no earlier run finished; returns the sum of all."""
    folder = Path(job.output_path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror}") from None
    left = {name: group for name, group in groups.items() if not (folder / name / RESULT).is_file()}
    sizes = [size_of(placed.item) for group in left.values() for placed in group]
    progress = Progress("wrote", num_files=len(sizes), num_bytes=sum(sizes))
    # The largest first: no long task is left for the end, when most processors have nothing to do.
    ordered = sorted(left.items(), key=lambda named: -sum(size_of(placed.item) for placed in named[1]))
    rows = [{"name": name, "work": pickle.dumps(group)} for name, group in ordered]
    if rows:
        if generator is not None:
            assert job.answers is not None
            answers = ask_engine(
                rows,
                partial(requests_of, job=job),
                answers=job.answers,
                engine=generator,
                model_path=job.model_path,
                chat_template=job.chat_template,
            )
            job = replace(job, answers=answers)
        for result in map(GroupResult.from_text, run_tasks(rows, write_group, job)):
            if result.error:
                raise DataError(f"prepare stopped: {result.error}")
            progress.add(result.num_items, result.num_bytes, result.files + result.records)
    total = GroupResult()
    for number, name in enumerate(groups):
        one = GroupResult.from_text((folder / name / RESULT).read_text(encoding="utf-8"))
        total.add(replace(one, shards=[published_shard(shard, number) for shard in one.shards]))
    return total


def tidy(work: Work, groups: Mapping[str, list[Placed]], data: DataConfig) -> None:
    """Keep what the next run can take over: no documents of files that are gone, no groups of another cut."""
    try:
        for folder in (work.folder / GROUPS).iterdir():
            if folder.name not in groups or not data.keep_parsed:
                # First what says that the group is whole: half of a removal must not look like a group.
                (folder / RESULT).unlink(missing_ok=True)
                shutil.rmtree(folder, ignore_errors=True)
        if data.keep_parsed:
            live = {key for key, kept in zip(work.keys, work.kept, strict=True) if kept.ref}
            compact(work.folder / PARSED, live)
        else:
            shutil.rmtree(work.folder, ignore_errors=True)
    except OSError as error:  # the set itself is whole
        log.warning("cannot tidy up %s: %s", work.folder, error.strerror)
