"""Packed shards for a measurement, and the same batches as one array for stacks that know no shards."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.timed_steps.shapes import Shape

IGNORED = -100
Rows = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Example:
    """Plain token ids and labels, as ray_ft.data.build.packing takes them."""

    input_ids: list[int]
    labels: list[int]


def write_base_folder(folder: Path, shape: Shape) -> None:
    """config.json and a tokenizer of one token per word, without weights."""
    folder.mkdir(parents=True, exist_ok=True)
    config = shape.config() | {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(config))
    special = ["<unk>", "<s>", "</s>", "<pad>"]
    words = [*special, *(f"w{i}" for i in range(len(special), shape.vocabulary))]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
        "added_tokens": [{"id": i, "content": token, **flags, "special": True} for i, token in enumerate(special)],
        "model": {"type": "WordLevel", "vocab": {word: i for i, word in enumerate(words)}, "unk_token": "<unk>"},
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    names = dict(zip(("unk_token", "bos_token", "eos_token", "pad_token"), special, strict=True))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 4096, "padding_side": "right", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))


def full_rows(num_rows: int, *, sequence: int, vocabulary: int, seed: int) -> Rows:
    """[rows, 3, sequence]: one example of random tokens fills each row, and all of it trains."""
    random = np.random.default_rng(seed)
    ids = random.integers(4, vocabulary, (num_rows, sequence))
    labels = ids.copy()
    labels[:, 0] = IGNORED
    positions = np.broadcast_to(np.arange(sequence), ids.shape)
    return np.stack([ids, labels, positions], axis=1).astype(np.int32)


def short_examples(
    number: int, *, mean: float, limit: int, vocabulary: int, seed: int, spread: float = 0.8
) -> list[Example]:
    """Random tokens with log-normal lengths of that mean, cut at `limit`; `spread` is the logarithm's deviation."""
    random = np.random.default_rng(seed)
    lengths = random.lognormal(np.log(mean) - spread**2 / 2, spread, number).round().astype(int)
    examples = []
    for length in lengths.clip(8, limit):
        ids = random.integers(4, vocabulary, length).tolist()
        examples.append(Example(ids, [IGNORED, *ids[1:]]))
    return examples


def learnable_examples(number: int, *, limit: int, vocabulary: int, seed: int) -> list[Example]:
    """Random walks through few ids, so that a loss can fall; a prompt of up to 5 tokens does not train."""
    random = np.random.default_rng(seed)
    examples = []
    for _ in range(number):
        length = int(random.integers(limit // 8, limit // 2))
        ids = (
            4 + (random.integers(0, 200) + np.cumsum(random.integers(1, 3, length))) % min(200, vocabulary - 4)
        ).tolist()
        prompt = int(random.integers(1, 6))
        examples.append(Example(ids, [IGNORED] * prompt + ids[prompt:]))
    return examples


def pack(examples: list[Example], *, sequence: int) -> Rows:
    """Rows as `ray-ft prepare` packs them."""
    from ray_ft.data.build.packing import fill_row, pack_rows

    members = pack_rows([len(e.input_ids) for e in examples], sequence)
    return np.stack([fill_row([examples[i] for i in row], sequence, 3) for row in members])  # type: ignore[misc]


def write_training_set(folder: Path, rows: Rows, *, num_held_out: int = 0) -> None:
    """The shards of a training set with these rows; the first `num_held_out` of them are those to validate on, too."""
    shards = folder / "shards"
    shards.mkdir(parents=True, exist_ok=True)
    splits = {"train": rows, "validation": rows[:num_held_out]}
    manifest = {
        "version": 1, "max_seq_len": rows.shape[2], "data_digest": "random",
        "splits": {split: write_shard(shards, split, part) for split, part in splits.items()},
    }  # fmt: skip
    (shards / "manifest.json").write_text(json.dumps(manifest))


def write_shard(shards: Path, split: str, rows: Rows) -> dict[str, Any]:
    """What the manifest says of a split; where it has no rows there is no file."""
    if not len(rows):
        return {"num_rows": 0, "num_tokens": 0, "num_target_tokens": 0, "shards": []}
    file = f"{split}-00000-00.npy"
    np.save(shards / file, rows)
    return {
        "num_rows": len(rows), "num_tokens": int((rows[:, 0] != 3).sum()),
        "num_target_tokens": int((rows[:, 1] != IGNORED).sum()),
        "shards": [{"file": file, "num_rows": len(rows), "sha256": ""}],
    }  # fmt: skip


def batches_in_order(rows: Rows, *, global_batch: int, steps: int, seed: int) -> Rows:
    """[steps, global_batch, 3, sequence]: the rows that our loop takes at each step."""
    from ray_ft.training.batches import RowOrder

    order = RowOrder(len(rows), global_batch_size=global_batch, seed=seed)
    return np.stack([rows[order.global_batch(step)] for step in range(steps)])
