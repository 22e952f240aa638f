"""Measures variants one after the other, each in a process of its own on the cluster, and sets them side by side."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray_ft import progress
from ray_ft.artifacts import Score, TrainingSet
from ray_ft.artifacts.bench import Bench, Speed, Variant
from ray_ft.config import BenchConfig, EvaluationConfig, ModelConfig
from ray_ft.errors import DataError, first_line
from ray_ft.evaluation.bench.figures import alike, timing
from ray_ft.evaluation.bench.measure import Lengths, Measured, Measurer
from ray_ft.evaluation.bench.variants import Load
from ray_ft.evaluation.exam.questions import draw_exam, load_documents
from ray_ft.evaluation.exam.tasks import Done
from ray_ft.evaluation.scores.scoring import PRIMARY_METRIC, measure, score_question, scores_of
from ray_ft.evaluation.systems.answering import actor_resources
from ray_ft.rows import Question

logger = logging.getLogger(__name__)

Row = tuple[Variant, Measured]


def exam_of(
    training_set: TrainingSet, evaluation: EvaluationConfig, *, num_questions: int, seed: int
) -> list[Question]:
    """A fixed sample of the questions that `evaluate` draws from."""
    drawn = replace(evaluation, num_questions=num_questions)
    return draw_exam(training_set, drawn, load_documents(training_set), seed=seed)[0] if num_questions else []


def measure_variants(
    loads: Sequence[Load],
    *,
    bench: BenchConfig,
    questions: Sequence[Question],
    model: ModelConfig,
    evaluation: EvaluationConfig,
    seed: int,
    price_per_hour: float | None = None,
    on_row: Callable[[Variant, Sequence[Done]], None] = lambda variant, done: None,
) -> list[Row]:
    """One row for each, in order; Ray must be initialised. `on_row` gets each with its answers as it is there.

    `price_per_hour` is that of one copy of the model. A variant that cannot be measured costs only itself; DataError
    where none can.
    """
    lengths = Lengths(bench.prompt_tokens, bench.new_tokens, bench.batch_size, bench.repeats, seed)
    settings = {
        "chat_template": str(Path(model.chat_template).resolve()) if model.chat_template else None,
        "system_prompt": model.system_prompt,
        "max_new_tokens": evaluation.max_new_tokens,
    }
    first: dict[bool, tuple[str, list[str]]] = {}  # tuned or not -> the first variant's name and answers
    rows: list[Row] = []
    with progress.task("measure", "variants", len(loads)) as task:
        for load, measured in _measured(loads, lengths, [q.question for q in questions], settings):
            name = load.name if measured.has_bf16 else load.name.replace("bf16", "fp16")
            variant = Variant(name=name, form=load.form, engine=load.engine.name, refused=measured.refused)
            if measured.refused:
                logger.warning("%s: not measured: %s", name, measured.refused)
            else:
                of_same, theirs = first.setdefault(load.system != "base", (name, [d.answer for d in measured.done]))
                variant = _with_figures(variant, measured, price_per_hour)
                if questions:
                    same, common = alike([d.answer for d in measured.done], theirs)
                    variant = replace(
                        variant, num_answers=len(questions), num_same=same, mean_common=common, same_as=of_same,
                        quality=_quality(name, measured.done, questions, evaluation=evaluation, seed=seed),
                        seconds_per_answer=measured.exam_seconds / len(questions),
                    )  # fmt: skip
            rows.append((variant, measured))
            on_row(variant, measured.done)
            task.at(len(rows))
    if all(variant.refused for variant, _ in rows):
        raise DataError(f"no variant could be measured: {rows[0][0].name}: {rows[0][0].refused}")
    return rows


def gather(
    rows: Sequence[Row], *, model: str, bench: BenchConfig, num_questions: int, fingerprint: str, notes: Sequence[str]
) -> Bench:
    """The artifact of measured rows."""
    there = [measured for variant, measured in rows if not variant.refused]
    return Bench(
        model=model,
        device=there[0].device,
        variants=tuple(variant for variant, _ in rows),
        prompt_tokens=bench.prompt_tokens,
        new_tokens=bench.new_tokens,
        repeats=bench.repeats,
        num_questions=num_questions,
        memory_meaning=there[0].memory_meaning,
        fingerprint=fingerprint,
        notes=tuple(notes),
    )


def _measured(
    loads: Sequence[Load], lengths: Lengths, questions: Sequence[str], settings: Mapping[str, Any]
) -> Iterator[tuple[Load, Measured]]:
    import ray

    resources: dict[str, Any] = {}
    for load in loads:
        if load.refused:
            yield load, Measured(refused=load.refused)
            continue
        if not resources:  # while nothing is held
            resources, _ = actor_resources(load.engine, load.model_path, 1)
        # An environment of its own, or Ray may take a process in which something else has run.
        fresh = {"env_vars": {"RAY_FT_BENCH": load.name.replace(" ", "-")}}
        actor = ray.remote(Measurer).options(**resources, runtime_env=fresh).remote()
        try:
            yield load, ray.get(actor.measure.remote(load, lengths, list(questions), dict(settings)))
        except ray.exceptions.RayError as error:
            yield load, Measured(refused=f"its process ended, perhaps for memory: {first_line(error)}")
        finally:
            ray.kill(actor)


def _with_figures(variant: Variant, measured: Measured, price_per_hour: float | None) -> Variant:
    speeds = []
    for size, rates in measured.per_second.items():
        rate = timing(rates)
        dollars = None if price_per_hour is None else price_per_hour / 3600 / rate.median * 1e6
        speeds.append(Speed(size, timing(measured.first[size]), timing(measured.per_token[size]), rate, dollars))
    return replace(variant, load_seconds=measured.load_seconds, memory=dict(measured.memory), speeds=tuple(speeds))


def _quality(
    name: str, done: Sequence[Done], questions: Sequence[Question], *, evaluation: EvaluationConfig, seed: int
) -> Score | None:
    """Key-fact recall over the questions that have an answer, whatever their stratum; None where none has."""
    asked = [(d, questions[d.index]) for d in done if questions[d.index].answerable and questions[d.index].reference]
    if not asked:
        return None
    values = [score_question(q, d.answer, source=d.prompt)[PRIMARY_METRIC] for d, q in asked]
    measured = measure(
        "all", {(name, PRIMARY_METRIC): values}, [q.document_id for _, q in asked],
        num_bootstrap=evaluation.num_bootstrap, seed=seed,
    )  # fmt: skip
    return scores_of(measured)[0]
