"""The gate: rows that would train wrongly are refused by the name of their example, before anything starts."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ray_ft.artifacts import TrainingSet
from ray_ft.errors import ConfigError, DataError
from ray_ft.models.tokenizer import end_of_turn_id, load_tokenizer, template_digest
from ray_ft.training.checks import gate as gate_module
from ray_ft.training.checks.gate import check_training_set, examples_of
from ray_ft.training.checks.preview import render_examples, show_examples

SIZE = 32
PAD, END = 0, 3  # ids of the builtin model's <|pad|> and <|im_end|>


def _example(prompt: int, answer: list[int]) -> np.ndarray:
    """[3, n]: a masked prompt of ids from 40, then the answer and the end of turn as targets."""
    ids = np.array([*range(40, 40 + prompt), *answer, END])
    labels = ids.copy()
    labels[:prompt] = -100
    return np.stack([ids, labels, np.arange(len(ids))])


def _row(*examples: np.ndarray) -> np.ndarray:
    used = sum(e.shape[1] for e in examples)
    padding = np.stack([np.full(SIZE - used, PAD), np.full(SIZE - used, -100), np.arange(SIZE - used)])
    return np.concatenate([*examples, padding], axis=1).astype(np.int32)


GOOD = [_row(_example(4, [50, 51]), _example(3, [60])), _row(_example(5, [70, 71, 72]))]


def _training_set(folder: Path, model_path: str, rows: list[np.ndarray], *, num_chats: int = 3) -> TrainingSet:
    (folder / "shards").mkdir(parents=True)
    np.save(folder / "shards" / "train-00000-00.npy", np.stack(rows))
    names = [[f"chats.jsonl:{10 * i + j}" for j in range(len(list(examples_of(row))))] for i, row in enumerate(rows)]
    (folder / "shards" / "train-00000-00.chunks.jsonl").write_text("".join(json.dumps(n) + "\n" for n in names))
    about = {
        "num_rows": len(rows), "num_tokens": 1, "num_target_tokens": 1, "num_chat_examples": num_chats,
        "shards": [{"file": "train-00000-00.npy", "num_rows": len(rows), "sha256": ""}],
    }  # fmt: skip
    manifest = {"version": 1, "max_seq_len": SIZE, "data_digest": "d", "splits": {"train": about}}
    (folder / "shards" / "manifest.json").write_text(json.dumps(manifest))
    counts = {"train": len(rows)}
    return TrainingSet(
        path=str(folder), recipes=("messages",), num_documents=counts, num_examples=counts, num_rows=counts,
        num_tokens=counts, num_target_tokens=counts, num_questions=0, files={}, max_seq_len=SIZE, tokenizer_digest="",
        template_digest=template_digest(load_tokenizer(model_path)), data_digest="d", fingerprint="f",
    )  # fmt: skip


def _check(folder: Path, model_path: str, rows: list[np.ndarray], **settings: Any) -> Any:
    return check_training_set(
        _training_set(folder, model_path, rows, **settings), model_path=model_path, chat_template=None
    )


def test_rows_in_order_pass_with_their_counts(tmp_path: Path, tiny_model_path: str) -> None:
    found = _check(tmp_path, tiny_model_path, GOOD)
    assert (found.num_rows, found.num_examples, found.num_ends_of_turn) == (2, 3, 3)
    assert found.packing_difference < 1e-5


def test_padding_is_no_example_and_a_full_row_has_none() -> None:
    assert list(examples_of(GOOD[0])) == [(0, 7), (7, 12)]
    full = _row(_example(10, [50] * 21))
    assert full.shape == (3, SIZE)
    assert list(examples_of(full)) == [(0, SIZE)]


def test_examples_without_a_trained_token_are_named_by_file_and_line(tmp_path: Path, tiny_model_path: str) -> None:
    silent = _example(4, [50, 51])
    silent[1] = -100
    rows = [GOOD[0], _row(_example(3, [60]), silent)]
    with pytest.raises(DataError, match=r"^1 examples of train have no token that the loss sees: chats\.jsonl:11\."):
        _check(tmp_path, tiny_model_path, rows)


def test_a_label_on_the_first_position_of_a_packed_example_is_a_leak(tmp_path: Path, tiny_model_path: str) -> None:
    leaking = GOOD[0].copy()
    leaking[1, 7] = leaking[0, 7]  # the second example begins at 7
    with pytest.raises(DataError, match=r"^row 0 of train: an example is predicted from the one packed before it"):
        _check(tmp_path, tiny_model_path, [leaking])


def test_a_label_that_is_not_the_token_itself_is_refused(tmp_path: Path, tiny_model_path: str) -> None:
    shifted = GOOD[0].copy()
    shifted[1, 4] += 1
    with pytest.raises(DataError, match="labels are other tokens than the row's own"):
        _check(tmp_path, tiny_model_path, [shifted])


def test_a_chat_set_that_never_trains_the_end_of_turn_is_refused(tmp_path: Path, tiny_model_path: str) -> None:
    cut = [_row(_example(4, [50, 51])[:, :-1], _example(3, [60])[:, :-1])]
    with pytest.raises(DataError, match=r"^none of 3 chat examples trains <\|im_end\|>, which ends a turn, so the"):
        _check(tmp_path / "chat", tiny_model_path, cut)
    assert _check(tmp_path / "plain", tiny_model_path, cut, num_chats=0).num_ends_of_turn == 0


def test_another_chat_template_than_the_rows_were_made_with_is_refused(tmp_path: Path, tiny_model_path: str) -> None:
    made = replace(_training_set(tmp_path, tiny_model_path, GOOD), template_digest="0" * 16)
    with pytest.raises(ConfigError, match="made with another chat template"):
        check_training_set(made, model_path=tiny_model_path, chat_template=None)


def test_of_many_rows_evenly_spread_ones_are_looked_at(
    tmp_path: Path, tiny_model_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_module, "MAX_TOKENS", 5 * SIZE)
    assert _check(tmp_path, tiny_model_path, GOOD * 10).num_rows == 5


def test_the_end_of_turn_is_the_first_special_token_behind_an_answer(tiny_model_path: str) -> None:
    tokenizer = load_tokenizer(tiny_model_path)
    assert end_of_turn_id(tokenizer) == tokenizer.convert_tokens_to_ids("<|im_end|>") == END
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    assert end_of_turn_id(tokenizer) == tokenizer.eos_token_id
    tokenizer.chat_template = None
    assert end_of_turn_id(tokenizer) == tokenizer.eos_token_id


def test_examples_are_shown_with_their_trained_text_marked(tmp_path: Path, tiny_model_path: str) -> None:
    made = _training_set(tmp_path, tiny_model_path, GOOD)
    shown = show_examples(made, model_path=tiny_model_path, chat_template=None, seed=0)
    assert [(e.chunk_id, e.number, e.num_in_row) for e in shown] == [
        ("chats.jsonl:0", 1, 2),
        ("chats.jsonl:1", 2, 2),
        ("chats.jsonl:10", 1, 1),
    ]
    tokenizer = load_tokenizer(tiny_model_path)
    prompt, answer = tokenizer.decode([40, 41, 42, 43]), tokenizer.decode([50, 51, END])
    plain = render_examples(shown, colour=False)
    assert plain.startswith(
        f"── chats.jsonl:0 · example 1 of 2 in row 0 · 7 tokens, 3 trained\n{prompt}«{answer}»\n── chats.jsonl:1 · "
    )
    assert f"{prompt}\033[32m{answer}\033[0m" in render_examples(shown, colour=True)


def test_of_a_single_row_three_examples_are_shown_too(tmp_path: Path, tiny_model_path: str) -> None:
    made = _training_set(tmp_path, tiny_model_path, [_row(*[_example(3, [60 + i]) for i in range(5)])])
    shown = show_examples(made, model_path=tiny_model_path, chat_template=None, seed=0)
    assert [(e.number, e.num_in_row) for e in shown] == [(1, 5), (2, 5), (3, 5)]
