"""What the command line prints of an artifact: a few lines for people, or JSON for programs."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray_ft.artifacts import DryRun, Report, TrainingSet, TunedModel


def print_json(value: object) -> None:
    """An artifact, or any plain value."""
    from ray_ft.artifacts import to_json

    print(json.dumps(to_json(value), indent=1))


def print_training_set(made: "TrainingSet") -> None:
    """What was read, what became of it, and how much there is to train on."""
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
    for stratum, row in made.overlap.items():
        if stratum == next(iter(made.overlap)):
            print(f"{'overlap':<11} {' '.join(f'{name:>9}' for name in row)}")
        print(f"{stratum.replace('_', ' '):<11} {' '.join(f'{n:>9,}' for n in row.values())}")
    print(f"Training set: {shown_path(made.path)}")


def print_dry_run(made: "DryRun") -> None:
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


def print_tuned_model(made: "TunedModel") -> None:
    """How it was tuned, how low the loss came, and where it lies."""
    shown = [
        f"{name.replace('_', ' ')} {made.metrics[name]:.4f}"
        for name in ("loss", "validation_loss")
        if name in made.metrics
    ]
    kind = "adapter" if made.is_adapter else "model"
    print(f"{made.strategy.name}: {made.steps} steps, {', '.join(shown)}")
    print(f"Tuned {kind}: {shown_path(made.path)}")


def print_report(made: "Report", *, serve: str) -> None:
    """What was found, and what to do next; `serve` is the command that serves the run."""
    from ray_ft.evaluation.report.brief import render_brief

    print(render_brief(made, page=shown_path(made.html_path), serve=serve))


def shown_path(path: str) -> str:
    """A path as a user would type it here."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
