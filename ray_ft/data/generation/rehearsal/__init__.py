"""Rehearsal: the base itself answers general prompts, so that training goes on with what it says already.

The prompts are the package's own, and none of them is asked by an exam. An answer teaches nothing new; it keeps the
model where it is on what the documents do not speak of.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from ray_ft.artifacts import write_text
from ray_ft.config import RehearsalConfig
from ray_ft.data.generation.requests import ask_engine
from ray_ft.data.generation.response_cache import ResponseCache, find_responses
from ray_ft.data.ingest.datasets import DatasetFile, rehearsed_file
from ray_ft.data.run.journal import read_body
from ray_ft.data.tokenization.chat import ChatEncoder
from ray_ft.engines import Engine, WriteRequest
from ray_ft.errors import DataError
from ray_ft.rows import REHEARSAL
from ray_ft.words import is_loop, split

log = logging.getLogger("ray_ft")

ANSWERED = "answers.jsonl"
NO_ANSWER, LOOPED, REFUSED = "the base gave no answer", "the base went round in circles", "the engine refused"
SPARE_TOKENS = 2  # of a cut answer, which may be tokenised anew in fewer tokens than it was written in


def rehearse(
    rehearsal: RehearsalConfig,
    *,
    engine: Engine,
    answers: ResponseCache,
    encoder: ChatEncoder,
    model_path: str,
    chat_template: str | None,
    folder: Path,
    seed: int,
) -> DatasetFile:
    """Have the base answer, under the encoder's system prompt, what no earlier run asked it; a line for each prompt.

    Ray must be up. Raises GenerationError when the engine cannot go on, DataError where no answer can be trained on.
    """
    asked = [
        WriteRequest(
            prompt,
            max_new_tokens=rehearsal.max_new_tokens,
            temperature=rehearsal.temperature,
            seed=seed if rehearsal.temperature else 0,  # the likeliest answer is the same for all seeds
            system=encoder.system_prompt,
        )
        for prompt in draw_prompts(rehearsal.num_examples, seed=seed)
    ]
    row = {"name": REHEARSAL}
    answers = ask_engine(
        [row],
        partial(unanswered, asked=asked),
        answers=answers,
        engine=engine,
        model_path=model_path,
        chat_template=chat_template,
    )
    lines = answered_lines(asked, answers, encoder)
    left_out = Counter(line["dropped"] for line in lines if line["dropped"])
    if left_out.total() == len(lines):
        reason, number = left_out.most_common(1)[0]
        raise DataError(
            f"data.rehearsal: none of {len(lines)} answers of the base can be trained on, {number} because {reason}; "
            "a base that follows no instructions has nothing to rehearse: leave the key out"
        )
    path = folder / REHEARSAL / ANSWERED
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    num_cut = sum(line["is_cut"] for line in lines)
    log.info(
        "rehearsal: %s answers of the base, %s of them cut at max_new_tokens=%d, %s left out",
        f"{len(lines):,}", f"{num_cut:,}", rehearsal.max_new_tokens, f"{left_out.total():,}",
    )  # fmt: skip
    return rehearsed_file(path, weight=rehearsal.weight)


def read_prompts() -> list[tuple[str, str]]:
    """All prompts, each with its kind: fact, arithmetic, list, ..."""
    lines = files(__name__).joinpath("prompts.txt").read_text(encoding="utf-8").splitlines()
    return [(kind, prompt) for kind, _, prompt in (line.partition("\t") for line in lines)]


def prompts_digest() -> str:
    """Of all prompts: a training set is made anew where they are others."""
    return hashlib.sha256("\n".join(prompt for _, prompt in read_prompts()).encode()).hexdigest()[:16]


def draw_prompts(number: int, *, seed: int) -> list[str]:
    """So many prompts, at most, the kinds in the shares that they have of all; drawn by lot, more hold all of fewer."""
    by_kind: dict[str, list[str]] = {}
    for kind, prompt in sorted(read_prompts(), key=lambda pair: _lot(seed, pair[1])):
        by_kind.setdefault(kind, []).append(prompt)
    order = [((place + 0.5) / len(part), prompt) for part in by_kind.values() for place, prompt in enumerate(part)]
    return [prompt for _, prompt in sorted(order)[:number]]


def unanswered(row: dict[str, Any], answers: ResponseCache, *, asked: Sequence[WriteRequest]) -> Iterable[WriteRequest]:
    """What no run has had answered yet; `row` stands for all of it."""
    known = find_responses(answers)
    return [request for request in asked if answers.key(request) not in known]


def answered_lines(asked: Sequence[WriteRequest], answers: ResponseCache, encoder: ChatEncoder) -> list[dict[str, Any]]:
    """A line of the dataset for each request: prompt, completion, whether that is cut, and why it is left out."""
    known = find_responses(answers)
    lines = []
    for request in asked:
        ref = known.get(answers.key(request))
        text = "" if ref is None else read_body(ref, str)
        words = split(text)
        dropped = REFUSED if ref is None else NO_ANSWER if not words else LOOPED if is_loop(words) else ""
        # Which token came last is not kept: an answer of as many tokens as it had room for is taken as cut.
        is_cut = encoder.count_tokens(text) >= request.max_new_tokens - SPARE_TOKENS
        lines.append({"prompt": request.prompt, "completion": text.strip(), "is_cut": is_cut, "dropped": dropped})
    return lines


def _lot(seed: int, prompt: str) -> str:
    return hashlib.sha256(f"{seed}:{prompt}".encode()).hexdigest()
