"""What the model says in the middle of training: greedy continuations of held-out prompts, into samples.jsonl.

Every rank takes part, because ZeRO-3 gathers weights in each forward pass. Passes are like those of training, without a
cache, so that whatever makes training fast serves here too. Greedy decoding draws no random number and evaluation mode
no dropout: a run with samples ends in the same weights as one without.
"""

import itertools
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ray_ft.kernels.attention import packed_lengths
from ray_ft.models.tokenizer import end_of_turn_id, load_tokenizer
from ray_ft.training.backends.acceleration import uncompiled
from ray_ft.training.batches import IGNORED, INPUT_IDS, LABELS, POSITION_IDS, PackedRows
from ray_ft.training.health.watchdog import Watchdog
from ray_ft.training.reporting.metrics import MetricsLog, keep_until
from ray_ft.training.task import TrainingTask

SAMPLES_FILE = "samples.jsonl"
NEW_TOKENS = 64
TEXT_PROMPT_TOKENS = 32  # of an example that is all target: plain text to go on with


class Samples:
    """The held-out prompts of a run and their answers at each evaluation; all ranks call `take`, rank 0 writes."""

    def __init__(
        self, task: TrainingTask, rows: PackedRows, *, after_step: int, lines: MetricsLog | None, device: Any
    ) -> None:
        self._held_out = held_out_prompts(rows, task.train.num_samples)
        self._task, self._lines, self._device = task, lines, device
        self._max_tokens = task.micro_batch_size * rows.max_seq_len
        self._path = Path(task.run_path) / SAMPLES_FILE
        self._tokenizer = load_tokenizer(task.base_path, task.chat_template) if self._held_out else None
        if lines is not None:
            keep_until(self._path, after_step)

    def take(self, engine: Any, *, step: int, watchdog: Watchdog) -> None:
        """Answer the prompts and write them down; nothing where the run wants no samples."""
        if not self._held_out:
            return
        watchdog.at(step, "samples")
        tokenizer: Any = self._tokenizer
        ends = {i for i in (tokenizer.eos_token_id, end_of_turn_id(tokenizer)) if i is not None}
        prompts = [example.prompt for example in self._held_out]
        answers = greedy(engine, prompts, end_ids=ends, max_tokens=self._max_tokens, device=self._device)
        engine.train()
        if self._lines is not None:
            try:
                write_samples(self._path, step, self._held_out, answers, tokenizer)
            except OSError as error:
                self._lines.failure = self._lines.failure or f"cannot write {self._path}: {error.strerror}"


@dataclass(frozen=True)
class HeldOut:
    """A prompt from the validation split, and what stands behind it there."""

    prompt: list[int]
    reference: list[int]


def held_out_prompts(rows: PackedRows, count: int) -> list[HeldOut]:
    """The first example of each row, then the second of each, and so on; the same ones at every evaluation.

    A conversation is asked for its first answer.
    """
    found: list[HeldOut] = []
    per_row = [_examples(rows, i) for i in range(min(len(rows), count))]
    while len(found) < count and per_row:
        still = []
        for examples in per_row:
            example = next(examples, None)
            if example is not None:
                found.append(example)
                still.append(examples)
        per_row = still
    return found[:count]


def greedy(
    engine: Any, prompts: Sequence[list[int]], *, end_ids: Collection[int], max_tokens: int, device: Any
) -> list[list[int]]:
    """Up to NEW_TOKENS ids behind each prompt, without the one that ends it; all ranks call it and get the same.

    `max_tokens` bounds the tokens of one forward pass. The engine stays in evaluation mode.
    """
    import torch

    engine.eval()
    answers: list[list[int]] = []
    with torch.no_grad(), uncompiled():
        for some in _groups(prompts, max_tokens=max_tokens):
            answers += _continue(engine, some, end_ids=end_ids, device=device)
    return answers


def write_samples(
    path: Path, step: int, held_out: Sequence[HeldOut], answers: Sequence[list[int]], tokenizer: Any
) -> None:
    """One line for each prompt: step, prompt, reference and text."""

    def text(ids: list[int], *, skip: bool) -> str:
        return str(tokenizer.decode(ids, skip_special_tokens=skip, clean_up_tokenization_spaces=False))

    with path.open("a", encoding="utf-8") as file:
        for example, answer in zip(held_out, answers, strict=True):
            line = {
                "step": step,
                "prompt": text(example.prompt, skip=False),
                "reference": text(example.reference, skip=True),
                "text": text(answer, skip=True),
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _examples(rows: PackedRows, index: int) -> Iterator[HeldOut]:
    """The examples packed into a row; padding has no targets and is left out."""
    row = np.asarray(rows[index])
    starts = [*np.flatnonzero(row[POSITION_IDS] == 0).tolist(), row.shape[1]]
    for start, end in itertools.pairwise(starts):
        ids, is_target = row[INPUT_IDS, start:end], row[LABELS, start:end] != IGNORED
        targets = np.flatnonzero(is_target)
        if len(targets) == 0:
            continue
        first = int(targets[0])
        if first <= 1:  # plain text
            first = min(TEXT_PROMPT_TOKENS, len(ids) // 2)
        behind = np.flatnonzero(~is_target[first:])
        stop = first + int(behind[0]) if len(behind) else len(ids)
        if 0 < first < stop:
            # Room for an answer within the row length; what stands right before the answer matters most.
            kept = max(1, rows.max_seq_len - NEW_TOKENS)
            yield HeldOut(ids[:first].tolist()[-kept:], ids[first:stop].tolist())


def _groups(prompts: Sequence[list[int]], *, max_tokens: int) -> Iterator[list[list[int]]]:
    """Prompts that are continued together, in order."""
    width = max((len(prompt) for prompt in prompts), default=0) + NEW_TOKENS
    size = max(1, max_tokens // width)
    for start in range(0, len(prompts), size):
        yield [list(prompt) for prompt in prompts[start : start + size]]


def _continue(engine: Any, prompts: list[list[int]], *, end_ids: Collection[int], device: Any) -> list[list[int]]:
    """One forward pass of one shape for each token; what is filled up behind a row's end, nothing before it sees."""
    import torch

    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    width = max(map(len, prompts)) + NEW_TOKENS
    ids = torch.zeros(len(prompts), width, dtype=torch.long, device=device)
    for i, prompt in enumerate(prompts):
        ids[i, : len(prompt)] = torch.tensor(prompt, device=device)
    positions = torch.arange(width, device=device).repeat(len(prompts), 1)
    borders = packed_lengths(positions)
    each = torch.arange(len(prompts), device=device)
    answers: list[list[int]] = [[] for _ in prompts]
    done = [False] * len(prompts)
    for step in range(NEW_TOKENS):
        places, which = torch.unique(lengths + step - 1, return_inverse=True)
        output = engine(input_ids=ids, position_ids=positions, use_cache=False, logits_to_keep=places, **borders)
        tokens = _as_rank_0(output.logits[each, which].argmax(dim=-1))
        ids[each, lengths + step] = tokens
        for i, token in enumerate(tokens.tolist()):
            done[i] = done[i] or token in end_ids
            if not done[i]:
                answers[i].append(token)
        if all(done):
            break
    return answers


def _as_rank_0(tokens: Any) -> Any:
    """Ranks must agree on when to stop, also where a tie falls differently."""
    import torch.distributed as dist

    if dist.is_initialized() and dist.get_world_size() > 1:
        dist.broadcast(tokens, src=0)
    return tokens
