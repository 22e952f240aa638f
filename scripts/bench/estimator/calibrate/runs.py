"""One go at the grid, or at what plans choose and refuse: rows on all GPUs at once, within a budget of seconds."""

import argparse
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.estimator.calibrate.chosen import chosen, chosen_plans, predicted
from bench.estimator.calibrate.workers import Workers
from bench.estimator.configuration import Configuration, to_values
from bench.estimator.measurements import (
    COLUMNS,
    PLAN_COLUMNS,
    Row,
    append_row,
    is_finished,
    read_rows,
    with_totals,
    write_rows,
)
from bench.timed_steps.processes import num_gpus, versions

GRID_CSV, PLANS_CSV, LAYERS_TO_COMPILE = "estimator.csv", "plans.csv", 2
PAUSE_SECONDS = 15.0  # no new row is begun so close to the end


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
        from bench.estimator.calibrate.plans import judged

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
