"""How prepare hands work to the cluster: a Ray Data job over rows, whose results come as they are ready."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from ray_ft.quiet import quiet_ray_data

YOUNG_OBJECTS = 100_000  # that a process may make before it looks for cycles among them


def run_tasks(rows: list[dict[str, Any]], function: Any, job: Any, *, retries: int | None = None) -> Iterator[str]:
    """What the function says of each row, as it comes.

    Rows are tasks, as many at a time as the cluster has processors at the moment, and a task's process serves the next
    ones too.
    """
    import ray

    with quiet_ray_data():
        more = {} if retries is None else {"max_retries": retries}
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
        dataset = dataset.map(_run, fn_kwargs={"function": function, "job": job}, **more)
        for row in dataset.iter_rows():
            yield row["result"]


def _run(row: dict[str, Any], *, function: Any, job: Any) -> dict[str, Any]:
    with rare_collections():
        made: dict[str, Any] = function(row, job=job)
        return made


@contextmanager
def rare_collections() -> Iterator[None]:
    """Let Python look for cycles a hundredth as often: a task makes millions of rows that live until it ends.

    Looking through them again and again takes a tenth of its time, and through what was imported another part.
    """
    _set_apart_what_was_imported()
    before = gc.get_threshold()
    gc.set_threshold(YOUNG_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@cache
def _set_apart_what_was_imported() -> None:
    gc.freeze()


def num_cpus() -> int:
    """Processors of the cluster at the moment."""
    import ray

    return int(ray.cluster_resources().get("CPU", 1))
