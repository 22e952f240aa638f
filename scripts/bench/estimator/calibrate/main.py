"""`scripts/calibrate`: measures the grid of configurations, fits a profile from its CSV, and tables the errors."""

import argparse
import shutil
import tempfile
from pathlib import Path

from bench.estimator.calibrate.chosen import chosen, chosen_plans, predicted
from bench.estimator.calibrate.runs import PlansRun, Run
from bench.estimator.measurements import read_rows

DESCRIPTION = """Measure the estimator's grid through the real training loop, with random weights made on the GPU and
without Ray. Rows of one GPU run on all GPUs at once, each alone on its own; rows of two follow. Every row is added to
OUTPUT/estimator.csv as it ends, one that ran out of memory or failed as well. With --plans the rows are what
`ray-ft plan` chooses for this machine's GPUs and what it refuses, in OUTPUT/plans.csv."""


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
    from bench.estimator.calibrate import held_out
    from bench.estimator.calibrate.errors import compare, report
    from bench.estimator.calibrate.fitting import fit_profile
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
    thrice = list(held_out.predicted_thrice(rows, gpu=gpu))
    held_out.write(thrice, options.output / "held-out.csv")
    text = "\n".join([*held_out.table(thrice), "", report(compare(rows, gpu=gpu, profile=profile))])
    (options.output / "errors.md").write_text(text)
    print(text + (options.output / "profile.yaml").read_text())
    return 0


def tabulate_plans(options: argparse.Namespace) -> int:
    """Print what became of every plan; 1 where one did not hold."""
    from bench.estimator.calibrate.plans import report

    rows = read_rows(options.report)
    print(report(rows))
    return int(not all(row["as_expected"] for row in rows))
