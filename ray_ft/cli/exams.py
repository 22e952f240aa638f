"""The verbs on exams: what one can show, its questions, two runs on it, what it rules, and what answers cost."""

import argparse
import sys
from pathlib import Path

from ray_ft.cli.given import command, load, run_path
from ray_ft.cli.results import print_json, shown_path

NOT_PASSED = 3
"""The exit code of a gate that says no; a failure has others."""


def plan_exam(arguments: argparse.Namespace) -> int:
    """`evaluate --plan`."""
    from ray_ft import api

    config = load(arguments)
    found = api.plan_exam(config)
    if arguments.json:
        print_json(found)
    else:
        from ray_ft.evaluation.power import render_power

        print(render_power(found, margin=config.evaluation.margin))
    return 0


def review(arguments: argparse.Namespace) -> int:
    """Look through the questions, in the terminal or on a page."""
    from ray_ft import api
    from ray_ft.artifacts import write_text
    from ray_ft.errors import ConfigError
    from ray_ft.evaluation.review.items import Decisions
    from ray_ft.evaluation.review.page import render_page
    from ray_ft.evaluation.review.terminal import go_through

    config = load(arguments)
    items = api.exam_questions(config)
    path = Path(arguments.to or config.run_path / "questions.reviewed.jsonl")
    if arguments.page:
        write_text(Path(arguments.page), render_page(items, run_name=config.run_name, file_name=path.name))
        print(f"Questions: {len(items)}, on {shown_path(arguments.page)}; open it in a browser and save what you keep")
        return 0
    decisions = Decisions(path, source=config.evaluation.questions)
    if not arguments.json:
        if not sys.stdin.isatty():
            raise ConfigError("review asks in a terminal; --page FILE writes a page, --json tells what is done")
        go_through(items, decisions)
    counts = {
        "questions": len(items), "kept": len(decisions.kept), "dropped": len(decisions.dropped),
        "undecided": sum(not decisions.is_decided(item.question) for item in items), "path": str(path),
    }  # fmt: skip
    if arguments.json:
        print_json(counts)
        return 0
    print("Questions: {kept} kept, {dropped} dropped, {undecided} undecided of {questions}".format(**counts))
    if decisions.kept:
        arguments.overrides = [*arguments.overrides, f"evaluation.questions={shown_path(str(path))}"]
        print(f"Ask them: {command('evaluate', arguments)}")
    return 0


def compare(arguments: argparse.Namespace) -> int:
    """Two runs."""
    from ray_ft import api

    found = api.compare(*(run_path(run, arguments.overrides) for run in (arguments.config, arguments.other)))
    if arguments.json:
        print_json(found)
    else:
        from ray_ft.evaluation.two_runs import render_comparison

        print(render_comparison(found))
    return 0


def gate(arguments: argparse.Namespace) -> int:
    """Whether a run may go on."""
    from ray_ft import api

    rulings = api.gate(
        run_path(arguments.config, arguments.overrides),
        min_gain=arguments.min_gain,
        max_loss=arguments.max_loss,
        against=arguments.against and run_path(arguments.against, arguments.overrides),
    )
    if arguments.json:
        print_json(rulings)
    else:
        for ruling in rulings:
            print(f"{'yes' if ruling.passed else 'no':<4}{ruling.rule:<8} {ruling.said}")
    return 0 if all(ruling.passed for ruling in rulings) else NOT_PASSED


def bench(arguments: argparse.Namespace) -> int:
    """Variants of the run's model side by side."""
    from ray_ft import api

    made = api.bench(load(arguments), force=arguments.force)
    if arguments.json:
        print_json(made)
    else:
        from ray_ft.evaluation.bench.page import render_table

        print(render_table(made, page=shown_path(made.html_path)))
    return 0
