"""What a judge adds to a report: counts, exploratory differences, and a line on how far it is to be trusted."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ray_ft.artifacts import Contrast, Judged
from ray_ft.config import EvaluationConfig
from ray_ft.errors import RayFTError
from ray_ft.evaluation.exam.tasks import Done
from ray_ft.evaluation.judging.figures import agreement, figures, read_preferences, rows_of, rule
from ray_ft.rows import Question

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opinion:
    """The part of a report that a judge gave; empty where there is no judge, `notes` where it gave nothing."""

    judged: tuple[Judged, ...] = ()
    contrasts: tuple[Contrast, ...] = ()
    trust: str = ""
    notes: tuple[str, ...] = ()
    rows: tuple[dict[str, object], ...] = ()  # of evaluation/judged.jsonl


def opinion_of(
    done: Sequence[Done], questions: Sequence[Question], evaluation: EvaluationConfig, *, run_path: Path, seed: int
) -> Opinion:
    """Ask the judge about every primary pair of answers. What goes wrong with it costs its figures alone."""
    judge = evaluation.judge
    if judge is None:
        return Opinion()
    who = getattr(judge, "model", judge.name)
    kept = run_path / "evaluation" / "judge_answers.jsonl"
    try:
        preferences = read_preferences(Path(evaluation.preferences)) if evaluation.preferences else None
        ruled, refusal = rule(done, questions, judge, kept=kept)
    except RayFTError as error:
        ruled, refusal = [], str(error)
    if refusal:
        note = f"The judge {who} has no figures here: {refusal.rstrip('.')}."
        logger.warning(note)
        return Opinion(notes=(note,))
    judged, contrasts = figures(
        ruled, questions, margin=evaluation.margin, num_bootstrap=evaluation.num_bootstrap, seed=seed
    )
    flips, decided, longer = (
        sum(getattr(one, name) for one in judged) for name in ("num_flips", "num_decided", "num_longer")
    )
    trust = [f"{who} on {len(ruled)} pairs of answers", f"the two orders disagree on {flips / max(len(ruled), 1):.0%}"]
    trust.append(f"the longer answer won {longer} of {decided} that were decided")
    if preferences is not None:
        trust.append(agreement(ruled, questions, preferences))
    return Opinion(tuple(judged), tuple(contrasts), "; ".join(trust), (), tuple(rows_of(ruled, questions)))
