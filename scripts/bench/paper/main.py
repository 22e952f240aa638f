"""`scripts/reproduce_paper`: trains what the paper's tables compare, a table at a time or all of them."""

import argparse
from pathlib import Path

from bench.paper.experiments import read_experiments, trials_of, wanted

DESCRIPTION = """Repeat the paper's tables and figures on stand-in corpora. Trials run side by side, the most telling
ones first; each adds its row to OUTPUT/paper.jsonl as it ends, and a second go makes what is missing."""


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="reproduce_paper", description=DESCRIPTION)
    parser.add_argument("--only", default="", help="tables that are trained for, e.g. T3,T10; all without")
    parser.add_argument("--output", type=Path, default=Path("outputs/paper"), help="folder of rows and logs")
    parser.add_argument("--work", type=Path, help="folder of run folders; OUTPUT/runs without")
    parser.add_argument("--seeds", type=int, help="seeds of a run, at most; as many as its table has without")
    parser.add_argument("--processes", type=int, default=1, help="trials side by side on one GPU")
    parser.add_argument("--minutes", type=float, default=600, help="when to stop, whatever is left")
    parser.add_argument("--tiny", action="store_true", help="a tiny model, two steps and few questions, on the CPU")
    parser.add_argument("--shapes", action="store_true", help="measure all weights' training at 7B in place of trials")
    parser.add_argument("--page", action="store_true", help="measure nothing: OUTPUT's rows, if any, and the page")
    parser.add_argument("--list", action="store_true", help="print the trials in their order")
    parser.add_argument("--trials", action="store_true", help=argparse.SUPPRESS)  # a process that makes them
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """0 if no trial failed."""
    options = parse(arguments)
    output = options.output.resolve()
    work = (options.work or output / "runs").resolve()
    if options.trials:
        from bench.paper import trial

        return trial.main(work, tiny=options.tiny)
    if options.page:
        from bench.paper import page

        page.take_in(output)
        page.write()
        return 0
    if options.shapes:
        from bench.paper.shapes import measure

        return int(bool(measure(output, minutes=options.minutes, tiny=options.tiny)))
    trials = trials_of(wanted(read_experiments(), options.only), seeds=options.seeds)
    if options.list:
        for t in trials:
            print(f"{t.experiment} {t.run}, seed {t.seed}: {t.config} {' '.join(t.overrides)}")
        return 0
    from bench.paper.measure import Measurement

    measurement = Measurement(
        trials, output, work=work, processes=options.processes, minutes=options.minutes, tiny=options.tiny
    )
    return int(bool(measurement.run()))
