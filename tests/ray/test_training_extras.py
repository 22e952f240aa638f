"""What people expect inside a trainer, in the worker's own loop on two workers: noise, samples, stopping, trackers.

The tests share a few short runs, which the `runs` fixture makes once; most look at one run with everything in it.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import exp
from pathlib import Path
from typing import Any

import pytest
from training_support import TRAIN, Workers, make_training_set, task_for
from worker_loop import Fault

from ray_ft.config import TrainConfig
from ray_ft.models.added_tokens import with_added_tokens
from ray_ft.strategies import LoRA, QLoRA, Strategy
from ray_ft.trackers import MLflow, TensorBoard, TrackedRun, Tracker, TrackerSession
from ray_ft.training.reporting.metrics import read_metrics
from ray_ft.training.task import TrainingTask

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]


@dataclass(frozen=True)
class Broken(Tracker):
    """A tracker whose server is gone."""

    name: str = "broken"

    def start(self, run: TrackedRun) -> TrackerSession:
        raise ConnectionError("no route to the server")


@contextmanager
def short_answers(rank: int) -> Iterator[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ray_ft.training.reporting.samples.NEW_TOKENS", NEW_TOKENS)
        yield {}


@contextmanager
def best_at_step_2(rank: int) -> Iterator[dict[str, Any]]:
    with short_answers(rank), pytest.MonkeyPatch.context() as patch:
        patch.setattr("ray_ft.training.worker.evaluate", lambda *_, step, **__: VALIDATION_LOSSES[step - 1])
        yield {}


NEW_TOKENS = 12
VALIDATION_LOSSES = [3.0, 1.0, 2.0, 1.5]  # the second is the best, and two evaluations later patience ends
LORA = LoRA(r=4, lora_alpha=8, zero_stage=0, offload="none")
QLORA = QLoRA(r=4, lora_alpha=8, zero_stage=2, offload="none")
VARIANT = replace(LORA, use_dora=True, train_embeddings=True)
SHORT = replace(TRAIN, max_steps=2, eval_every=2, checkpoint_every=2, lr_scheduler="constant", warmup_ratio=0.0)
NOISY = replace(SHORT, neftune_alpha=5.0)
STOPPED = replace(
    NOISY, max_steps=8, eval_every=1, checkpoint_every=1, num_checkpoints_to_keep=3, early_stopping_patience=2
)
EVERYTHING = replace(STOPPED, num_samples=2, trackers=(TensorBoard(), MLflow(), Broken()))


class Runs:
    """Tasks, what came of them, and what they left."""

    def __init__(self, folder: Path, workers: Workers) -> None:
        self.folder, self._workers = folder, workers
        self.tasks: dict[str, TrainingTask] = {}
        self.outcomes: dict[str, Any] = {}

    def run(self, *names: str) -> None:
        tasks = [self.tasks[name] for name in names]
        changes: list[Fault | None] = [
            best_at_step_2 if task.train.early_stopping_patience else short_answers for task in tasks
        ]
        outcomes = self._workers.run(tasks, faults=changes)
        self.outcomes |= dict(zip(names, outcomes, strict=True))

    def adapter(self, name: str) -> bytes:
        assert isinstance(self.outcomes[name], dict), self.outcomes[name]
        return (self.tasks[name].output_path / "adapter_model.safetensors").read_bytes()

    def lines(self, name: str, key: str) -> list[Any]:
        return [line[key] for line in read_metrics(self.folder / name / "metrics.jsonl") if key in line]

    def samples(self, name: str, *steps: int) -> list[dict[str, Any]]:
        lines = (self.folder / name / "samples.jsonl").read_text().splitlines()
        return [sample for sample in map(json.loads, lines) if not steps or sample["step"] in steps]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_model_path: str, two_workers: Workers) -> Runs:
    made = Runs(tmp_path_factory.mktemp("extras"), two_workers)
    base, more = tiny_model_path, with_added_tokens(tiny_model_path, ["<ticket>"], output_dir=made.folder)
    sets = {path: make_training_set(made.folder / name, path) for name, path in (("data", base), ("more-data", more))}

    def task(name: str, strategy: Strategy, train: TrainConfig, path: str = base) -> None:
        options: dict[str, Any] = {"num_workers": 2, "micro_batch_size": 1, "train": train}
        made.tasks[name] = task_for(sets[path], path, made.folder / name, strategy=strategy, **options)

    task("everything", LORA, EVERYTHING)
    task("resumed", LORA, EVERYTHING)
    task("stopped", LORA, STOPPED)
    task("quiet", LORA, SHORT)
    task("in-parts", replace(LORA, zero_stage=3), replace(NOISY, num_samples=2))
    task("variant-0", VARIANT, SHORT)
    task("variant-3", replace(VARIANT, zero_stage=3), SHORT)
    task("tokens-0", LORA, SHORT, more)
    task("tokens-2", QLORA, SHORT, more)
    made.run(*(name for name in made.tasks if name != "resumed"))
    # The run folder as it was when the run had written its third checkpoint, and gone on a little.
    for step in (2, 3):
        checkpoint = Path("checkpoints") / f"step-{step:06d}"
        shutil.copytree(made.folder / "everything" / checkpoint, made.folder / "resumed" / checkpoint)
    for file in ("metrics.jsonl", "samples.jsonl"):
        shutil.copy(made.folder / "everything" / file, made.folder / "resumed" / file)
    made.run("resumed")
    return made


def test_noise_changes_training_and_is_the_same_under_every_sharding(runs: Runs) -> None:
    assert runs.lines("everything", "loss")[0] != runs.lines("quiet", "loss")[0]
    assert runs.lines("in-parts", "loss") == pytest.approx(runs.lines("everything", "loss")[:2], rel=1e-5)


def test_samples_and_trackers_change_nothing_in_the_weights(runs: Runs) -> None:
    assert runs.adapter("everything") == runs.adapter("stopped")


def test_every_evaluation_answers_the_same_prompts(runs: Runs) -> None:
    samples = runs.samples("everything")
    assert [sample["step"] for sample in samples] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert [sample["prompt"] for sample in samples] == [sample["prompt"] for sample in samples[:2]] * 4
    assert all(sample["text"] and sample["reference"] for sample in samples)


def test_weights_in_parts_say_what_whole_ones_say(runs: Runs) -> None:
    assert runs.samples("in-parts") == runs.samples("everything", 2)


def test_a_sample_is_what_the_adapter_of_its_step_says_in_plain_peft(runs: Runs, tiny_model_path: str) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from ray_ft.models.tokenizer import end_of_turn_id, load_tokenizer
    from ray_ft.training.batches import PackedRows
    from ray_ft.training.reporting.samples import greedy, held_out_prompts

    task = runs.tasks["everything"]  # its output is step 2's
    tokenizer: Any = load_tokenizer(tiny_model_path)
    base = AutoModelForCausalLM.from_pretrained(tiny_model_path, attn_implementation="sdpa")
    model = PeftModel.from_pretrained(base, task.output_path)
    ends = {tokenizer.eos_token_id, end_of_turn_id(tokenizer)}
    with short_answers(0):
        prompts = [example.prompt for example in held_out_prompts(PackedRows(task.training_set_path, "validation"), 2)]
        answers = greedy(model, prompts, end_ids=ends, max_tokens=1000, device="cpu")
    assert [sample["text"] for sample in runs.samples("everything", 2)] == [
        tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) for ids in answers
    ]


def test_training_stops_early_and_writes_the_best_weights(runs: Runs) -> None:
    assert runs.lines("everything", "validation_loss") == VALIDATION_LOSSES
    outcome = runs.outcomes["everything"]
    assert (outcome["stopped_after_step"], outcome["best_step"], outcome["validation_loss"]) == (4, 2, 1.0)
    best = runs.folder / "everything" / "checkpoints" / "step-000002"
    assert runs.adapter("everything") == (best / "adapter" / "adapter_model.safetensors").read_bytes()


def test_a_resumed_run_stops_where_the_unbroken_one_did_with_the_same_weights_and_samples(runs: Runs) -> None:
    assert runs.adapter("resumed") == runs.adapter("everything")
    assert runs.outcomes["resumed"]["stopped_after_step"] == 4
    assert runs.samples("resumed") == runs.samples("everything")


def test_perplexity_stands_next_to_the_validation_loss(runs: Runs) -> None:
    assert runs.lines("everything", "validation_perplexity") == [pytest.approx(exp(x)) for x in VALIDATION_LOSSES]


def test_trackers_have_the_losses_and_the_run_s_parameters(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking import MlflowClient
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    losses = list(enumerate(runs.lines("everything", "loss"), start=1))
    events = EventAccumulator(str(runs.folder / "everything" / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        (step, pytest.approx(loss, rel=1e-6)) for step, loss in losses
    ]
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = MlflowClient(tracking_uri=str(runs.folder / "mlruns"))
    found = client.search_runs([client.get_experiment_by_name("ray_ft").experiment_id])
    run = next(run for run in found if run.info.run_name == "everything")
    assert run.info.status == "FINISHED"
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "loss")] == losses
    assert run.data.params["train.neftune_alpha"] == "5.0"
    assert run.data.params["data_digest"] == "random"
    assert run.data.params["plan.strategy.zero_stage"] == "0"


def test_a_tracker_that_fails_is_one_warning_and_no_end(runs: Runs) -> None:
    assert runs.lines("everything", "warning") == [
        "broken could not be started: no route to the server; training goes on without it",
        "stopped early: 2 evaluations did not lower the validation loss of 1.0000",
    ]


def test_dora_and_trained_embeddings_train_alike_under_zero_3(runs: Runs) -> None:
    assert runs.lines("variant-3", "loss") == pytest.approx(runs.lines("variant-0", "loss"), rel=1e-5)
    assert runs.lines("variant-0", "loss")[1] != runs.lines("quiet", "loss")[1]


@pytest.mark.parametrize("name", ["tokens-0", "tokens-2"])
def test_the_rows_of_added_tokens_train_and_no_others(runs: Runs, name: str) -> None:
    from safetensors.torch import load_file

    task = runs.tasks[name]
    assert isinstance(runs.outcomes[name], dict), runs.outcomes[name]
    base = load_file(Path(task.base_path) / "model.safetensors")["model.embed_tokens.weight"]
    adapter = load_file(task.output_path / "adapter_model.safetensors")
    (rows,) = [value for key, value in adapter.items() if "trainable_tokens_delta" in key]
    assert rows.shape == (1, 128)
    # The embedding is tied to the head, which pushes down whatever token the data does not have.
    assert float((rows[0] - base[4096]).abs().max()) > 1e-3
