"""Which rows `scripts/calibrate` is asked for, of the grid or of plans, and what is predicted for them."""

import argparse
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any, TypeVar

from bench.estimator.calibrate import grid
from bench.estimator.configuration import Configuration

if TYPE_CHECKING:
    from bench.estimator.calibrate.plans import Planned

Thing = TypeVar("Thing")


def chosen(options: argparse.Namespace) -> list[Configuration]:
    every = grid.TINY if options.tiny else (*grid.ONE_GPU, *grid.TWO_GPUS)
    return matching(options, every, names=lambda c: (c.name,))


def chosen_plans(options: argparse.Namespace, *, gpu: str) -> "list[Planned]":
    from bench.estimator.calibrate.plans import CASES, TINY, planned_runs

    every = planned_runs(TINY if options.tiny else CASES, gpu=gpu)
    return matching(options, every, names=lambda run: (run.configuration.name, run.case.name, run.role))


def matching(
    options: argparse.Namespace, every: Iterable[Thing], *, names: Callable[[Thing], Iterable[str]]
) -> list[Thing]:
    """What --only asks for, by any of a thing's names."""
    patterns = [pattern.strip() for pattern in options.only.split(",") if pattern.strip()]
    found = [thing for thing in every if any(fnmatch(name, p) for p in patterns for name in names(thing))]
    if not found:
        raise SystemExit(f"--only: nothing matches {options.only!r}; --list shows what there is")
    return found


def predicted(configuration: Configuration, *, gpu: str) -> dict[str, Any]:
    """What the estimator says; where it cannot say anything, the reason: the row is worth measuring all the same."""
    from bench.estimator.predict import predict

    try:
        return predict(configuration, gpu=gpu)
    except Exception as error:
        return {"prediction_error": f"{type(error).__name__}: {error}"[:300]}
