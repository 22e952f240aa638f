"""`scripts/calibrate`: measures the grid of configurations, fits a profile from its CSV, and tables the errors."""

import argparse
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bench import grid
from bench.configuration import Configuration, to_values
from bench.contender import versions
from bench.main import num_gpus
from bench.measurements import COLUMNS, PLAN_COLUMNS, Row, append_row, is_finished, read_rows, with_totals, write_rows
from bench.workers import Workers

if TYPE_CHECKING:
    from bench.plans import Planned

Thing = TypeVar("Thing")

DESCRIPTION = """Measure the estimator's grid through the real training loop, with random weights made on the GPU and
without Ray. Rows of one GPU run on all GPUs at once, each alone on its own; rows of two follow. Every row is added to
OUTPUT/estimator.csv as it ends, one that ran out of memory or failed as well. With --plans the rows are what
`ray-ft plan` chooses for this machine's GPUs and what it refuses, in OUTPUT/plans.csv."""

GRID_CSV, PLANS_CSV, LAYERS_TO_COMPILE = "estimator.csv", "plans.csv", 2
PAUSE_SECONDS = 15.0  # no new row is begun so close to the end


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="calibrate", description=DESCRIPTION)
    parser.add_argument("--output", type=Path, default=Path("outputs/calibrate"), help="folder of the CSV")
    parser.add_argument("--plans", action="store_true", help="run what plans choose and refuse, in place of the grid")
    parser.add_argument("--budget", type=float, default=3600, help="seconds; rows begin in the order of their worth")
    parser.add_argument("--share-of-pairs", type=float, default=0.4, help="of the budget, kept for rows of two GPUs")
    parser.add_argument("--resume", action="store_true", help="leave out rows that the CSV has already")
    parser.add_argument("--only", default="*", help="patterns on names, e.g. '*qlora*,Qwen2.5-7B*'")
    parser.add_argument("--tiny", action="store_true", help="a tiny model, on the CPU where there is no GPU")
    parser.add_argument("--timeout", type=float, default=100, help="seconds for a row, compilation included")
    parser.add_argument(
        "--precompile", type=int, default=0, help="processes per GPU that first fill the compiler's cache; 0: none"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="CSV",
        help="measure nothing: fit OUTPUT/profile.yaml to a grid's CSV and table errors; with --plans, table these",
    )
    parser.add_argument("--list", action="store_true", help="print the rows and what is predicted for them")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """0 if every row was measured or ran out of memory, as it may."""
    options = parse(arguments)
    if options.list:
        return show(options)
    if options.report:
        return tabulate_plans(options) if options.plans else fit(options)
    options.output.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="calibrate-"))
    try:
        run = PlansRun(options, scratch=scratch) if options.plans else Run(options, scratch=scratch)
        run.measure()
        return int(bool(run.failed))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def show(options: argparse.Namespace) -> int:
    """The rows as the estimator sees them, on H200s where there is no GPU to ask."""
    runs = {run.configuration: run for run in chosen_plans(options, gpu="H200")} if options.plans else {}
    for configuration in runs or chosen(options):
        row = predicted(configuration, gpu="H200")
        about = row.get("prediction_error") or (
            f"{row['predicted_device_bytes'] / 2**30:6.1f} GiB at {row['predicted_phase']}, "
            f"{row['predicted_seconds']:.2f} s{'' if row['predicted_fits'] else ', does not fit'}"
        )
        role = f"{runs[configuration].case.name}, {runs[configuration].role}: " if runs else ""
        print(f"{role + configuration.name:{80 if runs else 55}} {about}")
    return 0


def fit(options: argparse.Namespace) -> int:
    """Write the profile that a CSV speaks for and the table of errors; 1 where the CSV tells nothing of a known GPU."""
    from bench.errors import compare, report
    from bench.fitting import fit_profile
    from ray_ft.hardware import GPUS, catalogue_name
    from ray_ft.planning.profile import save_profiles

    rows = read_rows(options.report)
    measured = [row for row in rows if row["outcome"] == "ok"]
    gpu = catalogue_name(measured[0]["gpu"], measured[0].get("gpu_bytes", 0) / 2**20) if measured else None
    if gpu not in GPUS:
        raise SystemExit(f"--report: {options.report} has no row that was measured on a GPU that the catalogue knows")
    assert gpu is not None
    options.output.mkdir(parents=True, exist_ok=True)
    profile = fit_profile(rows, gpu=gpu, source=f"{len(measured)} runs of the grid ({options.report.name})")
    save_profiles({gpu: profile}, options.output / "profile.yaml")
    text = report(compare(rows, gpu=gpu, profile=profile))
    (options.output / "errors.md").write_text(text)
    print(text + (options.output / "profile.yaml").read_text())
    return 0


def tabulate_plans(options: argparse.Namespace) -> int:
    """Print what became of every plan; 1 where one did not hold."""
    from bench.plans import report

    rows = read_rows(options.report)
    print(report(rows))
    return int(not all(row["as_expected"] for row in rows))


def chosen(options: argparse.Namespace) -> list[Configuration]:
    every = grid.TINY if options.tiny else (*grid.ONE_GPU, *grid.TWO_GPUS)
    return matching(options, every, names=lambda c: (c.name,))


def chosen_plans(options: argparse.Namespace, *, gpu: str) -> "list[Planned]":
    from bench.plans import CASES, TINY, planned_runs

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
    from bench.predict import predict

    try:
        return predict(configuration, gpu=gpu)
    except Exception as error:
        return {"prediction_error": f"{type(error).__name__}: {error}"[:300]}


class Run:
    """One go at the grid, within a budget of seconds."""

    csv, columns = GRID_CSV, COLUMNS

    def __init__(self, options: argparse.Namespace, *, scratch: Path) -> None:
        self.options, self.scratch, self.path = options, scratch, options.output / self.csv
        self.began = time.monotonic()
        self.gpus = list(range(num_gpus()))
        self.machine = about_machine(options, bool(self.gpus))
        self.failed: list[str] = []
        self.lock = threading.Lock()
        if self.path.is_file() and not options.resume:
            raise SystemExit(f"{self.path} is there already: --resume goes on from it, another --output begins anew")
        earlier = [row for row in read_rows(self.path) if is_finished(row)]
        write_rows(self.path, earlier, columns=self.columns)
        done = {row["name"] for row in earlier}
        wanted = [c for c in self.configurations() if c.name not in done]
        self.alone = deque(c for c in wanted if c.num_gpus == 1)
        self.pairs = deque(c for c in wanted if c.num_gpus > 1 and (len(self.gpus) >= c.num_gpus or options.tiny))
        self.singles = [self._workers([gpu]) for gpu in self.gpus] or [self._workers([])]
        self.pair = self._workers(self.gpus[:2], num=2)

    def configurations(self) -> list[Configuration]:
        """What is to be measured, the most worthwhile first."""
        return chosen(self.options)

    def complete(self, row: Row) -> Row:
        """A measured row with what only this run knows of it."""
        return row

    def measure(self) -> None:
        """Rows of one GPU until the pairs' share begins, the pairs, and again rows of one GPU while there is time."""
        budget, share = self.options.budget, self.options.share_of_pairs
        if self.options.precompile and self.gpus:
            self.precompile(until=0.25 * budget)
        self.on_all(self.alone, until=budget * (1 - share) if self.pairs else budget)
        for workers in self.singles:
            workers.stop()  # its GPU has to be empty
        self.take_from(self.pairs, self.pair, until=budget)
        self.pair.stop()
        self.on_all(self.alone, until=budget)
        for workers in self.singles:
            workers.stop()
        left = [configuration.name for configuration in (*self.alone, *self.pairs)]
        print(f"{len(read_rows(self.path))} rows in {self.path}; {len(self.failed)} failed, {len(left)} not begun")

    def precompile(self, *, until: float) -> None:
        """Fill the compiler's cache: a layer compiles alike whatever the number of layers around it."""
        compiled = {
            (c.model, c.strategy, c.rank, c.sequence, c.micro_batch, c.checkpointing, c.accumulation > 1): replace(
                c, layers=LAYERS_TO_COMPILE, zero_stage=0, num_gpus=1
            )
            for c in (*reversed(self.pairs), *reversed(self.alone))
            if c.zero_stage < 3
        }
        waiting = deque(reversed(compiled.values()))
        farm = [
            self._workers([gpu], suffix=f"compile-{number}", few_threads=True)
            for number in range(self.options.precompile)
            for gpu in self.gpus
        ]
        stop_at = min(until, self.options.budget)

        def compile_some(workers: Workers) -> None:
            while time.monotonic() - self.began < stop_at and (configuration := pop(waiting, self.lock)) is not None:
                left = stop_at - (time.monotonic() - self.began)
                workers.run(configuration, predicted_seconds=None, timeout=min(left, self.options.timeout))
            workers.stop()

        in_threads(compile_some, farm)
        print(f"{self.elapsed}: compiled, {len(waiting)} of {len(compiled)} left out", flush=True)

    def on_all(self, waiting: deque[Configuration], *, until: float) -> None:
        """Take rows from one queue on every GPU at once."""
        in_threads(lambda workers: self.take_from(waiting, workers, until=until), self.singles)

    def take_from(self, waiting: deque[Configuration], workers: Workers, *, until: float) -> None:
        while (left := until - (time.monotonic() - self.began)) > PAUSE_SECONDS:
            configuration = pop(waiting, self.lock)
            if configuration is None:
                return
            # What has begun may run over its share, but not over the budget.
            left = self.options.budget - (time.monotonic() - self.began)
            self.add(configuration, workers, timeout=min(self.options.timeout, left))

    def add(self, configuration: Configuration, workers: Workers, *, timeout: float) -> None:
        """Measure one row and write it."""
        about = predicted(configuration, gpu=self.machine["catalogue"])
        found = workers.run(configuration, predicted_seconds=about.get("predicted_seconds"), timeout=timeout)
        row = with_totals({"name": configuration.name, **to_values(configuration), **about, **found})
        row = self.complete(row)
        machine = {key: value for key, value in self.machine.items() if key != "catalogue"}
        with self.lock:
            append_row(self.path, row | machine, columns=self.columns)
            if row["outcome"] == "error":
                self.failed.append(configuration.name)
            print(f"{self.elapsed}: {one_line(row)}", flush=True)

    @property
    def elapsed(self) -> str:
        return f"{time.monotonic() - self.began:5.0f} s"

    def _workers(self, gpus: list[int], *, num: int = 1, suffix: str = "", few_threads: bool = False) -> Workers:
        name = "-".join([*map(str, gpus), str(num), suffix])
        folder = self.scratch if suffix else self.options.output
        return Workers(
            gpus, num=num, folder=folder, scratch=self.scratch / name, few_threads=few_threads or self.options.tiny
        )


class PlansRun(Run):
    """The same for what plans choose and refuse."""

    csv, columns = PLANS_CSV, (*PLAN_COLUMNS, *COLUMNS)

    def configurations(self) -> list[Configuration]:
        gpu = "H200" if self.machine["catalogue"] == "cpu" else self.machine["catalogue"]
        self.plans = {run.configuration.name: run for run in chosen_plans(self.options, gpu=gpu)}
        return [run.configuration for run in self.plans.values()]

    def complete(self, row: Row) -> Row:
        from bench.plans import judged

        return judged(row | self.plans[row["name"]].columns())


def about_machine(options: argparse.Namespace, has_gpus: bool) -> dict[str, Any]:
    """GPU, its memory as the driver says, and versions."""
    from ray_ft.hardware import catalogue_name

    found: dict[str, Any] = {"gpu": "cpu", "catalogue": "cpu", "versions": versions()}
    if has_gpus:
        import subprocess

        command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
        name, mib = subprocess.check_output(command, text=True).splitlines()[0].rsplit(",", 1)
        found |= {"gpu": name.strip(), "gpu_bytes": int(float(mib) * 2**20)}
        found["catalogue"] = catalogue_name(name, float(mib)) or name.strip()
    return found


def pop(waiting: deque[Configuration], lock: threading.Lock) -> Configuration | None:
    with lock:
        return waiting.popleft() if waiting else None


def in_threads(work: Callable[[Workers], None], every: list[Workers]) -> None:
    threads = [threading.Thread(target=work, args=(workers,)) for workers in every]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def one_line(row: dict[str, Any]) -> str:
    """Predicted beside measured, for the terminal."""
    head = f"{row['name']:52} {row['row_seconds']:4.0f} s"
    if row["outcome"] != "ok":
        return f"{head}  predicted {gib(row.get('predicted_device_bytes'))}, {row['outcome']}: {row['error'][:150]}"
    return (
        f"{head}  device {gib(row.get('measured_device_bytes'))} (predicted {gib(row.get('predicted_device_bytes'))}), "
        f"allocated {gib(row.get('measured_allocated_bytes'))} ({gib(row.get('predicted_allocated_bytes'))}), "
        f"{row['measured_seconds']:.3f} s ({row.get('predicted_seconds') or float('nan'):.3f}), "
        f"left {row['left_bytes'] / 2**20:.0f} MiB"
    )


def gib(num_bytes: float | None) -> str:
    return "-" if num_bytes is None else f"{num_bytes / 2**30:.2f}"
