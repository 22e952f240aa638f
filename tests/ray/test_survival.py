"""What a run survives, on gloo processes: each row of the fault table that needs no Ray.

All scenarios share one unbroken run on two workers, and run one after the other in the same two processes.
"""

import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from training_support import TRAIN, Workers, make_training_set, task_for, training_lines
from worker_loop import run_alone

from ray_ft.errors import ConfigError, TrainingError
from ray_ft.strategies import LoRA
from ray_ft.training.batches import RowOrder
from ray_ft.training.checkpoints.record import best_checkpoint, complete_checkpoints
from ray_ft.training.health.shared_folders import check_folders, leave_mark

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]

LORA = LoRA(r=4, lora_alpha=8, lora_dropout=0.1, zero_stage=0, offload="none")
EVERY_3 = replace(TRAIN, checkpoint_every=3, eval_every=3, num_checkpoints_to_keep=4)
NAN_STEP = 5
VALIDATION_LOSSES = {1: 3.0, 2: 1.0, 3: 2.0, 4: 2.0, 5: 2.0, 6: 2.0}


@contextmanager
def nan_on_rank_1(rank: int) -> Iterator[dict[str, Any]]:
    """One micro-batch of one rank has a loss that is not a number."""
    with _forward(lambda loss, step: loss * float("nan") if rank == 1 and step == NAN_STEP else loss):
        yield {}


@contextmanager
def rank_1_is_slow(rank: int) -> Iterator[dict[str, Any]]:
    def delay(loss: Any, step: int) -> Any:
        time.sleep(0.25 if rank == 1 else 0.0)
        return loss

    with _forward(delay):
        yield {}


@contextmanager
def rank_1_is_told_that_its_machine_goes(rank: int) -> Iterator[dict[str, Any]]:
    """Ray's notice stays until the machine is gone, so it is seen at every step from the second on."""
    asked = iter(range(1000))
    yield {"preempted": lambda: rank == 1 and next(asked) >= 1}


@contextmanager
def rank_1_has_a_folder_of_its_own(rank: int) -> Iterator[dict[str, Any]]:
    """As on a machine that does not mount what the driver's machine calls by the same name."""
    suffix = "-elsewhere" if rank == 1 else ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "ray_ft.training.worker.check_folders",
            lambda task: check_folders(replace(task, run_path=task.run_path + suffix)),
        )
        yield {}


@contextmanager
def validation_is_best_at_step_2(rank: int) -> Iterator[dict[str, Any]]:
    from ray_ft.training import worker

    evaluate = worker.evaluate
    worker.evaluate = lambda *_, step, **__: VALIDATION_LOSSES[step]
    try:
        yield {}
    finally:
        worker.evaluate = evaluate


@contextmanager
def storage_comes_back_late(rank: int) -> Iterator[dict[str, Any]]:
    """Sending fails four times; the pauses between two tries are cut short."""
    from ray_ft.training.checkpoints import remote as storage

    put, tries = storage.CheckpointStore.send, iter(range(1000))

    def send(store: Any, folder: Path) -> None:
        if next(tries) < 4:
            raise OSError("no route to host")
        put(store, folder)

    storage.CheckpointStore.send, storage.FIRST_WAIT_SECONDS = send, 0.01  # type: ignore[method-assign]
    try:
        yield {}
    finally:
        storage.CheckpointStore.send, storage.FIRST_WAIT_SECONDS = put, 1.0  # type: ignore[method-assign]


@contextmanager
def _forward(change: Any) -> Iterator[None]:
    """Change the loss of a pass, told the step it belongs to."""
    from ray_ft.training import worker

    forward, train_step, now = worker.forward, worker.train_step, {"step": 0}

    def step(*arguments: Any, step: int, **options: Any) -> Any:
        now["step"] = step + 1
        return train_step(*arguments, step=step, **options)

    worker.forward = lambda *arguments, **options: change(forward(*arguments, **options), now["step"])
    worker.train_step = step
    try:
        yield
    finally:
        worker.forward, worker.train_step = forward, train_step


TWO_WORKERS: dict[str, tuple[dict[str, Any], Any]] = {
    "unbroken": ({}, None),
    "nan-stop": ({}, nan_on_rank_1),
    "nan-skip": ({"on_non_finite": "skip"}, nan_on_rank_1),
    "nan-too-often": ({"on_non_finite": "skip", "max_skipped_steps": 1}, nan_on_rank_1),
    "slow": ({"max_steps": 10}, rank_1_is_slow),
    "preempted": ({"checkpoint_every": 100}, rank_1_is_told_that_its_machine_goes),
    "best": ({"load_best": True, "eval_every": 1, "num_checkpoints_to_keep": 1}, validation_is_best_at_step_2),
    "sent-late": ({}, storage_comes_back_late),
    "not-shared": ({}, rank_1_has_a_folder_of_its_own),
    "truncated": ({}, None),
    "fetched": ({}, None),
}
ONE_WORKER = {"fewer-workers": 2, "uneven": 3}  # rows of a forward pass; 3 do not divide the batch of 4


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_model_path: str, two_workers: Workers) -> Any:
    folder = tmp_path_factory.mktemp("survival")
    training_set = make_training_set(folder / "data", tiny_model_path)
    tasks = {}
    for name, (changes, _) in TWO_WORKERS.items():
        if name in ("sent-late", "fetched"):
            changes = {"checkpoint_uri": f"file://{folder}/far", **changes}
        train = replace(EVERY_3, **changes)
        tasks[name] = task_for(
            training_set, tiny_model_path, folder / name, strategy=LORA, num_workers=2, micro_batch_size=1, train=train
        )
    tasks["not-shared"] = replace(tasks["not-shared"], mark=leave_mark(folder / "not-shared"))
    no_dropout = replace(LORA, lora_dropout=0.0)
    for name, rows in {"two": 1, **ONE_WORKER}.items():
        tasks[name] = task_for(
            training_set, tiny_model_path, folder / name, strategy=no_dropout, num_workers=2 if name == "two" else 1,
            micro_batch_size=rows, train=EVERY_3,
        )  # fmt: skip

    first = [name for name in TWO_WORKERS if name not in ("truncated", "fetched")] + ["two"]
    faults = [TWO_WORKERS.get(name, ({}, None))[1] for name in first]
    outcomes = dict(zip(first, two_workers.run([tasks[n] for n in first], faults=faults), strict=True))

    # The newest checkpoint is cut short, so the one before it has to do; and another machine has no checkpoint at all.
    shutil.copytree(folder / "unbroken" / "checkpoints", folder / "truncated" / "checkpoints")
    weights = next((folder / "truncated" / "checkpoints" / "step-000006" / "state").iterdir())
    weights.write_bytes(weights.read_bytes()[:-100])
    shutil.copytree(folder / "unbroken" / "checkpoints" / "step-000003", folder / "far" / "fetched" / "step-000003")
    later = ["truncated", "fetched"]
    outcomes |= dict(zip(later, two_workers.run([tasks[n] for n in later]), strict=True))
    for name in ONE_WORKER:
        shutil.copytree(folder / "two" / "checkpoints" / "step-000003", folder / name / "checkpoints" / "step-000003")
    outcomes |= dict(zip(ONE_WORKER, run_alone([tasks[n] for n in ONE_WORKER]), strict=True))
    return tasks, outcomes


def adapter(runs: Any, name: str) -> dict[str, Any]:
    from safetensors.torch import load_file

    tasks, outcomes = runs
    assert isinstance(outcomes[name], dict), outcomes[name]
    return dict(load_file(tasks[name].output_path / "adapter_model.safetensors"))


def same(runs: Any, name: str, other: str = "unbroken") -> bool:
    ours, theirs = adapter(runs, name), adapter(runs, other)
    return all(bool((ours[key] == theirs[key]).all()) for key in theirs)


def folder_of(runs: Any, name: str) -> Path:
    return Path(runs[0][name].run_path)


def warnings(runs: Any, name: str) -> list[str]:
    lines = (folder_of(runs, name) / "metrics.jsonl").read_text().splitlines()
    return [line["warning"] for line in map(json.loads, lines) if "warning" in line]


def test_a_batch_that_is_not_a_number_stops_the_run_and_is_written_down(runs: Any) -> None:
    error = runs[1]["nan-stop"]
    assert isinstance(error, TrainingError), error
    assert str(error).startswith(f"step {NAN_STEP}: the loss is not finite on rows ")
    (line,) = (folder_of(runs, "nan-stop") / "bad_batches.jsonl").read_text().splitlines()
    about = json.loads(line)
    order = RowOrder(22, global_batch_size=4, seed=5).global_batch(NAN_STEP - 1)
    assert about["step"] == NAN_STEP
    assert about["rows"] == [order[1], order[3]]  # rank 1's, in forward passes of one row
    assert len(about["chunks"]) == 2
    assert [c.step for c in complete_checkpoints(folder_of(runs, "nan-stop"))] == [3]


def test_a_batch_that_is_not_a_number_is_left_out_where_the_config_says_so(runs: Any) -> None:
    lines = training_lines(folder_of(runs, "nan-skip"))
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 6]  # the fifth has no loss to tell
    unbroken = training_lines(folder_of(runs, "unbroken"))
    assert [line["loss"] for line in lines[:4]] == [line["loss"] for line in unbroken[:4]]
    assert lines[4]["loss"] != unbroken[5]["loss"]
    assert [w.partition(":")[0] for w in warnings(runs, "nan-skip")] == ["update left out"]
    assert adapter(runs, "nan-skip").keys() == adapter(runs, "unbroken").keys()
    assert all(bool(value.isfinite().all()) for value in adapter(runs, "nan-skip").values())


def test_too_many_left_out_in_a_row_stop_the_run(runs: Any) -> None:
    assert isinstance(runs[1]["nan-too-often"], TrainingError)


def test_a_slow_rank_is_named_once(runs: Any) -> None:
    assert [w.partition(":")[0] for w in warnings(runs, "slow")] == ["rank 1 is slow"]
    assert isinstance(runs[1]["slow"], dict), runs[1]["slow"]
    assert warnings(runs, "unbroken") == []


def test_a_machine_that_is_announced_to_go_gives_one_checkpoint_more(runs: Any) -> None:
    # Announced before step 2, told with step 2's loss, read after step 3 was launched; the other one is the end's.
    assert [c.step for c in complete_checkpoints(folder_of(runs, "preempted"))] == [3, 6]
    assert same(runs, "preempted")


def test_the_best_checkpoint_is_kept_and_its_weights_are_the_output(runs: Any) -> None:
    assert isinstance(runs[1]["best"], dict), runs[1]["best"]
    best = best_checkpoint(folder_of(runs, "best"))
    assert best is not None
    assert best.step == 2
    assert [c.step for c in complete_checkpoints(folder_of(runs, "best"))] == [2, 6]
    assert json.loads((folder_of(runs, "best") / "checkpoints" / "best.json").read_text()) == {
        "step": 2, "validation_loss": 1.0,
    }  # fmt: skip
    written = (runs[0]["best"].output_path / "adapter_model.safetensors").read_bytes()
    from safetensors.torch import load

    kept = load((best.path / "adapter" / "adapter_model.safetensors").read_bytes())
    assert all(bool((kept[name] == value).all()) for name, value in load(written).items())


def test_storage_that_is_gone_for_a_while_holds_nothing_up(runs: Any) -> None:
    first, second = warnings(runs, "sent-late")
    assert "no route to host" in first
    assert "can be reached again" in second
    assert same(runs, "sent-late")


def test_a_checkpoint_that_was_cut_short_is_passed_over(runs: Any) -> None:
    assert [c.step for c in complete_checkpoints(folder_of(runs, "truncated"))] == [3, 6]  # 6 was made anew
    assert same(runs, "truncated")


def test_a_machine_that_does_not_see_the_run_folder_is_named_before_anything_is_trained(runs: Any) -> None:
    error = runs[1]["not-shared"]
    assert isinstance(error, ConfigError), error
    assert "rank 1 on " in str(error)
    assert f"does not see the run folder {folder_of(runs, 'not-shared')}-elsewhere" in str(error)
    assert not (folder_of(runs, "not-shared") / "metrics.jsonl").exists()


def test_a_machine_without_checkpoints_fetches_the_newest_one(runs: Any) -> None:
    lines = training_lines(folder_of(runs, "fetched"))
    assert [line["step"] for line in lines] == [4, 5, 6]
    assert same(runs, "fetched")


@pytest.mark.parametrize("name", list(ONE_WORKER))
def test_another_number_of_workers_goes_on_with_the_same_global_batches(runs: Any, name: str) -> None:
    ours, theirs = adapter(runs, name), adapter(runs, "two")
    # Sums in another order: Adam turns the last bits of small gradients into 1e-6 of the weights.
    assert max(float((ours[key] - theirs[key]).abs().max()) for key in theirs) < 1e-5
    losses = [line["loss"] for line in training_lines(folder_of(runs, name))]
    assert losses == pytest.approx([line["loss"] for line in training_lines(folder_of(runs, "two"))][3:], rel=1e-5)


def test_a_checkpoint_records_what_made_it(runs: Any) -> None:
    record = complete_checkpoints(folder_of(runs, "unbroken"))[-1].record
    assert record["step"] == 6
    assert record["config"]["global_batch_size"] == 4
    assert record["plan"]["num_workers"] == 2
    assert record["run"]["data_digest"] == "random"
    assert record["versions"]["torch"]
    in_git = (Path(__file__).parents[2] / ".git").exists()  # an unpacked archive has no revision
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?" if in_git else "", record["git_revision"])
