"""How prepare hands work to the cluster: a Ray Data job over rows, whose results come as they are ready."""

from collections.abc import Iterator
from typing import Any

from ray_ft.quiet import quiet_ray_data


def run_tasks(rows: list[dict[str, Any]], function: Any, job: Any, *, retries: int | None = None) -> Iterator[str]:
    """What the function says of each row, as it comes.

    Rows are tasks, as many at a time as the cluster has processors at the moment, and a task's process serves the next
    ones too.
    """
    import ray

    with quiet_ray_data():
        more = {} if retries is None else {"max_retries": retries}
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map(function, fn_kwargs={"job": job}, **more)
        for row in dataset.iter_rows():
            yield row["result"]


def num_cpus() -> int:
    """Processors of the cluster at the moment."""
    import ray

    return int(ray.cluster_resources().get("CPU", 1))
