"""Compares base, tuned and retrieval on the same questions and writes the report: the entrance of evaluation."""

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ray_ft.artifacts import Contrast, Report, Score, TrainingSet, TunedModel, write_text
from ray_ft.config import EvaluationConfig, ModelConfig
from ray_ft.engines import Engine
from ray_ft.errors import ConfigError
from ray_ft.evaluation.exam.questions import draw_exam, load_documents
from ray_ft.evaluation.exam.retention import draw_prompts, draw_retention, is_asked, is_packed, tell_kinds
from ray_ft.evaluation.exam.tasks import BASE, TUNED, Done, Task
from ray_ft.evaluation.exam.user_questions import SourceDocument
from ray_ft.evaluation.judging.asking import refuse_own_model
from ray_ft.evaluation.judging.opinion import opinion_of
from ray_ft.evaluation.report import findings, provenance
from ray_ft.evaluation.report.costs import costs_of
from ray_ft.evaluation.report.render import render_html, render_markdown
from ray_ft.evaluation.report.samples import Sample, gather_samples, write_lines
from ray_ft.evaluation.scores.checks import problem_of
from ray_ft.evaluation.scores.code.passing import sample_tasks, with_pass_scores
from ray_ft.evaluation.scores.code.scoring import with_code_scores
from ray_ft.evaluation.scores.contrasts import contrasts_of, withheld
from ray_ft.evaluation.scores.metrics import nats_to_bits
from ray_ft.evaluation.scores.scoring import (
    BASELINES,
    HARNESS,
    MRR_DEPTH,
    PRIMARY_METRIC,
    measure,
    measure_answers,
    measure_documents,
    measure_retrieval,
    measure_said,
    scores_of,
)
from ray_ft.evaluation.systems.answering import answer_all
from ray_ft.evaluation.systems.choosing import choose_retrieval
from ray_ft.evaluation.systems.gold import with_gold
from ray_ft.evaluation.systems.harness import TaskScores, do_tasks, require_harness
from ray_ft.retrievers.passages import NUM_PASSAGES, read_passages
from ray_ft.rows import Chunk, Question, passage_text

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exam:
    """Everything that is asked, the same for all systems."""

    systems: tuple[str, ...]
    questions: list[Question]
    num_candidates: int  # questions that the sample was drawn from
    passages: list[Chunk]  # what retrieval finds them in; empty without retrieval
    rankings: list[list[Chunk]]  # per question, best first
    documents: list[SourceDocument]  # held out, with text, for bits per byte
    num_passages: int = NUM_PASSAGES  # shown with a question
    chosen: str = ""  # how retrieval was chosen, where it was
    notes: tuple[str, ...] = ()  # what was asked for and could not be done
    prompts: tuple[str, ...] = ()  # to which the base says something of its own, once each

    def sources(self) -> list[str]:
        """The passages of each question's own document, where there are passages."""
        texts: dict[str, list[str]] = {}
        for passage in self.passages:
            texts.setdefault(passage.document_id, []).append(passage_text(passage))
        return ["\n".join(texts.get(question.document_id, ())) for question in self.questions]


def compare(
    *,
    training_set: TrainingSet,
    tuned: TunedModel,
    model: ModelConfig,
    evaluation: EvaluationConfig,
    engine: Engine,
    run_path: str,
    seed: int,
    fingerprint: str,
    common: Sequence[str] = (),
    price_per_hour: float | None = None,
) -> Report:
    """Ask every system the same questions, judge the paired differences, and write samples, report.html and report.md.

    Ray must be initialised; `price_per_hour` is that of one copy of the model, `common` are texts that questions may
    share with training. Raises ConfigError for bad questions, DataError when there are none, MissingArtifactError for
    an incomplete training set, ModelError or GenerationError from the engine.
    """
    started = time.monotonic()
    if evaluation.judge is not None:
        refuse_own_model(evaluation.judge, model, tuned, engine)
    require_harness(evaluation.lm_eval_tasks)
    sources = load_documents(training_set)
    room = model.max_seq_len - evaluation.max_new_tokens
    exam = set_exam(training_set, evaluation, sources=sources, seed=seed, room=room)
    tasks = _tasks(exam, evaluation)
    done = answer_all(
        [*tasks, *sample_tasks(tasks, exam.questions, evaluation.code_tests)],
        questions=exam.questions,
        sources=exam.sources(),
        tuned=tuned,
        model=model,
        evaluation=evaluation,
        engine=engine,
        kept_path=str(kept_answers(run_path, fingerprint)),
    )
    passed = with_pass_scores(done, exam.questions, evaluation.code_tests)
    done = with_code_scores(passed.done, exam.questions, training_set.path)
    of_others = do_tasks(evaluation.lm_eval_tasks, evaluation.lm_eval_path, tuned=tuned, run_path=run_path)
    scores, contrasts = judge(exam, done, evaluation=evaluation, seed=seed, tasks=of_others)
    opinion = opinion_of(done, exam.questions, evaluation, run_path=Path(run_path), seed=seed)
    contrasts += opinion.contrasts
    samples = gather_samples(exam.questions, exam.rankings, done, sources, num_passages=exam.num_passages)
    logger.info("asked %d questions of %s in %.0f s", len(samples), ", ".join(exam.systems), time.monotonic() - started)
    asked = provenance.describe_questions(exam.questions, num_candidates=exam.num_candidates)
    proof = provenance.split_proof(
        training_set, sources, exam.questions, exam.documents, are_users=bool(evaluation.questions), common=common
    )
    report = Report(
        model=model.name,
        scores=tuple(score for score in scores if score.system not in BASELINES),
        baselines=tuple(score for score in scores if score.system in BASELINES),
        contrasts=tuple(contrasts),
        costs=tuple(costs_of(done, price_per_hour=price_per_hour)),
        num_questions=len(exam.questions),
        samples_path=str(Path(run_path) / "evaluation" / "samples.jsonl"),
        html_path=str(Path(run_path) / "report.html"),
        fingerprint=fingerprint,
        notes=(
            *exam.notes,
            *passed.notes,
            *opinion.notes,
            *proof.leaks,
            *provenance.prompt_differences(done),
            *findings.warnings(scores, contrasts),
            *provenance.limits(exam.questions, exam.documents, samples, evaluation),
        ),
        details={
            "questions": asked,
            **_told_kinds(exam, done),
            "split": proof.statement,
            **provenance.details(
                training_set,
                tuned,
                model=model,
                evaluation=replace(evaluation, num_passages=exam.num_passages),
                engine=engine,
                seed=seed,
                done=done,
            ),
            **({"retrieval chosen": exam.chosen} if exam.chosen else {}),
            **({"judge": opinion.trust} if opinion.trust else {}),
        },
        judged=opinion.judged,
        remedy=findings.remedy(contrasts, training_set),
    )
    for name, rows in (("judged.jsonl", opinion.rows), ("programs.jsonl", passed.rows)):
        if rows:
            write_lines(Path(run_path) / "evaluation" / name, rows)
    _write(report, samples, exam, done, run_path=Path(run_path), seed=seed)
    shutil.rmtree(kept_answers(run_path, fingerprint), ignore_errors=True)  # all of it is in the samples
    return report


def kept_answers(run_path: str | Path, fingerprint: str) -> Path:
    """Folder of the answers on their way to a report; gone once it is there."""
    return Path(run_path) / "evaluation" / f"answers-{fingerprint}"


def set_exam(
    training_set: TrainingSet, evaluation: EvaluationConfig, *, sources: Sequence[SourceDocument], seed: int, room: int
) -> Exam:
    """Draw the questions and the held-out documents, and find the passages for every question once.

    A training set without documents has no passages, and one of plain text may have no questions: what cannot be
    compared is then left out, and that is said. `room` is the most tokens that a prompt may take.
    """
    systems = tuple(dict.fromkeys(evaluation.systems))
    questions, num_candidates, documents = draw_exam(training_set, evaluation, sources, seed=seed)
    questions += draw_retention(evaluation.num_retention, seed=seed)
    for question, problem in ((q, problem_of(check)) for q in questions for check in q.checks):
        if problem:
            raise ConfigError(f"evaluation.questions: {question.id}: {problem}")
    with_retrieval = [system for system in systems if "+" in system]
    prepared = read_passages(training_set.path) if with_retrieval else []
    retrieval = choose_retrieval(prepared, evaluation, training_set.path, room=room, seed=seed)
    passages, index, num_passages = retrieval.passages, retrieval.index, retrieval.num_passages
    if passages is not prepared:  # their names are of passages that were cut anew
        questions = [replace(question, chunk_id="") for question in questions]
    questions = [with_gold(question, passages) for question in questions]
    notes = retrieval.notes
    if not questions:
        notes += ("There are no questions, so only bits per byte are compared: give some as evaluation.questions.",)
    if with_retrieval and not passages:
        systems = tuple(system for system in systems if system not in with_retrieval)
        notes += (f"There is no document to retrieve from, so {' and '.join(with_retrieval)} were not compared.",)
    for note in notes:
        logger.warning(note)
    if not systems:
        raise ConfigError("evaluation.systems: there is no document to retrieve from; add base and tuned")
    depth = max(MRR_DEPTH, num_passages)
    rankings = [index.search(question.question, depth) if index is not None else [] for question in questions]
    prompts = tuple(draw_prompts(evaluation.num_retention, seed=seed))
    return Exam(
        systems, questions, num_candidates, passages, rankings, documents, num_passages, retrieval.table, notes, prompts
    )


def _told_kinds(exam: Exam, done: Sequence[Done]) -> dict[str, str]:
    """What became of the retention pack, by kind of question, as a detail of the report."""
    right = {(d.index, d.system): d.scores.get(PRIMARY_METRIC, 0.0) for d in done if d.kind == "question"}
    packed = [i for i, question in enumerate(exam.questions) if is_packed(question)]
    if not packed:
        return {}
    told = tell_kinds((exam.questions[i] for i in packed), ((right[i, BASE], right[i, TUNED]) for i in packed))
    return {"retention pack": f"right answers of base and tuned: {told}"}


def _tasks(exam: Exam, evaluation: EvaluationConfig) -> list[Task]:
    """Every system's questions, then every plain system's documents: passages have no part in bits per byte."""
    tasks: list[Task] = []
    gold = {passage.id: passage for passage in exam.passages}
    for system in exam.systems:
        for i, (question, ranking) in enumerate(zip(exam.questions, exam.rankings, strict=True)):
            if not is_asked(system, question.stratum, evaluation):
                continue
            shown = ranking[: exam.num_passages] if system.endswith("+rag") else []
            if system.endswith("+oracle") and question.chunk_id in gold:
                shown = [gold[question.chunk_id]]
            passages = tuple(map(passage_text, shown))
            tasks.append(Task(index=i, kind="question", system=system, text=question.question, passages=passages))
    for system in (s for s in exam.systems if "+" not in s):
        tasks.extend(
            Task(index=i, kind="document", system=system, text=document.text)
            for i, document in enumerate(exam.documents)
        )
    for system in (BASE, TUNED):
        tasks.extend(Task(index=i, kind="said", system=system, text=prompt) for i, prompt in enumerate(exam.prompts))
    return tasks


def judge(
    exam: Exam, done: Sequence[Done], *, evaluation: EvaluationConfig, seed: int, tasks: Sequence[TaskScores] = ()
) -> tuple[list[Score], list[Contrast]]:
    """Scores and contrasts of all strata, of the held-out documents' bits per byte, and of retrieval by itself."""
    draws: dict[str, Any] = {"num_bootstrap": evaluation.num_bootstrap, "seed": seed}
    copies = ["\n".join(map(passage_text, found[: exam.num_passages])) for found in exam.rankings]
    groups = measure_answers([d for d in done if d.kind == "question"], exam.questions, copies=copies, **draws)
    texts = [document.text for document in exam.documents]
    bits = measure_documents([d for d in done if d.kind == "document"], texts, **draws)
    said = measure_said([d for d in done if d.kind == "said"], exam.prompts, **draws)
    groups += [group for group in (bits, said) if group is not None]
    groups += [measure(f"{HARNESS}{task.name}", task.columns(), task.items, **draws) for task in tasks]
    finding = measure_retrieval(exam.questions, exam.rankings, exam.passages, num_passages=exam.num_passages, **draws)
    scores = [score for group in (*groups, *finding) for score in scores_of(group)]
    contrasts = contrasts_of(groups, margin=evaluation.margin, **draws)
    return scores, withheld(contrasts, scores, num_passages=exam.num_passages)


def _write(
    report: Report, samples: Sequence[Sample], exam: Exam, done: Sequence[Done], *, run_path: Path, seed: int
) -> None:
    """Every prompt, answer and score as JSON lines; then the report for people."""
    write_lines(run_path / "evaluation" / "samples.jsonl", samples)
    bits = [
        {
            "document_id": exam.documents[d.index].id,
            "system": d.system,
            "num_bytes": len(exam.documents[d.index].text.encode("utf-8", "replace")),
            "bits": nats_to_bits(d.negative_log_likelihood),
        }
        for d in done
        if d.kind == "document"
    ]
    write_lines(run_path / "evaluation" / "bits_per_byte.jsonl", bits)
    said = [
        {
            "prompt": exam.prompts[d.index],
            "said": d.answer,
            "system": d.system,
            "num_tokens": d.num_completion_tokens,
            "bits": nats_to_bits(d.negative_log_likelihood),
        }
        for d in done
        if d.kind == "said"
    ]
    if said:
        write_lines(run_path / "evaluation" / "own_samples.jsonl", said)
    write_text(run_path / "report.html", render_html(report, samples, seed=seed))
    write_text(run_path / "report.md", render_markdown(report))
