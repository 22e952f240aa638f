import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ray_ft.errors import DataError, MissingArtifactError
from ray_ft.training import batches
from ray_ft.training.batches import PackedRows, RowOrder, micro_batches, num_steps


def write_shards(folder: Path, sizes: list[int]) -> None:
    (folder / "shards").mkdir(parents=True)
    first = 0
    for number, size in enumerate(sizes):
        rows = np.full((size, 3, 4), -100, dtype=np.int32)
        rows[:, 0, 0] = range(first, first + size)  # the row's index, to recognise it by
        rows[:, 1, 2:] = 7  # two target tokens
        rows[:, 1, 0] = 7  # and a label that nothing predicts
        np.save(folder / "shards" / f"train-{number}.npy", rows)
        lines = [json.dumps([f"chunk {first + i}"]) for i in range(size)]
        (folder / "shards" / f"train-{number}.chunks.jsonl").write_text("\n".join(lines))
        first += size
    shards = [{"file": f"train-{n}.npy", "num_rows": size} for n, size in enumerate(sizes)]
    about = {"num_rows": first, "num_tokens": 4 * first, "shards": shards}
    (folder / "shards" / "manifest.json").write_text(json.dumps({"max_seq_len": 4, "splits": {"train": about}}))


def test_a_row_is_found_in_its_shard(tmp_path: Path) -> None:
    write_shards(tmp_path, [2, 1, 3])
    rows = PackedRows(tmp_path, "train")
    assert [int(rows[i][0, 0]) for i in range(len(rows))] == [0, 1, 2, 3, 4, 5]


def test_a_row_knows_the_chunks_in_it(tmp_path: Path) -> None:
    write_shards(tmp_path, [2, 1, 3])
    assert PackedRows(tmp_path, "train").chunk_ids(4) == ["chunk 4"]


def test_the_first_label_of_a_row_is_no_target(tmp_path: Path) -> None:
    write_shards(tmp_path, [3])
    assert PackedRows(tmp_path, "train").num_targets([0, 2]) == 4  # two rows of two


def test_a_split_without_rows_is_empty(tmp_path: Path) -> None:
    write_shards(tmp_path, [3])
    assert len(PackedRows(tmp_path, "validation")) == 0


def test_rows_that_nobody_prepared_name_the_verb(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifactError, match="ray-ft prepare"):
        PackedRows(tmp_path, "train")


def digested(folder: Path, digest: str) -> None:
    """Write into the manifest what its shards hash to."""
    path = folder / "shards" / "manifest.json"
    about = {**json.loads(path.read_text()), "data_digest": digest}
    for shard in about["splits"]["train"]["shards"]:
        shard["sha256"] = hashlib.sha256((folder / "shards" / shard["file"]).read_bytes()).hexdigest()
    path.write_text(json.dumps(about))


def test_a_set_that_was_made_anew_is_not_taken_for_the_runs_own(tmp_path: Path) -> None:
    write_shards(tmp_path, [2])
    digested(tmp_path, "d1")
    assert len(PackedRows(tmp_path, "train", data_digest="d1")) == 2
    with pytest.raises(DataError, match=r"another training set \(digest d1\) than the run's \(d2\)") as caught:
        PackedRows(tmp_path, "train", data_digest="d2")
    assert "\n" not in str(caught.value)


def test_no_shard_of_a_set_made_anew_is_mixed_with_those_that_are_open(tmp_path: Path) -> None:
    write_shards(tmp_path / "set", [2, 2])
    digested(tmp_path / "set", "d1")
    rows = PackedRows(tmp_path / "set", "train", data_digest="d1")
    assert int(rows[0][0, 0]) == 0
    write_shards(tmp_path / "new", [3, 3])
    digested(tmp_path / "new", "d2")
    (tmp_path / "set").rename(tmp_path / "old")
    (tmp_path / "new").rename(tmp_path / "set")
    shutil.rmtree(tmp_path / "old")
    assert int(rows[1][0, 0]) == 1  # of the shard that is open
    with pytest.raises(DataError, match=r"train-1\.npy is not the shard that its manifest lists\. .*prepare"):
        rows[2]


@pytest.mark.parametrize("harm", ["flipped", "truncated", "gone"])
def test_a_damaged_shard_is_told_in_one_line(tmp_path: Path, harm: str) -> None:
    write_shards(tmp_path, [4])
    digested(tmp_path, "d1")
    shard = tmp_path / "shards" / "train-0.npy"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    if harm == "gone":
        shard.unlink()
    else:
        shard.write_bytes(bytes(content) if harm == "flipped" else bytes(content[:-9]))
    with pytest.raises(DataError, match=r"train-0\.npy.*ray-ft prepare") as caught:
        PackedRows(tmp_path, "train")[0]
    assert "\n" not in str(caught.value)


def test_a_shard_is_hashed_once_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards(tmp_path, [4])
    digested(tmp_path, "d1")
    assert len(PackedRows(tmp_path, "train")[0]) == 3
    monkeypatch.setattr(batches, "hashlib", None)
    assert len(PackedRows(tmp_path, "train")[3]) == 3


def test_every_epoch_holds_every_row_once() -> None:
    order = RowOrder(10, global_batch_size=4, seed=1)
    stream = [row for step in range(10) for row in order.global_batch(step)]  # 40 rows, 4 epochs
    assert all(sorted(stream[i : i + 10]) == list(range(10)) for i in range(0, 40, 10))


def test_epochs_are_shuffled_differently() -> None:
    order = RowOrder(50, global_batch_size=50, seed=1)
    assert order.global_batch(0) != order.global_batch(1)


def test_the_order_follows_from_the_step_alone() -> None:
    walked = RowOrder(7, global_batch_size=3, seed=2)
    for step in range(12):
        walked.global_batch(step)
    assert RowOrder(7, global_batch_size=3, seed=2).global_batch(12) == walked.global_batch(12)


def test_a_global_batch_may_be_larger_than_the_split() -> None:
    batch = RowOrder(3, global_batch_size=8, seed=0).global_batch(0)
    assert sorted(batch[:3]) == sorted(batch[3:6]) == [0, 1, 2]


@pytest.mark.parametrize(("world_size", "micro_batch_size"), [(1, 8), (1, 2), (2, 1), (2, 4), (4, 2)])
def test_any_number_of_workers_shares_out_the_same_rows(world_size: int, micro_batch_size: int) -> None:
    options = {"micro_batch_size": micro_batch_size, "world_size": world_size}
    passes = zip(*(micro_batches(8, rank=rank, **options) for rank in range(world_size)), strict=True)
    shares = [share for together in passes for share in together]
    assert [row for rows, _ in shares for row in rows] == list(range(8))
    assert all(all(counts) for _, counts in shares)


def test_rows_that_do_not_divide_count_each_row_once_with_equal_passes_on_every_rank() -> None:
    shares = [list(micro_batches(5, micro_batch_size=2, rank=rank, world_size=2)) for rank in range(2)]
    counted = sorted(i for share in shares for rows, counts in share for i, c in zip(rows, counts, strict=True) if c)
    assert counted == [0, 1, 2, 3, 4]
    assert len(shares[0]) == len(shares[1]) == 2


def test_the_last_epoch_is_finished() -> None:
    # 1.5 epochs of 10 rows are 15 rows: 4 batches of 4, the last of which borrows one row.
    assert num_steps(10, global_batch_size=4, num_epochs=1.5, max_steps=None) == 4


def test_max_steps_wins_over_epochs() -> None:
    assert num_steps(10, global_batch_size=4, num_epochs=3, max_steps=2) == 2
