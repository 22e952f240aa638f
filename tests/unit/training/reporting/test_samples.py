"""Sampled generations: which prompts, what they are continued with, and what is written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ray_ft.models.tokenizer import load_tokenizer
from ray_ft.training.batches import PackedRows
from ray_ft.training.reporting import samples
from ray_ft.training.reporting.samples import NEW_TOKENS, HeldOut, greedy, held_out_prompts, write_samples


def make_rows(folder: Path, rows: list[list[tuple[list[int], list[bool]]]], *, length: int = 16) -> PackedRows:
    """Validation rows of (ids, which are targets) examples, padded with zeros."""
    packed = np.zeros((len(rows), 3, length), dtype=np.int32)
    packed[:, 1] = -100
    for row, examples in zip(packed, rows, strict=True):
        at = 0
        for ids, targets in examples:
            here = slice(at, at + len(ids))
            row[0, here], row[2, here] = ids, range(len(ids))
            row[1, here] = np.where(targets, ids, -100)
            at += len(ids)
        row[2, at:] = range(length - at)
    (folder / "shards").mkdir(parents=True)
    np.save(folder / "shards" / "validation-00000.npy", packed)
    shards = [{"file": "validation-00000.npy", "num_rows": len(rows), "sha256": ""}]
    manifest = {
        "max_seq_len": length,
        "splits": {"validation": {"num_rows": len(rows), "num_tokens": 1, "shards": shards}},
    }
    (folder / "shards" / "manifest.json").write_text(json.dumps(manifest))
    return PackedRows(folder, "validation")


def answer(prompt: list[int], target: list[int]) -> tuple[list[int], list[bool]]:
    return prompt + target, [False] * len(prompt) + [True] * len(target)


def test_prompts_come_from_every_row_before_a_row_gives_a_second(tmp_path: Path) -> None:
    rows = make_rows(
        tmp_path,
        [[answer([1, 2], [3]), answer([4, 5], [6, 7])], [answer([8, 9], [10])]],
        length=NEW_TOKENS + 16,
    )
    found = held_out_prompts(rows, 5)
    assert found == [HeldOut([1, 2], [3]), HeldOut([8, 9], [10]), HeldOut([4, 5], [6, 7])]
    assert held_out_prompts(rows, 2) == found[:2] != held_out_prompts(rows, 1)


def test_a_conversation_is_asked_for_its_first_answer_and_a_text_goes_on_from_its_middle(tmp_path: Path) -> None:
    two_turns = ([1, 2, 3, 4, 5, 6], [False, False, True, False, False, True])
    text = ([7, 8, 9, 10], [False, True, True, True])
    rows = make_rows(tmp_path, [[two_turns, text]], length=NEW_TOKENS + 16)
    assert held_out_prompts(rows, 2) == [HeldOut([1, 2], [3]), HeldOut([7, 8], [9, 10])]


def test_a_long_prompt_keeps_its_end(tmp_path: Path) -> None:
    rows = make_rows(tmp_path, [[answer(list(range(1, 13)), [99])]], length=NEW_TOKENS + 4)
    assert held_out_prompts(rows, 1) == [HeldOut([9, 10, 11, 12], [99])]


@pytest.fixture(scope="module")
def model(tiny_model_path: str) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model_path, attn_implementation="sdpa")


PROMPTS = [[5, 9, 200, 7], [31, 8], [700, 3, 3, 900, 12, 77]]


@pytest.fixture(scope="module")
def generated(model: Any) -> list[list[int]]:
    """What transformers makes of each prompt alone."""
    import torch

    options = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": [4095]}
    outputs = [
        model.generate(ids, attention_mask=torch.ones_like(ids), **options)
        for ids in map(torch.tensor, [[p] for p in PROMPTS])
    ]
    return [output[0, len(prompt) :].tolist() for output, prompt in zip(outputs, PROMPTS, strict=True)]


@pytest.mark.parametrize("max_tokens", [1, 30, 10_000], ids=["one by one", "two and one", "all at once"])
def test_the_continuation_is_that_of_transformers_generate(
    model: Any, generated: list[list[int]], max_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "NEW_TOKENS", 8)
    assert greedy(model, PROMPTS, end_ids={4095}, max_tokens=max_tokens, device="cpu") == generated


def test_an_answer_ends_before_its_end_token(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "NEW_TOKENS", 8)
    whole = greedy(model, [[5, 9, 200, 7]], end_ids=(), max_tokens=1000, device="cpu")[0]
    assert len(whole) == 8
    end = whole[3]
    cut = greedy(model, [[5, 9, 200, 7]], end_ids={end}, max_tokens=1000, device="cpu")[0]
    assert cut == whole[: whole.index(end)]


def test_nothing_random_is_drawn(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(samples, "NEW_TOKENS", 8)

    torch.manual_seed(1)
    state = torch.get_rng_state()
    greedy(model.train(), [[5, 9]], end_ids=(), max_tokens=1000, device="cpu")
    assert torch.equal(torch.get_rng_state(), state)


def test_a_line_has_the_step_and_the_three_texts(tiny_model_path: str, tmp_path: Path) -> None:
    tokenizer: Any = load_tokenizer(tiny_model_path)
    asked = tokenizer.encode("<|im_start|>user\nPort?<|im_end|>\n", add_special_tokens=False)
    right, said = (tokenizer.encode(text, add_special_tokens=False) for text in ("Über 80<|im_end|>", "It is 81"))
    path = tmp_path / "samples.jsonl"
    for step in (4, 8):
        write_samples(path, step, [HeldOut(asked, right)], [said], tokenizer)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line.pop("step") for line in lines] == [4, 8]
    assert lines[0] == {
        "prompt": "<|im_start|>user\nPort?<|im_end|>\n", "reference": "Über 80", "text": "It is 81",
    }  # fmt: skip
