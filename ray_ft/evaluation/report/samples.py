"""Questions with every system's answer side by side: all of them as JSON lines, the telling ones for the report."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_ft.artifacts import to_json, write_text
from ray_ft.errors import MissingArtifactError
from ray_ft.evaluation.exam.tasks import Done
from ray_ft.evaluation.exam.user_questions import SourceDocument
from ray_ft.evaluation.scores.scoring import PRIMARY_METRIC, PRIMARY_PAIRS
from ray_ft.rows import Chunk, Question, passage_text, stratum_named

NUM_SHOWN = 5
"""Samples of each kind in the report."""


@dataclass(frozen=True)
class Answer:
    """One system's answer to one question."""

    answer: str
    prompt: str
    prompt_sha256: str
    num_passages: int  # of those found, how many had room in the prompt
    num_prompt_tokens: int
    num_completion_tokens: int
    finish_reason: str
    scores: Mapping[str, float]
    invented: str = ""  # names in code that nothing has


@dataclass(frozen=True)
class Passage:
    """A passage as the models saw it, with its place in the corpus."""

    chunk_id: str
    text: str


@dataclass(frozen=True)
class Sample:
    """One question, its reference and what every system made of it."""

    id: str
    document_id: str
    path: str
    stratum: str
    kind: str
    origin: str
    answerable: bool
    question: str
    reference: str
    key_facts: tuple[str, ...]
    passages: tuple[Passage, ...]
    answers: Mapping[str, Answer]


@dataclass(frozen=True)
class Telling:
    """Samples for the report: where the treatment gained or lost most, and some drawn by lot."""

    treatment: str
    control: str
    wins: list[Sample]
    regressions: list[Sample]
    at_random: list[Sample]


def gather_samples(
    questions: Sequence[Question],
    rankings: Sequence[Sequence[Chunk]],
    done: Sequence[Done],
    sources: Sequence[SourceDocument],
    *,
    num_passages: int,
) -> list[Sample]:
    """One sample per question, with the answers in the order of `done`."""
    paths = {source.id: source.path for source in sources}
    answers: list[dict[str, Answer]] = [{} for _ in questions]
    for d in (d for d in done if d.kind == "question"):
        answers[d.index][d.system] = Answer(
            answer=d.answer,
            prompt=d.prompt,
            prompt_sha256=d.prompt_sha256,
            num_passages=d.num_passages,
            num_prompt_tokens=d.num_prompt_tokens,
            num_completion_tokens=d.num_completion_tokens,
            finish_reason=d.finish_reason,
            scores=d.scores,
            invented=d.invented,
        )
    return [
        Sample(
            id=q.id,
            document_id=q.document_id,
            path=paths.get(q.document_id, ""),
            stratum=q.stratum,
            kind=q.kind,
            origin=q.origin,
            answerable=q.answerable,
            question=q.question,
            reference=q.reference,
            key_facts=q.key_facts,
            passages=tuple(Passage(c.id, passage_text(c)) for c in rankings[i][:num_passages]),
            answers=answers[i],
        )
        for i, q in enumerate(questions)
    ]


def choose_telling(samples: Sequence[Sample], *, seed: int, num_shown: int = NUM_SHOWN) -> Telling | None:
    """The biggest wins and regressions of the first primary pair that was run, by key facts and then by words.

    None where only one system of every pair was run.
    """
    pair = next((p for p in PRIMARY_PAIRS if samples and set(p) <= set(samples[0].answers)), None)
    if pair is None:
        return None
    treatment, control = pair

    def gain(sample: Sample) -> float:
        after, before = sample.answers[treatment].scores, sample.answers[control].scores
        facts = after[PRIMARY_METRIC] - before[PRIMARY_METRIC]
        # Words decide between samples that state equally many facts, and never outweigh one.
        return facts + 0.01 * (after.get("token_f1", 0.0) - before.get("token_f1", 0.0))

    ranked = sorted((s for s in samples if s.answerable), key=lambda s: (-gain(s), s.id))
    wins = [s for s in ranked[:num_shown] if gain(s) > 0]
    regressions = [s for s in ranked[::-1][:num_shown] if gain(s) < 0]
    shown = {s.id for s in (*wins, *regressions)}
    rest = [s for s in samples if s.id not in shown]
    at_random = random.Random(seed).sample(rest, min(num_shown, len(rest)))
    return Telling(treatment, control, wins, regressions, at_random)


def write_lines(path: Path, rows: Sequence[Any]) -> None:
    """One JSON object per line; ASCII, so that no answer can break the file."""
    write_text(path, "".join(json.dumps(to_json(row), ensure_ascii=True) + "\n" for row in rows))


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """What `write_lines` wrote, with today's names of strata; MissingArtifactError for what is not there or damaged."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise MissingArtifactError(
            f"{path} cannot be read ({error.strerror}). Run `ray-ft evaluate CONFIG --force` to write it again."
        ) from None
    for number, line in enumerate(text.splitlines(), 1):
        try:
            row = json.loads(line)
            yield {**row, "stratum": stratum_named(row["stratum"])} if "stratum" in row else row
        except (ValueError, TypeError) as error:
            raise MissingArtifactError(f"{path}: line {number} is damaged ({error})") from None
