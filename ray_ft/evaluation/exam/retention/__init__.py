"""What a base could do before: our pack of general questions, and the prompts on which it says something of its own."""

import json
from collections.abc import Iterable
from importlib.resources import files

from ray_ft.config import EvaluationConfig
from ray_ft.evaluation.exam.questions import lot
from ray_ft.rows import Question, from_row

PACK = "retention pack: "
"""Begins the document of a question of the pack: each stands for itself."""


def draw_retention(num_questions: int, *, seed: int) -> list[Question]:
    """So many questions of the pack, at most, its kinds in the shares that they have in it; drawn by lot."""
    by_kind: dict[str, list[Question]] = {}
    for question in sorted(read_pack(), key=lambda question: lot(seed, question.id)):
        by_kind.setdefault(question.kind, []).append(question)
    order = [((place + 0.5) / len(part), q) for part in by_kind.values() for place, q in enumerate(part)]
    drawn = [question for _, question in sorted(order, key=lambda pair: (pair[0], pair[1].id))[:num_questions]]
    return sorted(drawn, key=lambda question: question.id)


def read_pack() -> list[Question]:
    """All questions of the pack: facts, arithmetic, instructions, formats and refusals, each with its own check."""
    rows = (json.loads(line) for line in _text("questions.jsonl").splitlines())
    empty = {"chunk_id": "", "stratum": "retention", "origin": "source", "key_facts": (), "checks": ()}
    return [from_row(Question, {**empty, "document_id": f"{PACK}{row['id']}", **row}) for row in rows]


def is_asked(system: str, stratum: str, evaluation: EvaluationConfig) -> bool:
    """Whether a system is asked questions of a stratum: where the pack is, general ones have no passages in front."""
    return not (evaluation.num_retention and stratum == "retention" and "+" in system)


def is_packed(question: Question) -> bool:
    """Whether a question is one of the pack."""
    return question.document_id.startswith(PACK)


def draw_prompts(num_samples: int, *, seed: int) -> list[str]:
    """A generic prompt for each continuation; where there are more continuations, prompts come again."""
    prompts = sorted(_text("prompts.txt").splitlines(), key=lambda prompt: lot(seed, prompt))
    return [prompts[i % len(prompts)] for i in range(num_samples)]


def tell_kinds(questions: Iterable[Question], scores: Iterable[tuple[float, float]]) -> str:
    """How many of each kind the base and the tuned model got right, from their scores: `fact 60 and 58 of 70; ...`."""
    kinds: dict[str, list[tuple[float, float]]] = {}
    for question, pair in zip(questions, scores, strict=True):
        kinds.setdefault(question.kind, []).append(pair)
    return "; ".join(
        f"{kind} {' and '.join(f'{sum(side):g}' for side in zip(*pairs, strict=True))} of {len(pairs)}"
        for kind, pairs in sorted(kinds.items())
    )


def _text(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
