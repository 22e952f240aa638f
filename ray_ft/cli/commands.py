"""The verbs of `ray-ft`: each calls one public function with what was typed and prints what it returns.

A failure becomes one line and an exit code.
"""

import argparse
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ray_ft.cli import exams
from ray_ft.cli.bars import shown_on_stderr
from ray_ft.cli.given import command, load, program
from ray_ft.cli.parser import JOB_VERBS, RESUMED_VERBS, build_parser
from ray_ft.cli.results import (
    print_dry_run,
    print_json,
    print_report,
    print_training_set,
    print_tuned_model,
    shown_path,
)
from ray_ft.errors import ConfigError, RayFTError
from ray_ft.quiet import quiet_libraries


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0, 1 for a failure, 2 for a configuration that cannot work."""
    arguments = build_parser().parse_args(argv)
    if arguments.verb is None:
        build_parser().print_help()
        return 0
    quiet_libraries()  # before any of them is imported
    logging.getLogger("ray_ft").setLevel(logging.DEBUG if arguments.verbose else logging.INFO)
    if arguments.address:
        os.environ["RAY_ADDRESS"] = arguments.address
    try:
        with shown_on_stderr(lines_alone=arguments.verbose):
            return COMMANDS[arguments.verb](arguments)
    except RayFTError as error:
        if arguments.verbose:
            raise
        from ray_ft.config import mask

        print(mask(f"ray-ft {arguments.verb}: {_with_config(str(error), arguments)}"), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        way_on = "; `--resume` goes on from the last checkpoint" if arguments.verb in RESUMED_VERBS else ""
        print(f"ray-ft {arguments.verb}: interrupted{way_on}", file=sys.stderr)
        return 130


def _prepare(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    made = api.prepare(load(arguments), force=arguments.force, retry_quarantined=arguments.retry_quarantined)
    print_json(made) if arguments.json else print_training_set(made)
    return 0


def _inspect(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    about = api.inspect(
        load(arguments), num_examples=max(arguments.examples, 0), dropped=arguments.dropped, path=arguments.to
    )
    if arguments.json:
        print_json(about)
    else:
        from ray_ft.data.report.inspection_text import render

        print(render(about, of_dropped=arguments.dropped))
        if arguments.to:
            print(f"Written to {arguments.to}")
    return 0


def _advise(arguments: argparse.Namespace) -> int:
    from ray_ft import api
    from ray_ft.advising.show import refuse_to_replace, render_advice, write_yaml
    from ray_ft.config import load_config

    overrides = [*arguments.overrides, *([f"goal={arguments.goal}"] if arguments.goal else [])]
    if arguments.write:
        refuse_to_replace(Path(arguments.write))  # before the corpus is read
    made = api.advise(load_config(arguments.config, overrides, draft=True))
    if arguments.write:
        write_yaml(made, Path(arguments.write))
    if arguments.json:
        print_json(made)
        return 0
    print(render_advice(made))
    if arguments.write:
        print(f"Written to {arguments.write}; next: {program()} {shlex.join(['plan', arguments.write])}")
    else:
        print("The configuration that follows from it: --write FILE")
    return 0


def _plan(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    if arguments.max_hours is not None:
        return _plan_backwards(arguments)
    config = load(arguments)
    made = api.plan(config, check=arguments.check)
    if arguments.json:
        print_json(made)
    else:
        from ray_ft.planning.show.table import render_plan

        print(render_plan(made))
        print(f"* as a page with pictures: {config.run_path / 'plan.html'}")
    return 0


def _plan_backwards(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    found = api.smallest_cluster(load(arguments), max_hours=arguments.max_hours)
    if arguments.json:
        print_json(found)
    else:
        from ray_ft.planning.show.table import render_sizing

        print(render_sizing(found))
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    if arguments.dry_run:
        if arguments.resume or arguments.force:
            raise ConfigError("--dry-run trains nothing, so there is nothing to --resume or to --force")
        rehearsed = api.dry_run(load(arguments))
        print_json(rehearsed) if arguments.json else print_dry_run(rehearsed)
        return 0
    made = api.train(load(arguments), resume=arguments.resume, force=arguments.force)
    print_json(made) if arguments.json else print_tuned_model(made)
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    if arguments.plan:
        return exams.plan_exam(arguments)
    made = api.evaluate(load(arguments), force=arguments.force)
    print_json(made) if arguments.json else print_report(made, serve=command("serve", arguments))
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    made = api.serve(load(arguments), blocking=not arguments.detach)
    if arguments.json:
        print_json(made)
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    made = api.run(load(arguments), resume=arguments.resume, force=arguments.force)
    if arguments.json:
        print_json(made)
        return 0
    print_report(made, serve=command("serve", arguments))
    return 0


def _sweep(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    made = api.sweep(load(arguments), resume=arguments.resume, force=arguments.force)
    if arguments.json:
        print_json(made)
        return 0
    from ray_ft.sweeping.space import override
    from ray_ft.sweeping.table import render_table

    print(render_table(made))
    print(f"Trials: {shown_path(made.path)}")
    print("Table: " + ", ".join(shown_path(path) for path in (made.csv_path, made.plot_path) if path))
    if made.winner:
        kept = [given for given in arguments.overrides if not given.startswith("sweep.")]
        winning = [*kept, *(override(key, value) for key, value in made.winner.items())]
        print(f"Train the winner: {program()} {shlex.join(['train', arguments.config, *winning])}")
    return 0


def _submit(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    if not arguments.address and not os.environ.get("RAY_ADDRESS"):
        raise ConfigError("submit needs --address URL, e.g. --address http://head:8265")
    address = arguments.address or os.environ["RAY_ADDRESS"]
    if arguments.stop:
        from ray_ft.jobs.submit import stop_job

        stopped = stop_job(arguments.stop, address=address)
        print_json(stopped) if arguments.json else print(f"{stopped.id}: {stopped.status}")
        return 0
    if arguments.config is None:
        raise ConfigError("submit needs a CONFIG, or --stop ID to stop a job")
    verb, overrides = arguments.job_verb or "run", list(arguments.overrides)
    if "=" in verb:  # `submit CONFIG key=value`: the verb was left out
        verb, overrides = "run", [verb, *overrides]
    if verb not in JOB_VERBS:
        raise ConfigError(f"submit: {verb!r} is no verb of a job; choose one of {', '.join(JOB_VERBS)}")
    arguments.overrides = overrides
    job = api.submit(
        load(arguments),
        verb,
        address=address,
        config_path=arguments.config,
        overrides=overrides,
        follow=not arguments.detach,
        on_log=_to_stderr if arguments.json else print,
    )
    print_json(job) if arguments.json else print(f"{job.id}: {job.status}")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    path = api.export(load(arguments), arguments.to, merge=arguments.merge, dtype=arguments.dtype)
    print_json({"path": str(path)}) if arguments.json else print(f"Exported to {path}")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from ray_ft.cli.show import show

    return show(arguments)


def _to_stderr(line: str) -> None:
    """Keep standard output for the JSON alone."""
    print(line, file=sys.stderr)


def _with_config(message: str, arguments: argparse.Namespace) -> str:
    """A command that a message names, as it has to be typed here: stages know no config's path."""
    if arguments.config is None:
        return message
    given = shlex.join([arguments.config, *arguments.overrides])
    return re.sub(r"(`ray-ft \w+) (?:CONFIG|\.\.\.)", lambda found: f"{found[1]} {given}", message)


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "prepare": _prepare,
    "inspect": _inspect,
    "advise": _advise,
    "plan": _plan,
    "train": _train,
    "evaluate": _evaluate,
    "review": exams.review,
    "compare": exams.compare,
    "gate": exams.gate,
    "bench": exams.bench,
    "serve": _serve,
    "run": _run,
    "sweep": _sweep,
    "submit": _submit,
    "export": _export,
    "show": _show,
}
