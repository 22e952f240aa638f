"""Errors of every estimator on the same runs, as a page of docs/benchmarks."""

import argparse
import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bench.estimator.compare.published import UNITS, Published, read_published
from bench.estimator.compare.rivals import RIVALS, Run, differences_from_installed, is_made_for
from bench.estimator.compare.stacks import predicted_bytes
from ray_ft.models.shape import load_model_shape

BENCHMARKS = Path(__file__).resolve().parents[4] / "docs/benchmarks"
OURS = "ray_ft"
LIMIT = 0.10  # for software that is not ours


@dataclass(frozen=True)
class Compared:
    """A run with what each estimator says of it, in bytes."""

    name: str
    measured: float
    predicted: dict[str, float] = field(default_factory=dict)
    made_for: frozenset[str] = frozenset()
    """Estimators that claim to know such runs."""

    def error(self, estimator: str) -> float:
        return self.predicted[estimator] / self.measured - 1


def main(arguments: list[str] | None = None) -> int:
    """Write the page; 1 where the formulas of others are not those of the installed packages."""
    parser = argparse.ArgumentParser(prog="scripts/compare_estimators", description=__doc__)
    parser.add_argument("--measured", type=Path, default=BENCHMARKS / "estimator-h200.csv", help="of scripts/calibrate")
    parser.add_argument("--output", type=Path, default=BENCHMARKS / "estimators.md")
    parser.add_argument("--verify", action="store_true", help="compare with the installed DeepSpeed and accelerate")
    parser.add_argument("--trace", type=Path, metavar="PAGE", help="write formulas and traces beside measured peaks")
    options = parser.parse_args(arguments)
    published = read_published()
    if options.verify:
        wrong = [line for row in published if not row.unpredictable for line in differences_from_installed(_run(row))]
        print("\n".join(wrong) or "the formulas are those of the installed packages")
        if wrong:
            return 1
    if options.trace is not None:
        from bench.estimator.compare.traced import trace_page

        options.trace.write_text(trace_page(options.measured), encoding="utf-8")
        print(f"wrote {options.trace}")
        return 0
    options.output.write_text(page(published, measured_runs(options.measured)), encoding="utf-8")
    print(f"wrote {options.output}")
    return 0


def page(published: list[Published], measured: list[Compared]) -> str:
    """The whole page as Markdown."""
    claimed = [compared(row) for row in published if not row.unpredictable]
    blocks = [_INTRODUCTION, "## All estimators on published runs\n\n" + summary(claimed)]
    if measured:
        blocks.append("## All estimators on runs of our own, measured on H200\n\n" + summary(measured))
        blocks.append(_IN_SAMPLE)
        blocks.append(_TABLE_OF_MEASURED + "\n\n" + per_run(measured))
    blocks.append("## Published runs, by row\n\n" + _ABOUT_ROWS + "\n\n" + rows_table(published))
    blocks.append("## The others on the same rows\n\n" + per_run(claimed))
    return "\n\n".join(blocks) + "\n"


def compared(row: Published) -> Compared:
    """A published run that can be predicted."""
    ours = predicted_bytes(row)
    assert ours is not None, f"{row.id} has no profile, so the file must say why"
    return _compared(row.id, row.measured_bytes, ours, _run(row))


def measured_runs(path: Path) -> list[Compared]:
    """Rows of scripts/calibrate that ended well, predicted anew; empty without the file."""
    if not path.is_file():
        return []
    from bench.estimator.measurements import configuration_of, read_rows
    from bench.estimator.predict import asked, estimated
    from ray_ft.hardware import catalogue_name
    from ray_ft.planning.profile import profile_for

    found = []
    for row in read_rows(path):
        gpu = catalogue_name(row["gpu"])
        if row.get("outcome") != "ok" or not row.get("measured_device_bytes") or gpu is None:
            continue
        configuration, profile = configuration_of(row), profile_for(gpu)
        candidate, job = asked(configuration, gpu=gpu, profile=profile)
        ours = float(estimated(configuration, gpu=gpu, profile=profile).memory.device)
        run = Run(job.shape, candidate.strategy, candidate.num_workers)
        found.append(_compared(configuration.name, float(row["measured_device_bytes"]), ours, run))
    return found


def _compared(name: str, measured: float, ours: float, run: Run) -> Compared:
    others = {rival: says(run) for rival, says in RIVALS.items()}
    return Compared(name, measured, {OURS: ours, **others}, frozenset(r for r in RIVALS if is_made_for(r, run)))


def summary(runs: list[Compared]) -> str:
    """One line for each estimator on all runs, and two for each of the others on those that it is made for."""
    lines = [
        f"{len(runs)} runs. Errors are of predicted over measured memory.",
        "",
        "| estimator | runs | median error | 95th percentile | within 10% | most too low | most too high |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_line(name, name, runs) for name in (OURS, *RIVALS)]
    for name in RIVALS:
        some = [run for run in runs if name in run.made_for]
        lines += [_line(f"{name}, where it is made for it", name, some)] if some else []
        lines += [_line(f"{OURS}, there", OURS, some)] if some else []
    return "\n".join(lines)


def _line(title: str, name: str, runs: list[Compared]) -> str:
    errors = [run.error(name) for run in runs]
    sizes = sorted(abs(error) for error in errors)
    near = sum(size <= LIMIT for size in sizes)
    return (
        f"| {title} | {len(runs)} | {statistics.median(sizes):.1%} | {sizes[math.ceil(0.95 * len(sizes)) - 1]:.1%} "
        f"| {near} | {min(0.0, *errors):+.1%} | {max(0.0, *errors):+.1%} |"
    )


def rows_table(published: Iterable[Published]) -> str:
    """Every published row with our prediction, or why there is none."""
    lines = ["| row | model | run | measured | predicted | error | |", "|---|---|---|---|---|---|---|"]
    for row in published:
        ours = predicted_bytes(row)
        unit = UNITS[row.unit]
        predicted = "" if ours is None else f"{ours / unit:.2f}"
        error = "" if ours is None else f"{ours / row.measured_bytes - 1:+.1%}"
        note = f"not claimed: {row.unpredictable}" if row.unpredictable else ""
        if not row.unpredictable and ours is not None and abs(ours / row.measured_bytes - 1) > LIMIT:
            note = "beyond 10%"
        lines.append(
            f"| {row.id} | {row.model.split('/')[-1]} | {_described(row)} | {row.measured:g} {row.unit} {row.metric} "
            f"| {predicted} | {error} | {note} |"
        )
    return "\n".join(lines)


def per_run(runs: Iterable[Compared]) -> str:
    """Errors by run and estimator."""
    names = (OURS, *RIVALS)
    lines = [f"| run | measured GiB | {' | '.join(names)} |", "|---|---|" + "---|" * len(names)]
    for run in runs:
        errors = " | ".join(f"{run.error(name):+.1%}" for name in names)
        lines.append(f"| {run.name} | {run.measured / 2**30:.2f} | {errors} |")
    return "\n".join(lines)


def _run(row: Published) -> Run:
    return Run(load_model_shape(row.model), row.strategy(), row.gpus, pure_bf16=True)


def _described(row: Published) -> str:
    parts = [row.stack, row.method]
    parts += [f"{row.micro_batch}x{row.sequence}"] if row.sequence else []
    parts += [f"{row.gpus} GPUs"] if row.gpus > 1 else []
    parts += ["checkpointing"] if row.checkpointing else []
    return ", ".join([*parts, *sorted(option.replace("_", " ") for option in row.options)])


_INTRODUCTION = """# Estimators of memory

Made by one command, from [published-memory.csv](published-memory.csv) and, where it is there, from the runs that
`scripts/calibrate` measured (`estimator-h200.csv`):

```console
$ scripts/compare_estimators
```

DeepSpeed's estimators count the states of a model that trains in full; they leave activations out. `accelerate
estimate-memory` multiplies the size of the weights; LLaMA-Factory's README has a table by method and size. None of them
takes rows or their length, and only LLaMA-Factory's knows adapters. Each gets what favours it: DeepSpeed's no offload
and its formula for the stage at hand, the other two an even split over the GPUs where the run splits weights; the
table's line for pure bf16 where a run has no fp32 copies. Lines at the end leave out the runs that an estimator is not
made for. `--verify` compares their formulas, as written here, with the packages installed."""

_IN_SAMPLE = """ray_ft's line is in sample here: its profile of the H200, with the share of the driver and the
allocator, was fitted to the first 46 of these runs, and its formulas were corrected by them. The runs of
[plans](estimator-h200.md#the-plan-really-runs) were predicted before they were made."""

_ABOUT_ROWS = """Memory of other people's software: torchtune's README and tutorials, LitGPT's resource tables, PEFT's
documentation, torchtitan's benchmarks. `scripts/bench/estimator/compare/stacks.py` holds what each does differently
from ray_ft, read in its source and not fitted to its rows. Rows that say too little, or whose software does what no
formula here covers, say why; a figure beside such a reason is what the profile gives anyhow. GB are 10^9
bytes and GiB 2^30."""

_TABLE_OF_MEASURED = "By run, of the device as `nvidia-smi` shows it:"
