"""Packed shards to batches, in an order that one integer describes; what a batch does to the model is the worker's.

The stream of rows is a seeded permutation of the split per epoch, one after another without end. Step s takes rows
[s * global_batch_size, (s + 1) * global_batch_size) of that stream, so no row is dropped: a global batch at the end
of an epoch is filled from the start of the next. Workers and accumulation steps only divide a global batch.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ray_ft.errors import DataError, MissingArtifactError, first_line
from ray_ft.kernels.attention import packed_lengths
from ray_ft.rows import Split
from ray_ft.storage import part_of

INPUT_IDS, LABELS, POSITION_IDS = 0, 1, 2
IGNORED = -100  # label of a position that the loss does not see
WAY_OUT = "The set was made anew beside this run, or is damaged: run `ray-ft prepare ... --force`, then train anew."


SOUND: set[tuple[Any, ...]] = set()
"""Shards that this process has hashed: what tells one file from another, and the hash that it was to have."""


class PackedRows:
    """The rows of one split, by index, memory-mapped: int32 [3, max_seq_len] of input ids, labels and position ids.

    `data_digest` is that of the set they have to be of. Raises DataError for another one, and where a shard is opened
    that is not the one its manifest lists: a set that is made anew beside a run must not be mixed with the run's own.
    """

    def __init__(self, training_set_path: str | Path, split: Split, *, data_digest: str = "") -> None:
        self.path = training_set_path
        try:
            manifest = json.loads(part_of(training_set_path, "shards/manifest.json").read_text())
        except MissingArtifactError:
            raise
        except FileNotFoundError:
            raise MissingArtifactError(
                f"No packed rows in {training_set_path}/shards. Run `ray-ft prepare CONFIG` first."
            ) from None
        found = manifest.get("data_digest", "none")
        if data_digest and found != data_digest:
            raise DataError(
                f"{training_set_path} holds another training set (digest {found}) than the run's "
                f"({data_digest}): it was prepared again. Train anew with --force, under another run_name if both are "
                "wanted."
            )
        about = manifest["splits"].get(split, {"num_rows": 0, "num_tokens": 0, "shards": []})
        self.num_rows: int = about["num_rows"]
        self.num_tokens: int = about["num_tokens"]
        self.max_seq_len: int = manifest["max_seq_len"]
        self._files: list[str] = [shard["file"] for shard in about["shards"]]
        self._hashes: list[str] = [shard.get("sha256", "") for shard in about["shards"]]
        self._ends = np.cumsum([shard["num_rows"] for shard in about["shards"]], dtype=np.int64)
        self._open: dict[int, npt.NDArray[np.int32]] = {}

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, index: int) -> npt.NDArray[np.int32]:
        shard, offset = self._locate(index)
        if shard not in self._open:
            self._open[shard] = self._checked(part_of(self.path, f"shards/{self._files[shard]}"), self._hashes[shard])
        row: npt.NDArray[np.int32] = self._open[shard][offset]
        return row

    def num_targets(self, indices: list[int]) -> int:
        """Tokens of these rows that the loss sees; the first of a row is predicted from nothing, so never counts."""
        return sum(int((self[i][LABELS, 1:] != IGNORED).sum()) for i in indices)

    def chunk_ids(self, index: int) -> list[str]:
        """The chunks that were packed into a row, for messages."""
        shard, offset = self._locate(index)
        path = part_of(self.path, f"shards/{self._files[shard].removesuffix('.npy')}.chunks.jsonl")
        if not path.is_file():
            return []
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                if number == offset:
                    return [str(chunk) for chunk in json.loads(line)]
        return []

    def _checked(self, path: Path, sha256: str) -> npt.NDArray[np.int32]:
        """A shard whose bytes are those that the manifest lists; what is mapped stays as it is, whatever follows it."""
        try:
            about = path.stat()
            rows: npt.NDArray[np.int32] = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path} cannot be read ({first_line(error)}). {WAY_OUT}") from None
        key = (sha256, path, about.st_ino, about.st_size, about.st_mtime_ns)
        if sha256 and key not in SOUND:
            if hashlib.sha256(memoryview(rows.base)).hexdigest() != sha256:  # type: ignore[arg-type]
                raise DataError(f"{path} is not the shard that its manifest lists. {WAY_OUT}")
            SOUND.add(key)
        return rows

    def _locate(self, index: int) -> tuple[int, int]:
        if not 0 <= index < self.num_rows:
            raise IndexError(index)
        shard = int(np.searchsorted(self._ends, index, side="right"))
        return shard, index - (int(self._ends[shard - 1]) if shard else 0)


def num_steps(num_rows: int, *, global_batch_size: int, num_epochs: float, max_steps: int | None) -> int:
    """Optimizer steps of a run; the last step of the last epoch may reach into rows of the next."""
    return max_steps if max_steps is not None else max(1, math.ceil(num_epochs * num_rows / global_batch_size))


class RowOrder:
    """Which rows each global batch holds; equal for any number of workers and accumulation steps."""

    def __init__(self, num_rows: int, *, global_batch_size: int, seed: int) -> None:
        self.num_rows, self.global_batch_size, self.seed = num_rows, global_batch_size, seed
        self._permutations: dict[int, list[int]] = {}

    def global_batch(self, step: int) -> list[int]:
        """Row indices of the step-th global batch."""
        first = step * self.global_batch_size
        return [self._row(i) for i in range(first, first + self.global_batch_size)]

    def epoch(self, step: int) -> float:
        """Passes over the split after `step` steps."""
        return step * self.global_batch_size / self.num_rows

    def _row(self, position: int) -> int:
        epoch, offset = divmod(position, self.num_rows)
        if epoch not in self._permutations:
            permutation = np.random.default_rng([self.seed, epoch]).permutation(self.num_rows)
            # A global batch touches two epochs where they meet, or several when it is larger than the split.
            recent = {e: p for e, p in self._permutations.items() if e > epoch - 2}
            self._permutations = {**recent, epoch: permutation.tolist()}
        return self._permutations[epoch][offset]


def micro_batches(
    num_rows: int, *, micro_batch_size: int, rank: int, world_size: int
) -> Iterator[tuple[list[int], list[bool]]]:
    """This rank's rows of a global batch or of a whole split, one forward pass at a time, and which of them count.

    Every rank gets equally many passes, filled with row 0, because ZeRO-3 gathers weights in each forward pass.
    """
    stride = micro_batch_size * world_size
    for first in range(0, num_rows, stride):
        wanted = range(first + rank * micro_batch_size, first + (rank + 1) * micro_batch_size)
        yield [i if i < num_rows else 0 for i in wanted], [i < num_rows for i in wanted]


def collate(rows: PackedRows, indices: list[int], counts: list[bool] | None = None) -> dict[str, Any]:
    """What a model's forward pass gets: int64 [rows, max_seq_len] tensors, and the borders of the packed examples.

    There is no attention mask on purpose: a 2-D mask beside restarting position ids switches the isolation of packed
    examples off. Causal attention keeps the padding at a row's end from touching anything before it.
    """
    import torch

    stacked = torch.from_numpy(np.stack([rows[i] for i in indices]).astype(np.int64))
    labels = stacked[:, LABELS].clone()
    if counts is not None:
        labels[~torch.tensor(counts)] = IGNORED
    position_ids = stacked[:, POSITION_IDS]
    return {
        "input_ids": stacked[:, INPUT_IDS], "labels": labels, "position_ids": position_ids,
        **packed_lengths(position_ids),
    }  # fmt: skip
