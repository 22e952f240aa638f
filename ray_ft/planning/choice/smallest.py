"""The other way round: the smallest cluster that trains a model in at most so many hours, for every kind of GPU."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ray_ft.artifacts import Estimate, Sizing, Workload
from ray_ft.config import PlanConfig, TrainConfig
from ray_ft.errors import ConfigError, DoesNotFitError
from ray_ft.hardware import GPUS, hardware_for, known_gpu
from ray_ft.models.shape import ModelShape
from ray_ft.planning.choice.candidates import best, search
from ray_ft.planning.choice.choose import make_jobs
from ray_ft.planning.choice.estimate import shortage
from ray_ft.planning.profile import Profile

COUNTS = (1, 2, 4, 8, 16, 24, 32, 48, 64)
"""GPUs that people can rent: parts of a machine of eight, and several of them."""


def smallest_cluster(
    shape: ModelShape,
    *,
    max_hours: float,
    workload: Workload,
    train: TrainConfig,
    plan: PlanConfig,
    notes: Sequence[str] = (),
    profiles: Mapping[str, Profile] | None = None,
) -> Sizing:
    """For every kind of GPU, or plan.gpu's alone, the fewest that train in `max_hours`, and the fastest row on them.

    Raises ConfigError for keys that contradict, DoesNotFitError in one line where no cluster is in time.
    """
    if max_hours <= 0:
        raise ConfigError(f"--max-hours: {max_hours:g} is no time to train in; give hours above 0")
    if train.num_workers is not None:
        raise ConfigError("train.num_workers fixes the number of GPUs that --max-hours asks for; leave it out")
    kinds = [known_gpu(plan.gpu)] if plan.gpu not in (None, "cpu") else list(GPUS)
    counts = [count for count in COUNTS if workload.global_batch_size % count == 0]
    fast, slow = [], []
    for gpu in kinds:
        rows = _Rows(shape, gpu, workload=workload, train=train, plan=plan, profiles=profiles)
        row = _fewest(rows, counts, max_hours)
        if row is not None and row.fits and row.hours <= max_hours:
            fast.append(row)
        elif row is not None:
            slow.append(replace(row, reason=_too_slow(row, max_hours) if row.fits else row.reason))
    if not fast:
        raise _nothing_in_time(slow, max_hours, workload=workload, most=counts[-1])
    cheapest = min(fast, key=lambda row: row.cost)
    said = f"the cheapest run is on {cheapest.num_workers} x {cheapest.gpu}: {cheapest.cost:,.2f} USD"
    return Sizing(
        model=shape.name,
        max_hours=max_hours,
        clusters=tuple(sorted(fast, key=lambda row: (row.num_workers, row.cost))),
        rejected=tuple(sorted(slow, key=lambda row: (not row.fits, row.hours))),
        notes=(*notes, said),
    )


class _Rows:
    """The fastest row on a number of GPUs of one kind; each number is searched once."""

    def __init__(
        self,
        shape: ModelShape,
        gpu: str,
        *,
        workload: Workload,
        train: TrainConfig,
        plan: PlanConfig,
        profiles: Mapping[str, Profile] | None,
    ) -> None:
        self._shape, self._gpu, self._workload = shape, gpu, workload
        self._train, self._plan, self._profiles = train, plan, profiles
        self._found: dict[int, Estimate | None] = {}

    def __call__(self, count: int) -> Estimate | None:
        """None where no micro-batch divides the batch."""
        if count not in self._found:
            self._found[count] = self._search(count)
        return self._found[count]

    def _search(self, count: int) -> Estimate | None:
        hardware = hardware_for(replace(self._plan, gpu=self._gpu, num_gpus=count))
        (job,) = make_jobs(
            self._shape,
            hardware=hardware,
            workload=self._workload,
            train=self._train,
            plan=self._plan,
            profiles=self._profiles,
        )
        rows = search(job, train=replace(self._train, num_workers=count), objective="time")
        fitting = [row for row in rows if row.fits]
        return best(fitting, "time") if fitting else min(rows, key=lambda row: shortage(row, job), default=None)


def _fewest(rows: _Rows, counts: list[int], max_hours: float) -> Estimate | None:
    """The row of the smallest count in time, by bisection, as more GPUs are not slower; else that of the largest."""
    low, high = 0, len(counts) - 1
    while low < high:
        middle = (low + high) // 2
        row = rows(counts[middle])
        if row is not None and row.fits and row.hours <= max_hours:
            high = middle
        else:
            low = middle + 1
    return rows(counts[low])


def _too_slow(row: Estimate, max_hours: float) -> str:
    return f"takes {row.hours:,.1f} of {max_hours:g} hours"


def _nothing_in_time(slow: list[Estimate], max_hours: float, *, workload: Workload, most: int) -> DoesNotFitError:
    fitting = [row for row in slow if row.fits]
    batch = ""
    if most < COUNTS[-1]:
        batch = f" A larger train.global_batch_size lets more than {most} GPUs share it."
    if not fitting:
        return DoesNotFitError(
            f"No cluster of up to {most} GPUs of one kind has the memory.{batch} Try train.strategy.name=qlora or a "
            f"smaller model.max_seq_len than {workload.max_seq_len}."
        )
    near = min(fitting, key=lambda row: row.hours)
    return DoesNotFitError(
        f"No cluster of up to {most} GPUs trains in {max_hours:g} hours; the fastest is {near.num_workers} x "
        f"{near.gpu} with {near.hours:,.1f}.{batch} Fewer epochs or tokens take less time."
    )
