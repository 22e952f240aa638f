"""What an exam can show, before anything is asked: the smallest difference that it would find, by stratum."""

import math
from collections.abc import Sequence
from statistics import NormalDist

from ray_ft.artifacts import Power, TrainingSet
from ray_ft.config import EvaluationConfig
from ray_ft.evaluation.exam.questions import draw_exam, load_documents
from ray_ft.evaluation.exam.retention import draw_retention, is_asked
from ray_ft.evaluation.report.findings import STRATA
from ray_ft.evaluation.scores.scoring import PRIMARY_PAIRS, UNANSWERABLE, stratum_scored
from ray_ft.evaluation.scores.statistics import ALPHA, MIN_DOCUMENTS, POWER, fewest_documents
from ray_ft.rows import Question

ALIKE = 0.3
"""How alike differences on two questions of one document are taken to be, as a correlation."""
DIFFER = (0.1, 0.2, 0.3, 0.4)
"""Shares of questions on which two systems might differ."""


def plan_exam(training_set: TrainingSet, evaluation: EvaluationConfig, *, seed: int) -> list[Power]:
    """What the exam of this configuration can show. Raises ConfigError for bad questions, DataError for none."""
    questions, _, _ = draw_exam(training_set, evaluation, load_documents(training_set), seed=seed)
    by_stratum: dict[str, list[Question]] = {}
    for question in (*questions, *draw_retention(evaluation.num_retention, seed=seed)):
        stratum = stratum_scored(question.stratum, answerable=question.answerable)
        by_stratum.setdefault(stratum, []).append(question)
    judged = max(1, sum(_num_pairs(stratum, evaluation) for stratum in by_stratum if stratum != UNANSWERABLE))
    found = []
    for stratum in (s for s in STRATA if s in by_stratum):
        asked = by_stratum[stratum]
        num_documents = len({question.document_id for question in asked})
        together = 1 if stratum == UNANSWERABLE else judged
        found.append(
            Power(
                stratum=stratum,
                num_questions=len(asked),
                num_documents=num_documents,
                smallest={
                    share: smallest_difference(
                        share, num_questions=len(asked), num_documents=num_documents, num_contrasts=together
                    )
                    for share in DIFFER
                },
                fewest_for_none=fewest_documents(evaluation.margin, num_contrasts=together),
            )
        )
    return found


def _num_pairs(stratum: str, evaluation: EvaluationConfig) -> int:
    asked = {system for system in evaluation.systems if is_asked(system, stratum, evaluation)}
    return sum(asked.issuperset(pair) for pair in PRIMARY_PAIRS)


def smallest_difference(
    share: float, *, num_questions: int, num_documents: int, num_contrasts: int = 1, alike: float = ALIKE
) -> float | None:
    """The least true difference in a share of right answers that is found in 80 of 100 exams; None where none is.

    d = z * sqrt(q / (n + z^2)), from n = z^2 * (q - d^2) / d^2 for paired answers that differ on a share q of the
    questions (Miller 2024, arXiv 2411.00640), with z = z(1 - alpha / 2m) + z(power) for m contrasts, and n the
    questions over 1 + (k - 1) * r for k questions of a document that are alike by r (Kish 1965).
    """
    alpha = ALPHA / num_contrasts
    if num_documents < max(MIN_DOCUMENTS, math.ceil(1 + math.log2(1 / alpha))):  # 2 / 2^D <= alpha
        return None
    z = NormalDist().inv_cdf(1 - alpha / 2) + NormalDist().inv_cdf(POWER)
    independent = num_questions / (1 + (num_questions / num_documents - 1) * alike)
    difference = z * math.sqrt(share / (independent + z * z))
    return difference if difference <= share else None


def render_power(found: Sequence[Power], *, margin: float) -> str:
    """As a table of 80 columns, and what follows from it."""
    lines = [
        "Smallest difference that 80 of 100 such exams would find, in points, if two",
        "systems differ on so many of the questions:",
        "",
        f"{'':<25}{'questions':>10}{'documents':>11}" + "".join(f"{share:>7.0%}" for share in DIFFER),
    ]
    for power in found:
        cells = (power.smallest[share] for share in DIFFER)
        shown = "".join(f"{'-' if cell is None else f'{100 * cell:.0f}':>7}" for cell in cells)
        lines.append(f"{STRATA[power.stratum][0]:<25}{power.num_questions:>10,}{power.num_documents:>11,}{shown}")
    lines += ["", "-: no difference would be found, however large."]
    wanted = max((power.fewest_for_none or 0 for power in found), default=0)
    if wanted > min((power.num_documents for power in found), default=0):
        lines.append(
            f"With fewer than {wanted:,} documents, a difference of {100 * margin:g} points is never ruled out."
        )
    return "\n".join(lines)
