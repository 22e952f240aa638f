"""How prepare hands work to the cluster: a Ray Data job over rows, whose results come as they are ready."""

import gc
import json
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from ray_ft.errors import RayFTError
from ray_ft.quiet import quiet_ray_data
from ray_ft.storage import Store, is_uri

MAX_TASKS, TASKS_PER_CPU = 1000, 8  # of one job
YOUNG_OBJECTS = 100_000  # that a process may make before it looks for cycles among them


def run_tasks(
    rows: Iterable[dict[str, Any]], function: Any, job: Any, *, folder: str | Path, retries: int | None = None
) -> Iterator[str]:
    """What the function says of each row, as it comes.

    A task takes some rows, one after another; there are as many tasks at a time as the cluster has processors at the
    moment, and a task's process serves the next ones too. What a row's "work" holds travels by a file in `folder`,
    which all nodes see, or in an object below a URI.
    """
    import ray

    with quiet_ray_data(), written(rows, folder) as places:
        more = {} if retries is None else {"max_retries": retries}
        tasks = [{"rows": json.dumps(some)} for some in in_tasks(places, num_cpus())]
        dataset = ray.data.from_items(tasks, override_num_blocks=len(tasks))
        dataset = dataset.flat_map(_run, fn_kwargs={"function": function, "job": job}, **more)
        try:
            for row in dataset.iter_rows():
                yield row["result"]
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, RayFTError):  # a task could not even read its work
                raise error.cause from None
            raise


def in_tasks(rows: Sequence[Any], num_cpus: int) -> list[Sequence[Any]]:
    """The rows of each task: one where they are few, and never more tasks than the driver can look after.

    Each costs it some 7 ms, so a task for every row would be a limit for any cluster. Rows that stand next to each
    other, the largest of all among them, go to different tasks.
    """
    number = min(len(rows), max(MAX_TASKS, TASKS_PER_CPU * num_cpus))
    return [rows[i::number] for i in range(number)]


@contextmanager
def written(rows: Iterable[dict[str, Any]], folder: str | Path) -> Iterator[list[dict[str, Any]]]:
    """The rows with their "work" in a file below `folder` instead of memory; `with_work` reads it where it is done."""
    name = f"tasks-{uuid.uuid4().hex}"
    if not is_uri(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        with _written(rows, Path(folder) / name) as (_, places):
            yield places
        return
    store = Store(str(folder))
    with tempfile.TemporaryDirectory() as here, _written(rows, Path(here) / name) as (path, places):
        if places:
            store.send(name, path)
        try:
            yield [{**place, "file": store.uri_of(name)} for place in places]
        finally:
            store.delete([name])


@contextmanager
def _written(rows: Iterable[dict[str, Any]], path: Path) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    places = []
    try:
        with path.open("wb") as stream:
            for row in rows:
                start = stream.tell()
                stream.write(row["work"])
                others = {key: value for key, value in row.items() if key != "work"}
                places.append({**others, "file": str(path), "start": start, "size": len(row["work"])})
        yield path, places
    finally:
        path.unlink(missing_ok=True)


def with_work(row: dict[str, Any]) -> dict[str, Any]:
    """A row as it was before it was written; one that never was stays as it is."""
    if "file" not in row:
        return row
    if is_uri(row["file"]):
        return {**row, "work": Store(row["file"]).read("", row["start"], row["start"] + row["size"])}
    with Path(row["file"]).open("rb") as stream:
        stream.seek(row["start"])
        return {**row, "work": stream.read(row["size"])}


def _run(task: dict[str, Any], *, function: Any, job: Any) -> Iterator[dict[str, Any]]:
    for row in json.loads(task["rows"]):
        with rare_collections():
            made: dict[str, Any] = function(with_work(row), job=job)
        yield made


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
