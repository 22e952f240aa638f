"""Checkpoints of our own engines through everything that can happen to them: sound ones are gone on from, others never.

Ranks are threads. Each case trains two steps with a checkpoint after each, does harm, and goes on with other workers.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from threaded_ranks import engine_of, run_ranks, train

from ray_ft.errors import ConfigError, TrainingError
from ray_ft.training.checkpoints.record import complete_checkpoints
from ray_ft.training.checkpoints.save import Checkpointer

MATRIX = [
    (stage, precision, before, after)
    for stage in (0, 1, 2)
    for precision in ("fp32", "bf16", "fp16")
    for before, after in ((1, 2), (2, 1))
]


def checkpointer_in(run_path: Path, *, keep: int = 2, uri: str | None = None, **about: Any) -> Checkpointer:
    train = SimpleNamespace(num_checkpoints_to_keep=keep, checkpoint_uri=uri)
    task: Any = SimpleNamespace(
        run_path=str(run_path), train=train, identity={"seed": 1}, config={}, plan={}, writes_best=False
    )
    vars(task).update(about)
    return Checkpointer(task, report=lambda *_: None)


@pytest.fixture(autouse=True, scope="module")
def no_git() -> Iterator[None]:
    """Each save would start a process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ray_ft.training.checkpoints.save.git_revision", lambda: "")
        yield


def weights_of(engine: Any) -> dict[str, Any]:
    return {name: p.detach().clone() for name, p in engine.module.named_parameters()}


def train_and_save(
    run_path: Path,
    *,
    stage: int = 1,
    precision: str = "bf16",
    ranks: int = 2,
    losses: tuple[float, ...] = (),
    **how: Any,
) -> list[dict[str, Any]]:
    """A checkpoint after each of two steps, or as many as there are validation losses; the weights after each step."""

    def work(rank: int) -> list[dict[str, Any]]:
        engine = engine_of(stage, precision, world_size=ranks)
        checkpointer = checkpointer_in(run_path, **how)
        after: list[dict[str, Any]] = [weights_of(engine)]
        for step, loss in enumerate(losses or (None, None), start=1):
            train(engine, rank=rank, seed=step)
            after.append(weights_of(engine))
            checkpointer.save(engine, step=step, metrics={}, validation_loss=loss)
        checkpointer.close()
        return after

    found: list[dict[str, Any]] = run_ranks(ranks, work)[0]
    return found


def restored(
    run_path: Path, *, stage: int = 1, precision: str = "bf16", ranks: int = 1, **how: Any
) -> tuple[int, dict[str, Any], list[str]]:
    """Step, weights and warnings with which a run goes on."""

    def work(rank: int) -> Any:
        engine = engine_of(stage, precision, world_size=ranks, num_micro_batches=3)
        checkpointer = checkpointer_in(run_path, **how)
        return checkpointer.restore(engine), weights_of(engine), checkpointer.take_warnings()

    found: tuple[int, dict[str, Any], list[str]] = run_ranks(ranks, work)[0]
    return found


def same(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)


def a_shard(run_path: Path, step: int = 2) -> Path:
    return sorted((run_path / "checkpoints" / f"step-{step:06d}" / "state").iterdir())[-1]


def lose(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def flip_the_record(path: Path) -> None:
    record = path.parents[1] / "checkpoint.json"
    record.write_text(record.read_text().replace('"step": 2', '"step": 3'))


Written = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Copies what `train_and_save` leaves, made once for each set-up, into a folder; returns the weights."""
    made: dict[Any, tuple[Path, list[dict[str, Any]]]] = {}

    def copy_to(run_path: Path, **how: Any) -> list[dict[str, Any]]:
        key = tuple(how.items())
        if key not in made:
            folder = tmp_path_factory.mktemp("written")
            made[key] = folder, train_and_save(folder, **how)
        folder, weights = made[key]
        shutil.copytree(folder, run_path, dirs_exist_ok=True)
        return weights

    return copy_to


@pytest.mark.parametrize("harm", [lose, cut, flip, flip_the_record])
@pytest.mark.parametrize(("stage", "precision", "before", "after"), MATRIX)
def test_a_spoilt_checkpoint_is_passed_over_for_the_one_before(
    stage: int,
    precision: str,
    before: int,
    after: int,
    harm: Callable[[Path], None],
    written: Written,
    tmp_path: Path,
) -> None:
    then = written(tmp_path, stage=stage, precision=precision, ranks=before)
    harm(a_shard(tmp_path))
    step, weights, warnings = restored(tmp_path, stage=stage, precision=precision, ranks=after)
    assert step == 1
    assert same(weights, then[1])
    assert not same(then[1], then[2])
    (warning,) = warnings
    assert warning.startswith("step-000002 was passed over: ")


@pytest.mark.parametrize(("stage", "precision", "before", "after"), MATRIX)
def test_a_writer_that_dies_ends_the_run_and_costs_no_checkpoint(
    stage: int,
    precision: str,
    before: int,
    after: int,
    written: Written,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    then = written(tmp_path, stage=stage, precision=precision, ranks=before)
    save = torch.save

    def out_of_memory(state: Any, file: Any) -> None:
        save(state, file)
        if f"-{before - 1:05d}.pt" in file.file.name:  # the last rank's
            raise MemoryError("no room for a buffer")

    def go_on(rank: int) -> None:
        engine = engine_of(stage, precision, world_size=before)
        checkpointer = checkpointer_in(tmp_path, keep=1)
        assert checkpointer.restore(engine) == 2
        train(engine, rank=rank, seed=3)
        checkpointer.save(engine, step=3, metrics={}, validation_loss=None)
        with pytest.raises(TrainingError, match="at step 3: cannot write the checkpoint: MemoryError: no room"):
            checkpointer.close()

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", out_of_memory)
        run_ranks(before, go_on)
    assert [c.step for c in complete_checkpoints(tmp_path)] == [1, 2]
    step, weights, warnings = restored(tmp_path, stage=stage, precision=precision, ranks=after)
    assert (step, warnings) == (2, [])
    assert same(weights, then[2])


def test_a_rank_that_says_nothing_does_not_count_as_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Checkpointer, "_write", lambda *_: None)
    with pytest.raises(TrainingError, match="ended without a word"):
        train_and_save(tmp_path)
    assert complete_checkpoints(tmp_path) == []


def test_a_file_that_is_not_as_its_writer_said_keeps_the_checkpoint_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    then = train_and_save(tmp_path)
    conclude = Checkpointer._conclude

    def lose_a_file_first(self: Checkpointer) -> None:
        assert self._on_its_way is not None
        if self._first:
            lose(next((self._on_its_way.partial / "state").iterdir()))
        conclude(self)

    monkeypatch.setattr(Checkpointer, "_conclude", lose_a_file_first)
    with pytest.raises(TrainingError, match="No such file"):
        train_and_save(tmp_path, keep=1)
    assert [c.step for c in complete_checkpoints(tmp_path)] == [1, 2]
    assert same(restored(tmp_path)[1], then[2])


def test_everything_is_on_the_disk_before_the_folder_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync, rename = os.fsync, Path.rename
    seen: dict[str, list[str]] = {}

    def note(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        inside = [str(path) for path in (self, *self.rglob("*"))]
        seen[target.name] = [path for path in inside if path not in synced]
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(Path, "rename", renamed)
    train_and_save(tmp_path)
    assert seen == {"step-000001": [], "step-000002": []}
    assert synced[-1] == str(tmp_path / "checkpoints")


def test_where_no_checkpoint_is_sound_nothing_starts_over_by_itself(tmp_path: Path) -> None:
    train_and_save(tmp_path)
    for step in (1, 2):
        flip(a_shard(tmp_path, step))
    for _ in range(2):
        with pytest.raises(TrainingError, match=r"is sound .*--force"):
            restored(tmp_path)


def test_an_earlier_version_s_replicated_checkpoint_is_taken_with_a_warning(tmp_path: Path) -> None:
    then = train_and_save(tmp_path, stage=0)
    without_digests(tmp_path)
    step, weights, (warning,) = restored(tmp_path, stage=0)
    assert step == 2
    assert same(weights, then[2])
    assert "no digests" in warning


def test_an_earlier_version_s_shares_are_refused_in_one_line(tmp_path: Path) -> None:
    train_and_save(tmp_path, stage=1)
    without_digests(tmp_path)
    with pytest.raises(ConfigError, match=r"ZeRO-1 or -2 state without names; .*--force`$") as raised:
        restored(tmp_path)
    assert "\n" not in str(raised.value)


def without_digests(run_path: Path) -> None:
    for path in (run_path / "checkpoints").glob("*/checkpoint.json"):
        record = json.loads(path.read_text())
        path.write_text(json.dumps({key: record[key] for key in record if key not in ("sha256", "digest")}))


# --- the best weights -------------------------------------------------------------------------------------------------

BEST_FIRST = (1.0, 2.0, 3.0)


def best_again(run_path: Path, uri: str | None = None) -> dict[str, Any]:
    def work(rank: int) -> Any:
        engine = engine_of(1, "bf16", world_size=2)
        checkpointer = checkpointer_in(run_path, uri=uri, writes_best=True)
        assert checkpointer.restore(engine) == 3
        assert checkpointer.restore_best(engine) == 1
        return weights_of(engine)

    found: dict[str, Any] = run_ranks(2, work)[0]
    return found


def test_the_best_weights_come_from_storage_when_the_run_folder_is_gone(tmp_path: Path) -> None:
    run_path, uri = tmp_path / "run", f"file://{tmp_path}/far"
    then = train_and_save(run_path, losses=BEST_FIRST, keep=1, uri=uri)
    shutil.rmtree(run_path)
    assert same(best_again(run_path, uri), then[1])


@pytest.mark.parametrize("harm", [flip, lambda path: shutil.rmtree(path.parents[1])])
def test_the_best_weights_come_from_storage_when_they_alone_are_spoilt_or_gone(
    harm: Callable[[Path], None], tmp_path: Path
) -> None:
    run_path, uri = tmp_path / "run", f"file://{tmp_path}/far"
    then = train_and_save(run_path, losses=BEST_FIRST, keep=1, uri=uri)
    harm(a_shard(run_path, 1))
    assert same(best_again(run_path, uri), then[1])


@pytest.mark.parametrize("harm", [flip, lambda path: shutil.rmtree(path.parents[1])])
def test_best_weights_that_are_lost_are_not_replaced_by_others(harm: Callable[[Path], None], tmp_path: Path) -> None:
    train_and_save(tmp_path, losses=BEST_FIRST, keep=1)
    harm(a_shard(tmp_path, 1))
    with pytest.raises(TrainingError, match=r"the best weights so far, of step 1, are lost .*train\.load_best=false"):
        best_again(tmp_path)


def test_a_best_checkpoint_that_a_newer_one_overtook_is_sent_after_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray_ft.training.checkpoints.remote import Uploader

    run_path, uri = tmp_path / "run", f"file://{tmp_path}/far"
    send = Uploader.send
    # Storage is away until the last one.
    monkeypatch.setattr(
        Uploader, "send", lambda self, folder, *, best: send(self, folder, best=best) if "3" in folder.name else None
    )
    then = train_and_save(run_path, losses=BEST_FIRST, keep=1, uri=uri)
    assert sorted(path.name for path in (tmp_path / "far" / "run").iterdir()) == ["step-000001", "step-000003"]
    shutil.rmtree(run_path)
    assert same(best_again(run_path, uri), then[1])
