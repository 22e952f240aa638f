"""The worker's loop on gloo processes: equal under every sharding, equal to transformers.Trainer, exact on resume.

The tests share a few runs, each made when a test first asks for it. Two workers run where no compiler can be found.
"""

import itertools
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_support import SEQUENCE, TRAIN, Workers, make_training_set, task_for, training_lines
from worker_loop import run_alone

from ray_ft.artifacts import TrainingSet, TunedModel
from ray_ft.engines import TransformersEngine
from ray_ft.engines.probe import read_probe, replay
from ray_ft.errors import ConfigError, ModelError, TrainingError
from ray_ft.models.quantised import keep_as_stored
from ray_ft.strategies import Full, LoRA, QLoRA
from ray_ft.training.batches import PackedRows, RowOrder, collate
from ray_ft.training.export.model_folder import export_model
from ray_ft.training.task import TrainingTask
from ray_ft.training.worker import forward

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]

HALF_WAY = replace(TRAIN, checkpoint_every=3, eval_every=3)
FULL_0 = Full(zero_stage=0, offload="none")
RESUMED = {
    "full-0": FULL_0,
    "full-1": Full(zero_stage=1, offload="none"),
    "full-2": Full(zero_stage=2, offload="none"),
    "full-3": Full(zero_stage=3, offload="none"),
    "lora-3": LoRA(r=4, lora_alpha=8, zero_stage=3, offload="none"),
    "qlora-2": QLoRA(r=4, lora_alpha=8, lora_dropout=0.1, zero_stage=2, offload="none"),
    "qlora-3": QLoRA(r=4, lora_alpha=8, lora_dropout=0.1, zero_stage=3, offload="none"),
    "lora-0-bf16": LoRA(r=4, lora_alpha=8, zero_stage=0, offload="none"),
    "full-1-bf16": Full(zero_stage=1, offload="none"),
    "qlora-2-bf16": QLoRA(r=4, lora_alpha=8, zero_stage=2, offload="none"),
    "full-3-bf16": Full(zero_stage=3, offload="none"),
    "full-2-fp16": Full(zero_stage=2, offload="none"),
}


def precision_of(name: str) -> Any:
    end = name.rpartition("-")[2]
    return end if end in ("bf16", "fp16") else "auto"


class Runs:
    """Runs that tests share: declared at once, made when the first test asks for one, and kept."""

    def __init__(self, folder: Path, training_set: TrainingSet, model_path: str, workers: Workers) -> None:
        self.folder, self.training_set, self.model_path, self._workers = folder, training_set, model_path, workers
        self.tasks: dict[str, TrainingTask] = {}
        self._goes_on_from: dict[str, str] = {}
        self._limits: dict[str, int] = {}
        self._together: set[str] = set()
        self._outcomes: dict[str, Any] = {}

    def declare(self, name: str, *, goes_on_from: str = "", limit: int | None = None, **arguments: Any) -> None:
        """A run; `goes_on_from` names the one whose checkpoint of step 3 it finds, `limit` is its largest file."""
        self.tasks[name] = task_for(self.training_set, self.model_path, self.folder / name, **arguments)
        if arguments.get("num_workers", 1) > 1:
            self._together.add(name)
        if goes_on_from:
            self._goes_on_from[name] = goes_on_from
        if limit is not None:
            self._limits[name] = limit

    def outcome(self, name: str) -> Any:
        """What the worker's loop returned, or the error that it raised."""
        if name not in self._outcomes:
            if name in self._goes_on_from:
                _stop_at_step_3(self.finished(self._goes_on_from[name]), self.folder / name)
            task = [self.tasks[name]]
            together = name in self._together
            (outcome,) = self._workers.run(task, limits=[self._limits.get(name)]) if together else run_alone(task)
            self._outcomes[name] = outcome
        return self._outcomes[name]

    def metrics(self, name: str) -> dict[str, float]:
        """What a run that has to have succeeded returned."""
        outcome = self.outcome(name)
        assert isinstance(outcome, dict), f"the run {name} failed: {outcome}"
        return outcome

    def finished(self, name: str) -> Path:
        """The run folder of a run that has to have succeeded."""
        self.metrics(name)
        return self.folder / name

    def lines(self, name: str) -> list[dict[str, Any]]:
        return training_lines(self.finished(name))

    def losses(self, name: str) -> list[float]:
        return [line["loss"] for line in self.lines(name)]

    def output_path(self, name: str) -> Path:
        self.metrics(name)
        return self.tasks[name].output_path

    def output(self, name: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.output_path(name).glob("*.safetensors")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_model_path: str, two_workers: Workers) -> Any:
    folder = tmp_path_factory.mktemp("training")
    runs = Runs(folder, make_training_set(folder / "data", tiny_model_path), tiny_model_path, two_workers)
    runs.declare("one", strategy=FULL_0)
    runs.declare("one-in-four", strategy=FULL_0, micro_batch_size=1)
    runs.declare("recomputed", strategy=FULL_0, gradient_checkpointing=True)
    runs.declare("diverged", strategy=FULL_0, train=replace(TRAIN, learning_rate=1e30, max_grad_norm=0.0))
    for name, strategy in RESUMED.items():
        train = replace(HALF_WAY, precision=precision_of(name))
        arguments: dict[str, Any] = {"strategy": strategy, "num_workers": 2, "micro_batch_size": 1, "train": train}
        arguments["gradient_checkpointing"] = name == "lora-3"
        runs.declare(name, **arguments)
        runs.declare(f"{name}-resumed", goes_on_from=name, **arguments)
    constant = replace(HALF_WAY, lr_scheduler="constant", warmup_ratio=0.0)
    runs.declare("constant", strategy=FULL_0, train=constant)
    runs.declare("constant-short", strategy=FULL_0, train=replace(constant, max_steps=3))
    runs.declare("constant-longer", goes_on_from="constant-short", strategy=FULL_0, train=constant)
    full_2: dict[str, Any] = {"strategy": RESUMED["full-2"], "micro_batch_size": 1, "train": HALF_WAY}
    runs.declare("full-2-on-one", goes_on_from="full-2", **full_2)
    runs.declare("full-2-full-disk", goes_on_from="full-2", limit=200_000, num_workers=2, **full_2)
    return runs


def _stop_at_step_3(source: Path, target: Path) -> None:
    """The run folder as it was when the run had just written its checkpoint of step 3."""
    shutil.copytree(source / "checkpoints" / "step-000003", target / "checkpoints" / "step-000003")
    lines = (source / "metrics.jsonl").read_text().splitlines()
    # A few lines more than the checkpoint: the run was killed at step 5.
    kept = [line for line in lines if json.loads(line)["step"] <= 5]
    (target / "metrics.jsonl").write_text("\n".join(kept) + "\n")


def test_a_run_that_fails_is_named_with_its_own_error(runs: Runs) -> None:
    with pytest.raises(AssertionError, match=r"the run diverged failed: .*not finite"):
        runs.losses("diverged")


def test_nothing_was_compiled(runs: Runs, two_workers: Workers) -> None:
    runs.metrics("full-2")
    assert not two_workers.extensions.exists()


def test_the_loss_falls(runs: Runs) -> None:
    losses = runs.losses("one")
    assert losses[-1] < losses[0] - 1


@pytest.mark.parametrize("name", ["one-in-four", "recomputed", "full-0", "full-1", "full-2", "full-3"])
def test_accumulation_workers_and_sharding_do_not_change_the_loss_curve(runs: Runs, name: str) -> None:
    # Sums in another order differ in the last bits of fp32; six steps of Adam spread them to 1e-6 of the loss.
    assert runs.losses(name) == pytest.approx(runs.losses("one"), rel=1e-5)


def test_shards_of_two_workers_are_gone_on_from_by_one(runs: Runs) -> None:
    assert [line["step"] for line in runs.lines("full-2-on-one")] == [line["step"] for line in runs.lines("full-2")]
    assert runs.losses("full-2-on-one") == pytest.approx(runs.losses("full-2"), rel=1e-5)


@pytest.mark.parametrize("name", ["full-0", "full-1", "full-2", "full-3"])
def test_the_gradient_norm_is_that_of_the_whole_batch(runs: Runs, name: str) -> None:
    expected = [line["grad_norm"] for line in runs.lines("one")]
    assert [line["grad_norm"] for line in runs.lines(name)] == pytest.approx(expected, rel=1e-4)


def test_the_loss_curve_is_that_of_transformers_trainer(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    from bench.training.curves import train_with_transformers

    task = replace(runs.tasks["one"], run_path=str(tmp_path))
    losses, model = train_with_transformers(task, torch.device("cpu"))
    assert runs.losses("one") == pytest.approx(losses, rel=1e-5)

    from safetensors.torch import load_file

    ours = load_file(runs.output_path("one") / "model.safetensors")
    theirs = dict(model.named_parameters())
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-4  # weights have moved by 1e-2


def test_the_validation_loss_is_that_of_the_written_model(runs: Runs) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(runs.output_path("full-3"))
    assert _validation_loss(model, runs) == pytest.approx(runs.metrics("full-3")["validation_loss"], rel=1e-5)
    assert next(model.parameters()).dtype == torch.float32


@pytest.mark.parametrize("name", list(RESUMED))
def test_a_resumed_run_ends_in_the_same_weights_bit_by_bit(runs: Runs, name: str) -> None:
    runs.metrics(f"{name}-resumed")
    assert runs.output(f"{name}-resumed") == runs.output(name)
    assert len(runs.output(name)) == 1


@pytest.mark.parametrize("name", [name for name in RESUMED if precision_of(name) != "auto"])
def test_sixteen_bits_are_what_the_model_computes_in(runs: Runs, name: str) -> None:
    losses, first = runs.losses(name), runs.losses("full-0")[0]
    assert losses[0] != first
    assert losses[0] == pytest.approx(first, rel=0.02)  # the base is the same, and an adapter begins as nothing


def test_a_run_that_is_made_longer_is_the_longer_run_where_its_learning_rate_does_not_depend_on_its_length(
    runs: Runs,
) -> None:
    runs.metrics("constant-longer")
    assert runs.output("constant-longer") == runs.output("constant") != runs.output("constant-short")


@pytest.mark.parametrize("name", list(RESUMED))
def test_a_resumed_run_leaves_the_same_metrics(runs: Runs, name: str) -> None:
    assert runs.losses(f"{name}-resumed") == runs.losses(name)


def test_a_full_disk_gives_one_line_and_keeps_the_checkpoint(runs: Runs) -> None:
    error = runs.outcome("full-2-full-disk")
    assert isinstance(error, TrainingError), error
    assert str(error) == "at step 6: cannot write to the run folder: File too large"
    left = [path.name for path in (runs.folder / "full-2-full-disk" / "checkpoints").iterdir() if path.is_dir()]
    assert left == ["step-000003"]


def test_what_is_not_finite_names_the_step_the_rows_and_the_chunks(runs: Runs) -> None:
    error = runs.outcome("diverged")
    assert isinstance(error, TrainingError), error
    pattern = r"step (\d+): the (?:loss|gradient) is not finite on rows ([\d, ]+) \(chunks (doc-train-\d-\d+#0)"
    found = re.match(pattern, str(error))
    assert found is not None, error
    order = RowOrder(22, global_batch_size=4, seed=5)
    assert [int(i) for i in found[2].split(",")] == order.global_batch(int(found[1]) - 1)


def test_a_checkpoint_says_what_it_is_and_what_it_ran_on(runs: Runs) -> None:
    record = json.loads((runs.finished("lora-3") / "checkpoints" / "step-000006" / "checkpoint.json").read_text())
    assert record["step"] == 6
    assert record["run"]["strategy"]["r"] == 4
    assert record["run"]["data_digest"] == "random"
    assert record["versions"]["deepspeed"]
    assert "adapter/adapter_model.safetensors" in record["files"]


def test_tensorboard_has_the_loss_of_every_step_once(runs: Runs) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(runs.finished("lora-3") / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4, 5, 6]


def test_the_adapter_loads_in_plain_peft_and_gives_the_loss_it_was_trained_to(runs: Runs) -> None:
    model = _with_adapter(runs, "lora-3")
    assert _validation_loss(model, runs) == pytest.approx(runs.metrics("lora-3")["validation_loss"], rel=1e-5)


def test_the_qlora_adapter_loads_in_plain_peft_beside_the_quantised_base(runs: Runs) -> None:
    import torch

    quantization = runs.tasks["qlora-2"].strategy.quantization(torch.float32)  # type: ignore[attr-defined]
    model = _with_adapter(runs, "qlora-2", quantization_config=quantization)
    assert _validation_loss(model, runs) == pytest.approx(runs.metrics("qlora-2")["validation_loss"], rel=1e-5)


def test_a_merged_export_gives_the_adapter_s_logits_in_plain_transformers(runs: Runs, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = export_model(_tuned(runs, "qlora-2"), path=str(tmp_path / "merged"), merge=True)
    ids = torch.tensor([[5, 9, 200, 7, 31]])
    with torch.no_grad():
        merged = AutoModelForCausalLM.from_pretrained(path)(ids).logits
        beside = _with_adapter(runs, "qlora-2")(ids).logits
        base = AutoModelForCausalLM.from_pretrained(runs.model_path)(ids).logits
    assert float((merged - beside).abs().max()) < 1e-4
    assert float((merged - base).abs().max()) > 1e-2
    assert AutoTokenizer.from_pretrained(path).chat_template
    assert not (path / "adapter_config.json").exists()


def test_a_plain_export_is_the_adapter_with_its_tokenizer(runs: Runs, tmp_path: Path) -> None:
    path = export_model(_tuned(runs, "lora-3"), path=str(tmp_path / "exported"))
    assert (path / "adapter_model.safetensors").read_bytes() == runs.output("lora-3")["adapter_model.safetensors"]
    assert (path / "tokenizer.json").is_file()
    assert (path / "chat_template.jinja").is_file()


def test_an_export_does_not_write_into_a_folder_with_something_in_it(runs: Runs, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(ConfigError, match="not an empty folder"):
        export_model(_tuned(runs, "lora-3"), path=str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_adapter_of_another_base_is_not_merged(runs: Runs, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(runs.model_path, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.1}))
    with pytest.raises(ModelError, match="another base"):
        export_model(replace(_tuned(runs, "lora-3"), base_path=str(other)), path=str(tmp_path / "merged"), merge=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other"]


def test_packed_examples_have_the_loss_they_have_alone(runs: Runs) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    rows = PackedRows(runs.training_set.path, "train")
    model = AutoModelForCausalLM.from_pretrained(runs.model_path, attn_implementation="sdpa").eval()
    device = torch.device("cpu")
    batch = collate(rows, [0, 1, 2, 3])
    with torch.no_grad():
        packed = float(forward(model, batch, num_targets=rows.num_targets([0, 1, 2, 3]), device=device))
        alone = 0.0
        for example in _examples(rows, [0, 1, 2, 3]):
            alone += float(forward(model, example, num_targets=1, device=device))
        mask = torch.ones_like(batch["input_ids"])
        leaking = float(model(**batch, attention_mask=mask, use_cache=False).loss)
    assert packed == pytest.approx(alone / rows.num_targets([0, 1, 2, 3]), rel=1e-6)
    assert abs(leaking - packed) > 1e-4  # what the same rows give where examples do see each other


# --- parts ------------------------------------------------------------------------------------------------------------


def _examples(rows: PackedRows, indices: list[int]) -> list[dict[str, Any]]:
    """Each packed example as a row of its own, without padding."""
    import torch

    found = []
    for index in indices:
        row = np.asarray(rows[index], dtype=np.int64)
        starts = [*np.flatnonzero(row[2] == 0).tolist(), SEQUENCE]
        for start, end in itertools.pairwise(starts):
            part = torch.from_numpy(row[:, None, start:end])
            found.append({"input_ids": part[0], "labels": part[1], "position_ids": part[2]})
    assert len(found) > len(indices)
    return found


def _validation_loss(model: Any, runs: Runs) -> float:
    import torch

    rows = PackedRows(runs.training_set.path, "validation")
    everything = list(range(len(rows)))
    with torch.no_grad():
        loss = forward(model.eval(), collate(rows, everything), num_targets=rows.num_targets(everything), device="cpu")
    return float(loss)


@pytest.mark.parametrize(("name", "quantization"), [("lora-3", "none"), ("qlora-2", "nf4"), ("lora-0-bf16", "none")])
def test_what_is_loaded_is_proved_to_be_what_was_trained(runs: Runs, name: str, quantization: Any) -> None:
    checkpoint = runs.finished(name) / "checkpoints" / "step-000003" / "adapter"
    adapters = {"last": str(runs.output_path(name)), "half-way": str(checkpoint)}
    model = TransformersEngine(quantization=quantization).load(runs.model_path, adapters)
    arithmetic = "quantised" if quantization == "nf4" else "float32"
    for asked, folder in adapters.items():
        probe = read_probe(Path(folder))
        assert probe is not None
        found = replay(model, asked, probe, arithmetic=arithmetic)
        assert found["passed"]
        assert found["mean_difference"] < 0.1 * found["base_difference"]
    model.close()


def _with_adapter(runs: Runs, name: str, **options: Any) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(runs.model_path, attn_implementation="sdpa", **options)
    return PeftModel.from_pretrained(keep_as_stored(base), runs.output_path(name)).eval()


def _tuned(runs: Runs, name: str) -> TunedModel:
    runs.finished(name)
    task = runs.tasks[name]
    return TunedModel(
        base_model="builtin:tiny", base_path=runs.model_path, base_digest=task.about_base["base_digest"],
        path=str(task.output_path), is_adapter=task.strategy.is_adapter, strategy=task.strategy, metrics={},
        steps=task.num_steps, fingerprint="",
    )  # fmt: skip
