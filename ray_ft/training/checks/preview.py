"""A few examples of the packed rows as text, with what the loss sees told from what it does not."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ray_ft.artifacts import Passage, ShownExample, TrainingSet
from ray_ft.models.tokenizer import load_tokenizer
from ray_ft.training.batches import IGNORED, INPUT_IDS, LABELS, PackedRows
from ray_ft.training.checks.gate import examples_of

NUM_SHOWN = 3
NUM_LOOKED_AT = 200  # rows, for one that holds several examples
MAX_CHARACTERS = 600  # of a stretch; of longer ones the middle is left out


def show_examples(
    training_set: TrainingSet, *, model_path: str, chat_template: str | None, seed: int
) -> tuple[ShownExample, ...]:
    """Two neighbours of a packed row and one of another, drawn by `seed`; fewer where there are no more."""
    tokenizer = load_tokenizer(model_path, chat_template)
    rows = PackedRows(training_set.path, "train", data_digest=training_set.data_digest)
    drawn = [int(i) for i in np.random.default_rng(seed).permutation(len(rows))[:NUM_LOOKED_AT]]
    packed = [i for i in drawn if len(list(examples_of(np.asarray(rows[i])))) > 1]
    order = dict.fromkeys([*packed[:1], *drawn])
    shown: list[ShownExample] = []
    more: list[ShownExample] = []  # of rows that two were shown of, for a set of few rows
    for index in order:
        found = list(_examples_of_row(rows, index, tokenizer))
        shown, more = [*shown, *found[:2]], [*more, *found[2:NUM_SHOWN]]
        if len(shown) >= NUM_SHOWN:
            break
    return tuple([*shown, *more][:NUM_SHOWN])


def render_examples(shown: Sequence[ShownExample], *, colour: bool) -> str:
    """The examples for a terminal: trained text is green, or stands between « and » where there is no colour."""
    opening, closing = ("\033[32m", "\033[0m") if colour else ("«", "»")
    blocks = []
    for example in shown:
        text = "".join(f"{opening}{p.text}{closing}" if p.trained else p.text for p in example.passages)
        place = f"example {example.number} of {example.num_in_row} in row {example.row}"
        counts = f"{example.num_tokens} tokens, {example.num_target_tokens} trained"
        blocks.append(f"── {example.chunk_id or 'no id'} · {place} · {counts}\n{text}")
    return "\n".join(blocks)


def _examples_of_row(rows: PackedRows, index: int, tokenizer: Any) -> Iterator[ShownExample]:
    row = np.asarray(rows[index])
    spans, names = list(examples_of(row)), rows.chunk_ids(index)
    for number, (start, end) in enumerate(spans):
        ids, trained = row[INPUT_IDS, start:end], row[LABELS, start:end] != IGNORED
        yield ShownExample(
            chunk_id=names[number] if number < len(names) else "",
            row=index,
            number=number + 1,
            num_in_row=len(spans),
            num_tokens=end - start,
            num_target_tokens=int(trained.sum()),
            passages=tuple(_passages(ids, trained, tokenizer)),
        )


def _passages(ids: npt.NDArray[np.int32], trained: npt.NDArray[np.bool_], tokenizer: Any) -> Iterator[Passage]:
    """Stretches of tokens that are alike, decoded, special tokens included."""
    borders = [0, *(np.flatnonzero(np.diff(trained.astype(np.int8))) + 1).tolist(), len(ids)]
    for start, end in pairwise(borders):
        text = str(tokenizer.decode(ids[start:end].tolist(), skip_special_tokens=False))
        yield Passage(_shortened(text), bool(trained[start]))


def _shortened(text: str) -> str:
    if len(text) <= MAX_CHARACTERS:
        return text
    half = MAX_CHARACTERS // 2
    return f"{text[:half]} […{len(text) - 2 * half:,} characters…] {text[-half:]}"
