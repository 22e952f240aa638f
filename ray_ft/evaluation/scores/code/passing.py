"""pass@k of questions that bring a test: programs are run by the user's sandbox command, and never otherwise."""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from ray_ft.config import CodeTestsConfig
from ray_ft.errors import ConfigError
from ray_ft.evaluation.exam.tasks import Done, Task
from ray_ft.evaluation.scores.code.reading import code_in
from ray_ft.evaluation.scores.code.sandbox import Ran, command_words, run_program
from ray_ft.evaluation.scores.code.scoring import language_of
from ray_ft.evaluation.scores.metrics import without_thoughts
from ray_ft.evaluation.scores.scoring import PASS_AT
from ray_ft.rows import Question


@dataclass(frozen=True)
class Passed:
    """The outcomes with pass@k, what was run, and what could not be told."""

    done: list[Done]
    notes: tuple[str, ...] = ()
    rows: tuple[dict[str, Any], ...] = ()  # of evaluation/programs.jsonl


def pass_at_k(num_samples: int, num_passed: int, k: int) -> float:
    """1 - C(n - c, k) / C(n, k): the chance that one of k of the n programs is among the c that passed, without bias.

    Chen et al. 2021, arXiv 2107.03374.
    """
    return 1.0 - math.comb(num_samples - num_passed, k) / math.comb(num_samples, k)


def sample_tasks(tasks: Sequence[Task], questions: Sequence[Question], tests: CodeTestsConfig) -> list[Task]:
    """More programs of the questions that have a test, where more than the answer itself is wanted."""
    if tests.command is None or tests.num_samples == 1:
        return []
    try:
        command_words(tests)
    except ConfigError:  # which is told once the answers are there
        return []
    return [
        replace(task, kind="sample", sample=number, temperature=tests.temperature)
        for task in tasks
        if task.kind == "question" and is_tested(questions[task.index])
        for number in range(1, tests.num_samples + 1)
    ]


def is_tested(question: Question) -> bool:
    """Whether programs can be run for it."""
    return bool(question.test and language_of(question))


def with_pass_scores(done: Sequence[Done], questions: Sequence[Question], tests: CodeTestsConfig) -> Passed:
    """Run every program with its question's test, and add pass@k to the answers' scores; samples are left out.

    A question whose own reference fails says nothing of the systems: it gets no pass@k, and that is said.
    """
    answers = [d for d in done if d.kind != "sample"]
    tested = [i for i, question in enumerate(questions) if is_tested(question)]
    if not tested:
        return Passed(answers)
    if tests.command is None:
        note = (
            f"{len(tested)} questions bring a test that was not run: name a sandbox as evaluation.code_tests.command."
        )
        return Passed(answers, (note,))
    try:
        words = command_words(tests)
    except ConfigError as error:
        return Passed(answers, (f"There is no {PASS_AT}k: {error}.",))

    def run(one: tuple[int, str]) -> Ran:
        index, text = one
        question = questions[index]
        program = code_in(without_thoughts(text))
        language = language_of(question)
        return run_program(program, question.test, language=language, words=words, timeout_s=tests.timeout_s)

    with ThreadPoolExecutor(tests.max_parallel) as threads:
        references = dict(zip(tested, threads.map(run, [(i, questions[i].reference) for i in tested]), strict=True))
        sound = {i for i in tested if references[i].passed}
        kind = "sample" if tests.num_samples > 1 else "question"
        programs = [d for d in done if d.kind == kind and d.index in sound]
        ran = list(threads.map(run, [(d.index, d.answer) for d in programs]))
    counts: dict[tuple[int, str], int] = {}
    for d, one in zip(programs, ran, strict=True):
        counts[d.index, d.system] = counts.get((d.index, d.system), 0) + one.passed
    scored = [_scored(d, counts, tests) for d in answers]
    rows = [_row(questions[i], "reference", 0, references[i]) for i in tested]
    rows += [_row(questions[d.index], d.system, d.sample, one) for d, one in zip(programs, ran, strict=True)]
    failed = [i for i in tested if i not in sound]
    notes: tuple[str, ...] = ()
    if failed:
        first = questions[failed[0]].id, references[failed[0]].said.splitlines()[0][:120]
        notes = (
            f"{len(failed)} of {len(tested)} questions with a test have no {PASS_AT}k: their own reference fails it, "
            f"e.g. {first[0]}: {first[1]}.",
        )
    return Passed(scored, notes, tuple(rows))


def _scored(d: Done, counts: Mapping[tuple[int, str], int], tests: CodeTestsConfig) -> Done:
    passed = counts.get((d.index, d.system))
    if d.kind != "question" or passed is None:
        return d
    return replace(
        d, scores={**d.scores, **{f"{PASS_AT}{k}": pass_at_k(tests.num_samples, passed, k) for k in tests.k}}
    )


def _row(question: Question, system: str, sample: int, ran: Ran) -> dict[str, Any]:
    return {"id": question.id, "system": system, "sample": sample, "passed": ran.passed, "said": ran.said,
            "seconds": round(ran.seconds, 3)}  # fmt: skip
