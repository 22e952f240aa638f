"""What each step of prepare takes of whatever is measured."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def measured_steps(names: Iterable[str], **meters: Callable[[], float]) -> Iterator[Mapping[str, Mapping[str, float]]]:
    """By the name of a function of `ray_ft.data.prepare`: its "seconds" of wall time, and what each meter rose by."""
    from ray_ft.data import prepare

    all_meters = {"seconds": time.monotonic, **meters}
    taken: dict[str, dict[str, float]] = {}

    def watched(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            before = {what: read() for what, read in all_meters.items()}
            try:
                return step(*arguments, **options)
            finally:
                taken[name] = {what: read() - before[what] for what, read in all_meters.items()}

        return call

    kept = {name: getattr(prepare, name) for name in names}
    for name, step in kept.items():
        setattr(prepare, name, watched(name, step))
    try:
        yield taken
    finally:
        for name, step in kept.items():
            setattr(prepare, name, step)
