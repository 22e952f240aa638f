"""What must hold before a run is worth its time: every example teaches something, answers end, and none sees another.

The rows are looked at as they lie on disk. What packing does to the model's own architecture is measured on a small
copy of it with random weights (isolation.py).
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ray_ft.artifacts import Gate, TrainingSet
from ray_ft.errors import ConfigError, DataError, ModelError
from ray_ft.models.tokenizer import end_of_turn_id, load_tokenizer, template_digest
from ray_ft.rows import Split
from ray_ft.storage import part_of
from ray_ft.training.batches import IGNORED, INPUT_IDS, LABELS, POSITION_IDS, PackedRows
from ray_ft.training.checks.isolation import TOLERANCE, isolate, why_state_leaks

MAX_TOKENS = 40_000_000  # of a split that are looked at, evenly spread over its rows: a second or two
MAX_NAMED = 4
NUM_PROBED_ROWS = 4
Row = npt.NDArray[np.int32]


def check_training_set(training_set: TrainingSet, *, model_path: str, chat_template: str | None) -> Gate:
    """Look at the packed rows and at what packing does to this architecture; cheap, and done before every training.

    Raises DataError for rows that would train wrongly, ConfigError when the chat template is not the one they were made
    with, ModelError for an architecture in which packed examples see each other.
    """
    started = time.monotonic()
    tokenizer = load_tokenizer(model_path, chat_template)
    if training_set.template_digest not in ("", template_digest(tokenizer)):
        raise ConfigError(
            f"{training_set.path} was made with another chat template than the model has now. "
            "Run `ray-ft prepare ... --force`."
        )
    seen = _Seen(end_id=end_of_turn_id(tokenizer))
    for split in ("train", "validation"):
        rows = PackedRows(training_set.path, split, data_digest=training_set.data_digest)
        _check_rows(rows, split=split, seen=seen)
        if split == "train":
            _check_end_of_turn(training_set, seen, tokenizer)
    difference = _check_isolation(PackedRows(training_set.path, "train"), model_path)
    return Gate(
        num_rows=seen.num_rows,
        num_examples=seen.num_examples,
        num_ends_of_turn=seen.num_ends_of_turn,
        packing_difference=difference,
        seconds=time.monotonic() - started,
    )


def examples_of(row: Row) -> Iterator[tuple[int, int]]:
    """Where each example of a packed row begins and ends; the padding behind the last one is none."""
    starts = np.flatnonzero(row[POSITION_IDS] == 0)
    ends = np.append(starts[1:], row.shape[1])
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if end < row.shape[1] or not _is_padding(row[:, start:]):
            yield start, end


def _is_padding(part: Row) -> bool:
    """Padding has no labels and holds one id only."""
    return bool((part[LABELS] == IGNORED).all() and (part[INPUT_IDS] == part[INPUT_IDS, 0]).all())


@dataclass
class _Seen:
    """Counts over the rows that were looked at."""

    end_id: int | None
    num_rows: int = 0
    num_examples: int = 0
    num_ends_of_turn: int = 0  # labels that are the token which ends a turn


def _check_rows(rows: PackedRows, *, split: Split, seen: _Seen) -> None:
    """Every example of the rows: raise DataError, with the names of the first bad ones, for the first rule broken."""
    silent: list[str] = []
    for index in _spread(len(rows), MAX_TOKENS // rows.max_seq_len):
        row = np.asarray(rows[index])
        labels, starts = row[LABELS], row[POSITION_IDS] == 0
        is_target = labels != IGNORED
        if not starts[0] or (is_target & starts).any():
            raise DataError(
                f"row {index} of {split}: an example is predicted from the one packed before it "
                f"({_named(rows, index)}). Run `ray-ft prepare ... --force`."
            )
        if (labels != row[INPUT_IDS])[is_target].any():
            raise DataError(
                f"row {index} of {split}: labels are other tokens than the row's own ({_named(rows, index)}). "
                "Run `ray-ft prepare ... --force`."
            )
        for number, (start, end) in enumerate(examples_of(row)):
            seen.num_examples += 1
            if not is_target[start:end].any():
                silent.append(_name(rows, index, number))
        seen.num_rows += 1
        seen.num_ends_of_turn += int((labels == seen.end_id).sum())
    if silent:
        more = f" and {len(silent) - MAX_NAMED} more" if len(silent) > MAX_NAMED else ""
        raise DataError(
            f"{len(silent)} examples of {split} have no token that the loss sees: "
            f"{', '.join(silent[:MAX_NAMED])}{more}. Run `ray-ft prepare ... --force`."
        )


def _check_end_of_turn(training_set: TrainingSet, seen: _Seen, tokenizer: Any) -> None:
    """A set with conversations or questions has to teach where an answer stops."""
    manifest = json.loads(part_of(training_set.path, "shards/manifest.json").read_text())
    num_chats = manifest["splits"].get("train", {}).get("num_chat_examples", 0)
    if num_chats == 0 or seen.num_ends_of_turn:
        return
    if seen.end_id is None:
        raise DataError("the chat template ends an answer by no token, so the tuned model would never stop")
    cut = f"; {training_set.num_truncated} answers were cut at model.max_seq_len" if training_set.num_truncated else ""
    raise DataError(
        f"none of {num_chats} chat examples trains {tokenizer.convert_ids_to_tokens(seen.end_id)}, which ends a turn, "
        f"so the tuned model would never stop{cut}. Raise model.max_seq_len, or give another model.chat_template."
    )


def _check_isolation(rows: PackedRows, model_path: str) -> float | None:
    """The largest relative difference of an example's loss packed against alone; None where no row holds two."""
    packed = []
    for index in _spread(len(rows), 64):
        row = np.asarray(rows[index])
        parts = [row[INPUT_IDS, start:end] for start, end in examples_of(row) if end - start > 1]
        if len(parts) > 1:
            packed.append(parts)
        if len(packed) == NUM_PROBED_ROWS:
            break
    if not packed:
        return None
    difference = isolate(model_path, packed)
    if difference is not None and difference > TOLERANCE:
        raise ModelError(
            f"packed examples see each other in {model_path}: packing changes an example's loss by "
            f"{100 * difference:.2g}%{why_state_leaks(model_path)}. Training packs examples, so this architecture "
            "cannot be trained here."
        )
    return difference


def _spread(num_rows: int, most: int) -> list[int]:
    """All rows, or `most` of them at even distances."""
    if num_rows <= most:
        return list(range(num_rows))
    return [int(i) for i in np.linspace(0, num_rows - 1, num=most)]


def _name(rows: PackedRows, index: int, number: int) -> str:
    names = rows.chunk_ids(index)
    return names[number] if number < len(names) else f"example {number + 1} of row {index}"


def _named(rows: PackedRows, index: int) -> str:
    return ", ".join(dict.fromkeys(rows.chunk_ids(index)[:MAX_NAMED])) or "no chunk ids"
