"""From scored answers to a report's figures: each system's means with intervals, over documents."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ray_ft.artifacts import Score
from ray_ft.evaluation.exam.tasks import BASE, TUNED, Done
from ray_ft.evaluation.scores.metrics import nats_to_bits, ndcg_at, recall_at, reciprocal_rank, score_answer
from ray_ft.evaluation.scores.statistics import (
    Draws,
    bootstrap_ratios,
    bounds_asked,
    sum_by_document,
)
from ray_ft.rows import STRATA, Chunk, Question

if TYPE_CHECKING:
    from ray_ft.evaluation.scores.statistics import Floats

PRIMARY_METRIC = "key_fact_recall"
PRIMARY_PAIRS = (("tuned", "base"), ("tuned+rag", "base+rag"), ("tuned", "base+rag"))
"""Treatment and control, fixed before anything is measured."""
AGAINST_RETRIEVAL = PRIMARY_PAIRS[2]
CODE_QUALITY = ("parses", "edit_similarity", "identifier_f1", "tree_match", "same_code")
PASS_AT = "pass@"
"""What the share of questions is called for which one of k drawn programs passes its test."""
JUDGED = "judge_preference"
QUALITY_METRICS = (
    "key_fact_recall", "key_fact_f1", "net_score", "token_f1", "rouge_l", "chrf", "exact_match", "steps_in_order",
    "abstention", *CODE_QUALITY,
)  # fmt: skip
"""Judged better or worse, as pass@k is; the others, such as length_ratio and truncated, are guards beside them."""
FLOOR = 0.02
"""Where two systems both score no more than this, or than a baseline, both fail, and no difference can be told."""
KNOWING_NOTHING = ("echo", "empty")
"""Answers that know nothing, scored in the same exam: the question repeated, and silence."""
COPY = "copy"
"""The passages found, repeated as an answer: what recall alone is worth."""
BASELINES = (*KNOWING_NOTHING, COPY)
UNANSWERABLE = "unanswerable"
BITS_PER_BYTE = "bits_per_byte"
DRIFT = "bits_per_token"
OWN_SAMPLES = "the base's own samples"
"""Where a model finds less likely what the base said, by DRIFT, it has moved away from it."""
HARNESS = "lm-eval "
"""Begins the stratum of a task of lm-evaluation-harness, which has a metric of its own."""
SURPRISE = (BITS_PER_BYTE, DRIFT)
"""Lower is better; without a scale of its own, and held against the control's figure."""
RETRIEVER = "retriever"
"""The system that retrieval's own scores stand under."""
MRR_DEPTH = 10
"""Passages looked at for the mean reciprocal rank and the discounted gain."""
RECALL_BAR = 0.7
"""Least share of questions whose passage retrieval shows: below, it is no fair rival, and no verdict is against it."""
UNBOUNDED = ("length_ratio", *SURPRISE)
"""Metrics that are no shares."""
LEAST = {"net_score": -1.0}
"""The least that a metric can be, where that is not 0; the most is 1."""


def stratum_scored(stratum: str, *, answerable: bool) -> str:
    """Where a question's figures stand: what the documents do not answer is a stratum of its own."""
    return stratum if answerable else UNANSWERABLE


def is_of_code(metric: str) -> bool:
    """Whether only answers that should be code are scored by it."""
    return metric in (*CODE_QUALITY, "invented_symbols") or metric.startswith(PASS_AT)


def is_judged(metric: str) -> bool:
    """Whether systems are held against each other by it."""
    return metric in (*QUALITY_METRICS, JUDGED, BITS_PER_BYTE) or metric.startswith(PASS_AT)


def main_metric(stratum: str) -> str:
    """What a stratum is told by: key facts, or how often the systems decline where there is no answer."""
    return "abstention" if stratum == UNANSWERABLE else PRIMARY_METRIC


@dataclass(frozen=True)
class Measured:
    """One group of items, summed by document: every (system, metric) is a ratio of its sums to the same weights."""

    stratum: str
    num_items: int
    sums: Mapping[tuple[str, str], "Floats"]  # [documents]
    weights: "Floats"  # [documents]
    draws: Mapping[tuple[str, str], Draws]

    @property
    def num_documents(self) -> int:
        """Independent units behind the figures."""
        return len(self.weights)

    def mean(self, system: str, metric: str) -> float:
        """Mean over items: score per question, bits per byte."""
        return float(self.sums[system, metric].sum() / self.weights.sum())


def measure(
    stratum: str,
    columns: Mapping[tuple[str, str], Sequence[float]],
    documents: Sequence[str],
    *,
    weights: Sequence[float] | None = None,
    num_bootstrap: int,
    seed: int,
) -> Measured:
    """Sum columns of one value per item by document, and draw documents anew; all columns share the draws."""
    import numpy as np

    names = list(columns)
    sums = [sum_by_document(columns[name], documents)[0] for name in names]
    by_document = sum_by_document(weights if weights is not None else [1.0] * len(documents), documents)[0]
    table = np.stack(sums, axis=1)
    draws = bootstrap_ratios(table, by_document, num_draws=num_bootstrap, seed=seed)
    return Measured(
        stratum=stratum,
        num_items=len(documents),
        sums=dict(zip(names, sums, strict=True)),
        weights=by_document,
        draws=dict(zip(names, draws, strict=True)),
    )


def measure_answers(
    done: Iterable[Done],
    questions: Sequence[Question],
    *,
    copies: Sequence[str] = (),
    num_bootstrap: int,
    seed: int,
) -> list[Measured]:
    """One group per stratum; questions that the documents do not answer are a stratum of their own.

    `copies` are the passages found for each question, for the baseline that repeats them. What only some questions of a
    stratum are scored by, such as the order of steps, is a group of these.
    """
    by_stratum: dict[str, dict[int, dict[str, Mapping[str, float]]]] = {}
    for d in done:
        question = questions[d.index]
        stratum = stratum_scored(question.stratum, answerable=question.answerable)
        by_stratum.setdefault(stratum, {}).setdefault(d.index, {})[d.system] = d.scores
    groups = []
    for stratum, scores in sorted(by_stratum.items(), key=lambda item: (*STRATA, UNANSWERABLE).index(item[0])):
        for index, of_one in scores.items():
            of_one |= _baselines(questions[index], copies[index] if any(copies) else None)
        metrics_of = {i: frozenset(next(iter(scores[i].values()))) for i in sorted(scores)}
        common = frozenset.intersection(*metrics_of.values())
        rare = sorted(frozenset[str]().union(*metrics_of.values()) - common)
        order = [m for m in next(iter(scores[min(scores)].values())) if m in common]
        for metrics in (order, *([metric] for metric in rare)):
            indexes = [i for i, has in metrics_of.items() if has.issuperset(metrics)]
            columns = {
                (system, metric): [scores[i][system][metric] for i in indexes]
                for system in scores[indexes[0]]
                for metric in metrics
                if all(metric in scores[i][system] for i in indexes)  # baselines write no code
            }
            documents = [questions[i].document_id for i in indexes]
            groups.append(measure(stratum, columns, documents, num_bootstrap=num_bootstrap, seed=seed))
    return groups


def _baselines(question: Question, copied: str | None) -> dict[str, dict[str, float]]:
    """What answers that know nothing, or only repeat, score on the same question."""
    answers = {"echo": question.question, "empty": ""} | ({} if copied is None else {COPY: copied})
    return {
        name: {**score_question(question, answer, source=copied or ""), "truncated": 0.0}
        for name, answer in answers.items()
    }


def score_question(question: Question, answer: str, *, source: str = "") -> dict[str, float]:
    """All metrics of one answer to a question."""
    return score_answer(
        answer,
        reference=question.reference,
        key_facts=question.key_facts,
        answerable=question.answerable,
        question=question.question,
        source=source,
        checks=question.checks,
    )


def measure_documents(done: Iterable[Done], texts: Sequence[str], *, num_bootstrap: int, seed: int) -> Measured | None:
    """Bits per byte of held-out documents, over all their bytes together; None when none was scored."""
    bits: dict[tuple[str, str], list[float]] = {}
    for d in sorted(done, key=lambda d: d.index):
        bits.setdefault((d.system, BITS_PER_BYTE), []).append(nats_to_bits(d.negative_log_likelihood))
    if not bits:
        return None
    names = [str(i) for i in range(len(texts))]
    num_bytes = [float(len(text.encode("utf-8", "replace"))) for text in texts]
    return measure("held_out", bits, names, weights=num_bytes, num_bootstrap=num_bootstrap, seed=seed)


def measure_said(done: Iterable[Done], prompts: Sequence[str], *, num_bootstrap: int, seed: int) -> Measured | None:
    """Bits per token of what the base said, over all its tokens together, prompts drawn anew; None without samples."""
    by_index: dict[int, dict[str, Done]] = {}
    for d in done:
        by_index.setdefault(d.index, {})[d.system] = d
    both = [by_index[i] for i in sorted(by_index) if len(by_index[i]) > 1]
    if not both:
        return None
    columns = {
        (system, DRIFT): [nats_to_bits(sample[system].negative_log_likelihood) for sample in both]
        for system in (BASE, TUNED)
    }
    names = [prompts[sample[BASE].index] for sample in both]
    num_tokens = [float(sample[BASE].num_completion_tokens) for sample in both]
    return measure(OWN_SAMPLES, columns, names, weights=num_tokens, num_bootstrap=num_bootstrap, seed=seed)


def measure_retrieval(
    questions: Sequence[Question],
    rankings: Sequence[Sequence[Chunk]],
    passages: Sequence[Chunk],
    *,
    num_passages: int,
    num_bootstrap: int,
    seed: int,
) -> list[Measured]:
    """How well the gold passage, and the gold document, is found, over the questions whose gold the index holds."""
    groups = []
    for unit in ("passage", "document"):
        known = {_unit_id(chunk, unit) for chunk in passages}
        columns: dict[tuple[str, str], list[float]] = {}
        documents = []
        for question, ranking in zip(questions, rankings, strict=True):
            gold = question.chunk_id if unit == "passage" else question.document_id
            if not question.answerable or gold not in known:
                continue
            found = [_unit_id(chunk, unit) for chunk in ranking]
            recall, distinct = recall_at(found, gold, num_passages), list(dict.fromkeys(found[:MRR_DEPTH]))
            columns.setdefault((RETRIEVER, f"recall@{num_passages} ({unit})"), []).append(recall)
            columns.setdefault((RETRIEVER, f"MRR@{MRR_DEPTH} ({unit})"), []).append(reciprocal_rank(distinct, gold))
            columns.setdefault((RETRIEVER, f"nDCG@{MRR_DEPTH} ({unit})"), []).append(ndcg_at(distinct, gold, MRR_DEPTH))
            documents.append(question.document_id)
        if documents:
            groups.append(measure("all", columns, documents, num_bootstrap=num_bootstrap, seed=seed))
    return groups


def _unit_id(chunk: Chunk, unit: str) -> str:
    return chunk.id if unit == "passage" else chunk.document_id


def scores_of(measured: Measured) -> list[Score]:
    """Mean and 95% interval of every system and metric."""
    scores = []
    for system, metric in measured.sums:
        least_and_most = (LEAST.get(metric, 0.0), 1.0)
        asked = bounds_asked(measured.sums[system, metric], measured.weights)
        spread = measured.draws[system, metric].interval(*(asked if metric in UNBOUNDED else least_and_most))
        scores.append(
            Score(
                system=system,
                metric=metric,
                mean=measured.mean(system, metric),
                low=spread.low,
                high=spread.high,
                num_items=measured.num_items,
                stratum=measured.stratum,
                num_documents=measured.num_documents,
            )
        )
    return scores
