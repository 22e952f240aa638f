"""The command line: parses a verb, a config path and overrides, calls one public function, prints what it returns."""

import argparse
import json
import logging
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_ft.errors import ConfigError, RayFTError

if TYPE_CHECKING:
    from ray_ft.artifacts import DryRun, Report, TrainingSet, TunedModel
    from ray_ft.config import Config
    from ray_ft.registry import Registry

VERBS = {
    "prepare": "turn documents and code into a training set",
    "inspect": "show what the training set holds; write it for others",
    "plan": "predict memory, time and cost; choose the strategy",
    "train": "tune the model",
    "evaluate": "compare base, tuned and retrieval; write the report",
    "serve": "serve the base and its adapters over HTTP",
    "run": "prepare, plan, train and evaluate; skips what is done",
    "sweep": "train a trial for every setting of sweep.parameters; tell which did best",
    "submit": "run a verb as a job on a Ray cluster that is there",
    "export": "write the tuned model in plain PEFT or Hugging Face format",
    "show": "list the recipes, strategies, engines, retrievers and trackers; or a config and its run",
}
JOB_VERBS = ("prepare", "plan", "train", "evaluate", "serve", "run", "sweep", "show")
RESUMED_VERBS = ("train", "run", "sweep")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0, 1 for a failure, 2 for a configuration that cannot work."""
    arguments = build_parser().parse_args(argv)
    if arguments.verb is None:
        build_parser().print_help()
        return 0
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("ray_ft").setLevel(logging.DEBUG if arguments.verbose else logging.INFO)
    if arguments.address:
        os.environ["RAY_ADDRESS"] = arguments.address
    try:
        return _COMMANDS[arguments.verb](arguments)
    except RayFTError as error:
        if arguments.verbose:
            raise
        print(f"ray-ft {arguments.verb}: {_with_config(str(error), arguments)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        way_on = "; `--resume` goes on from the last checkpoint" if arguments.verb in RESUMED_VERBS else ""
        print(f"ray-ft {arguments.verb}: interrupted{way_on}", file=sys.stderr)
        return 130


def _with_config(message: str, arguments: argparse.Namespace) -> str:
    """A command that a message names, as it has to be typed here: stages know no config's path."""
    if arguments.config is None:
        return message
    given = shlex.join([arguments.config, *arguments.overrides])
    return re.sub(r"(`ray-ft \w+) (?:CONFIG|\.\.\.)", lambda found: f"{found[1]} {given}", message)


class _VerbParser(argparse.ArgumentParser):
    """Takes flags and key=value in any order: `plan CONFIG --json plan.gpu=L4`."""

    _inside = False

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        if self._inside:
            return super().parse_known_args(args, namespace)
        self._inside = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._inside = False


def build_parser() -> argparse.ArgumentParser:
    """The parser of `ray-ft`; one sub-parser per verb."""
    parser = argparse.ArgumentParser(
        prog="ray-ft",
        description="Fine-tune open language models on your own documents and code, on your own Ray cluster.",
        epilog="What a run is lives in CONFIG and its key=value overrides; flags only say how the command behaves.",
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=_VerbParser)
    for verb, text in VERBS.items():
        sub = verbs.add_parser(verb, help=text, description=text[0].upper() + text[1:] + ".")
        if verb in ("show", "submit"):  # `submit --stop ID` needs none
            sub.add_argument("config", nargs="?", metavar="CONFIG", help="YAML file")
        else:
            sub.add_argument("config", metavar="CONFIG", help="YAML file")
        if verb == "submit":
            sub.add_argument("job_verb", nargs="?", metavar="verb", help=f"one of {', '.join(JOB_VERBS)}; default run")
            sub.add_argument("--detach", action="store_true", help="return once the job is submitted")
            sub.add_argument("--stop", metavar="ID", help="stop a submitted job instead of submitting one")
        sub.add_argument("overrides", nargs="*", default=[], metavar="key=value", help="override a key of CONFIG")
        if verb == "serve":
            sub.add_argument("--detach", action="store_true", help="return once the endpoint answers")
        if verb in ("prepare", "train", "evaluate", "run", "sweep"):
            sub.add_argument("--force", action="store_true", help="rebuild what is there")
        if verb == "inspect":
            sub.add_argument("--examples", type=int, default=3, metavar="N", help="examples shown; default 3")
            sub.add_argument("--dropped", action="store_true", help="show examples that were left out")
            sub.add_argument("--to", metavar="FOLDER", help="write JSONL, Parquet and a dataset card")
        if verb == "prepare":
            sub.add_argument("--retry-quarantined", action="store_true", help="read files again whose parsers failed")
        if verb in RESUMED_VERBS:
            sub.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
        if verb == "train":
            sub.add_argument(
                "--dry-run", action="store_true", help="prepare, plan, check and show examples; no training"
            )
        if verb == "plan":
            sub.add_argument("--check", action="store_true", help="trace the chosen row's memory too (10 seconds)")
        if verb == "plan":
            sub.add_argument("--max-hours", type=float, metavar="N", help="the smallest clusters that train in N hours")
        if verb == "export":
            sub.add_argument("--to", required=True, metavar="FOLDER", help="where to write")
            sub.add_argument("--merge", action="store_true", help="fold the adapter into its base")
            dtypes = ("bf16", "fp16", "fp32")
            sub.add_argument("--dtype", choices=dtypes, help="of whole weights; default bf16 after training on GPUs")
        sub.add_argument("--address", metavar="URL", help="Ray cluster; default RAY_ADDRESS, else one on this machine")
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        sub.add_argument("--verbose", action="store_true", help="more log lines, and tracebacks")
    return parser


def _load(arguments: argparse.Namespace) -> "Config":
    from ray_ft.config import load_config

    return load_config(arguments.config, arguments.overrides)


def _print_json(value: object) -> None:
    from ray_ft.artifacts import to_json

    print(json.dumps(to_json(value), indent=1))


def _prepare(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    made = api.prepare(_load(arguments), force=arguments.force, retry_quarantined=arguments.retry_quarantined)
    _print_json(made) if arguments.json else _print_training_set(made)
    return 0


def _inspect(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    about = api.inspect(
        _load(arguments), num_examples=max(arguments.examples, 0), dropped=arguments.dropped, path=arguments.to
    )
    if arguments.json:
        _print_json(about)
    else:
        from ray_ft.data.report.inspection_text import render

        print(render(about))
        if arguments.to:
            print(f"Written to {arguments.to}")
    return 0


def _plan(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    if arguments.max_hours is not None:
        return _plan_backwards(arguments)
    config = _load(arguments)
    made = api.plan(config, check=arguments.check)
    if arguments.json:
        _print_json(made)
    else:
        from ray_ft.planning.show.table import render_plan

        print(render_plan(made))
        print(f"* as a page with pictures: {config.run_path / 'plan.html'}")
    return 0


def _plan_backwards(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    found = api.smallest_cluster(_load(arguments), max_hours=arguments.max_hours)
    if arguments.json:
        _print_json(found)
    else:
        from ray_ft.planning.show.table import render_sizing

        print(render_sizing(found))
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    if arguments.dry_run:
        if arguments.resume or arguments.force:
            raise ConfigError("--dry-run trains nothing, so there is nothing to --resume or to --force")
        rehearsed = api.dry_run(_load(arguments))
        _print_json(rehearsed) if arguments.json else _print_dry_run(rehearsed)
        return 0
    made = api.train(_load(arguments), resume=arguments.resume, force=arguments.force)
    _print_json(made) if arguments.json else _print_tuned_model(made)
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    made = api.evaluate(_load(arguments), force=arguments.force)
    _print_json(made) if arguments.json else _print_report(made)
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    made = api.run(_load(arguments), resume=arguments.resume, force=arguments.force)
    if arguments.json:
        _print_json(made)
        return 0
    _print_report(made)
    print(f"Serve: {_program()} {shlex.join(['serve', arguments.config, *arguments.overrides])}")
    return 0


def _sweep(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    made = api.sweep(_load(arguments), resume=arguments.resume, force=arguments.force)
    if arguments.json:
        _print_json(made)
        return 0
    from ray_ft.sweeping.space import override
    from ray_ft.sweeping.table import render_table

    print(render_table(made))
    print(f"Trials: {_shown(made.path)}")
    print("Table: " + ", ".join(_shown(path) for path in (made.csv_path, made.plot_path) if path))
    if made.winner:
        kept = [given for given in arguments.overrides if not given.startswith("sweep.")]
        winning = [*kept, *(override(key, value) for key, value in made.winner.items())]
        print(f"Train the winner: {_program()} {shlex.join(['train', arguments.config, *winning])}")
    return 0


def _program() -> str:
    """How this process was started, for a command that the user can paste."""
    if shutil.which("ray-ft"):
        return "ray-ft"
    return "python -m ray_ft" if sys.argv[0].endswith("__main__.py") else os.path.relpath(sys.argv[0])


def _serve(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    made = api.serve(_load(arguments), blocking=not arguments.detach)
    if arguments.json:
        _print_json(made)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    path = api.export(_load(arguments), arguments.to, merge=arguments.merge, dtype=arguments.dtype)
    _print_json({"path": str(path)}) if arguments.json else print(f"Exported to {path}")
    return 0


def _submit(arguments: argparse.Namespace) -> int:
    from ray_ft import api

    if not arguments.address and not os.environ.get("RAY_ADDRESS"):
        raise ConfigError("submit needs --address URL, e.g. --address http://head:8265")
    address = arguments.address or os.environ["RAY_ADDRESS"]
    if arguments.stop:
        from ray_ft.jobs.submit import stop_job

        stopped = stop_job(arguments.stop, address=address)
        _print_json(stopped) if arguments.json else print(f"{stopped.id}: {stopped.status}")
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
        _load(arguments),
        verb,
        address=address,
        config_path=arguments.config,
        overrides=overrides,
        follow=not arguments.detach,
        on_log=_to_stderr if arguments.json else print,
    )
    _print_json(job) if arguments.json else print(f"{job.id}: {job.status}")
    return 0


def _to_stderr(line: str) -> None:
    """Keep standard output for the JSON alone."""
    print(line, file=sys.stderr)


def _show(arguments: argparse.Namespace) -> int:
    from ray_ft.config import to_plain
    from ray_ft.engines import ENGINES
    from ray_ft.recipes import RECIPES
    from ray_ft.retrievers import RETRIEVERS
    from ray_ft.strategies import STRATEGIES
    from ray_ft.trackers import TRACKERS

    if arguments.config is not None:
        config = _load(arguments)
        if arguments.json:
            _print_json(to_plain(config))
        else:
            _print_run(config)
        return 0
    registries: dict[str, Registry[Any]] = {
        "recipes": RECIPES,
        "strategies": STRATEGIES,
        "engines": ENGINES,
        "retrievers": RETRIEVERS,
        "trackers": TRACKERS,
    }
    choices = {
        kind: {name: ((registry[name].__doc__ or "").strip().splitlines() or [""])[0] for name in registry}
        for kind, registry in registries.items()
    }
    if arguments.json:
        _print_json(choices)
        return 0
    for kind, named in choices.items():
        print(kind)
        for name, text in named.items():
            print(f"  {name:<14} {text}")
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "prepare": _prepare,
    "inspect": _inspect,
    "plan": _plan,
    "train": _train,
    "evaluate": _evaluate,
    "serve": _serve,
    "run": _run,
    "sweep": _sweep,
    "submit": _submit,
    "export": _export,
    "show": _show,
}


def _shown(path: str) -> str:
    """A path as a user would type it here."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _print_training_set(made: "TrainingSet") -> None:
    files = ", ".join(f"{count} {reason}" for reason, count in sorted(made.files.items(), key=lambda item: -item[1]))
    if files:
        print(f"files       {files}")
    print(f"{'split':<11} {'documents':>9} {'examples':>9} {'rows':>7} {'tokens':>10} {'trained':>10}")
    for split in ("train", "validation", "test"):
        counts = (made.num_documents, made.num_examples, made.num_rows, made.num_tokens, made.num_target_tokens)
        cells = [c.get(split, 0) for c in counts]
        print(f"{split:<11} {cells[0]:>9,} {cells[1]:>9,} {cells[2]:>7,} {cells[3]:>10,} {cells[4]:>10,}")
    if made.records:
        lines = ", ".join(f"{n} {reason}" for reason, n in sorted(made.records.items(), key=lambda item: -item[1]))
        print(f"lines       {lines}")
    print(f"questions   {made.num_questions}")
    print(f"Training set: {_shown(made.path)}")


def _print_dry_run(made: "DryRun") -> None:
    """What would be trained, on what, and three examples as the model would see them."""
    from ray_ft.planning.show.table import render_choice
    from ray_ft.training.checks.preview import render_examples

    share = 100 * made.num_trained_parameters / made.num_parameters
    print(render_choice(made.plan))
    print(
        f"  steps   {made.num_steps:,} ({made.num_warmup_steps:,} of warm-up to a learning rate of "
        f"{made.learning_rate:g}), {made.num_epochs:.2f} epochs"
    )
    print(f"  tokens  {made.num_tokens:,}, of which {made.num_target_tokens:,} are trained")
    print(f"  trains  {made.num_trained_parameters:,} parameters, {share:.2f}% of the base's {made.num_parameters:,}")
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print(f"\n{render_examples(made.examples, colour=colour)}\n")
    gate = made.gate
    packing = "" if gate.packing_difference is None else f", packing changes no loss ({gate.packing_difference:.1g})"
    print(
        f"Checked: {gate.num_examples:,} examples in {gate.num_rows:,} rows all have trained tokens, "
        f"{gate.num_ends_of_turn:,} ends of turn{packing}"
    )
    print("Dry run: nothing was trained")


def _print_tuned_model(made: "TunedModel") -> None:
    shown = [
        f"{name.replace('_', ' ')} {made.metrics[name]:.4f}"
        for name in ("loss", "validation_loss")
        if name in made.metrics
    ]
    kind = "adapter" if made.is_adapter else "model"
    print(f"{made.strategy.name}: {made.steps} steps, {', '.join(shown)}")
    print(f"Tuned {kind}: {_shown(made.path)}")


def _print_report(made: "Report") -> None:
    """Means per system and stratum, and the differences that carry the verdict."""
    shown = ("key_fact_recall", "token_f1", "rouge_l", "bits_per_byte")
    means = {(score.stratum, score.system, score.metric): score.mean for score in made.scores}
    for stratum in dict.fromkeys(score.stratum for score in made.scores):
        systems = dict.fromkeys(score.system for score in made.scores if score.stratum == stratum)
        metrics = [m for m in shown if any((stratum, s, m) in means for s in systems)]
        if not metrics:
            continue
        print(f"{stratum.replace('_', '-'):<12}" + "".join(f"{metric.replace('_', ' '):>17}" for metric in metrics))
        for system in systems:
            cells = (means.get((stratum, system, metric)) for metric in metrics)
            shown_cells = "".join(f"{cell:>17.3f}" if cell is not None else " " * 17 for cell in cells)
            print(f"  {system:<10}{shown_cells}".rstrip())
    for contrast in made.contrasts:
        if contrast.primary:
            print(
                f"{contrast.stratum.replace('_', '-')}: {contrast.treatment} vs {contrast.control}, "
                f"{contrast.metric.replace('_', ' ')} {contrast.difference:+.3f} "
                f"[{contrast.low:+.3f}, {contrast.high:+.3f}]: {contrast.verdict}"
            )
    print(f"Report: {_shown(made.html_path)}")


def _print_run(config: "Config") -> None:
    import yaml

    from ray_ft.artifacts import FILES
    from ray_ft.config import to_plain

    print(yaml.safe_dump(to_plain(config), sort_keys=False).rstrip())
    print(f"\n{config.run_path}")
    for file, verb in FILES.values():
        state = "made" if (config.run_path / file).is_file() else f"not yet: ray-ft {verb}"
        print(f"  {file:<18} {state}")


if __name__ == "__main__":
    sys.exit(main())
