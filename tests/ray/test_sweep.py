"""Sweeps on Ray: trials share the cluster and the training set, one that fails or falls behind costs only itself."""

import csv
import json
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from training_support import make_training_set

from ray_ft import api, artifacts
from ray_ft.api.fingerprints import train_inputs
from ray_ft.artifacts import Sweep, TunedModel
from ray_ft.config import Config, load_config, parse_config
from ray_ft.errors import ConfigError, TrainingError
from ray_ft.strategies import LoRA
from ray_ft.sweeping.record import read_record
from ray_ft.sweeping.sweep import Stages, check_sweep, run_sweep

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]


def sweep(config: Config, train: Callable[..., TunedModel] = api.train, *, resume: bool = False) -> Sweep:
    """A sweep whose training set is there already."""
    training_set = artifacts.load(artifacts.TrainingSet, config.run_path)
    stages = Stages(api.plan, train, api.evaluate, train_inputs, session=nullcontext)
    return run_sweep(config, check_sweep(config, resume=resume, force=False), training_set, stages=stages)


def make_config(folder: Path, model_path: str, **sweep: Any) -> Config:
    config = parse_config(
        {
            "run_name": "handbook",
            "output_dir": str(folder),
            "model": {"name": model_path, "max_seq_len": 64},
            "data": {"sources": ["docs"], "recipes": ["paragraph"]},
            "train": {"strategy": "lora", "max_steps": 4, "global_batch_size": 4, "num_workers": 1},
            "sweep": sweep,
        }
    )
    artifacts.save(make_training_set(config.run_path / "data", model_path), config.run_path, {})
    return config


def pretend(config: Config, **_: Any) -> TunedModel:
    """Logs losses as a run does: r=2 learns, r=4 falls behind and never ends, r=8 fails, r=32 dies once."""
    import threading
    from pathlib import Path

    rank = config.train.strategy.r  # type: ignore[union-attr]
    if rank == 8:
        raise TrainingError("step 1: the loss is not finite")
    if rank == 32 and not (config.run_path / "died").exists():
        (config.run_path / "died").touch()
        os._exit(1)
    losses = {1: 3.0, 2: 9.0, 4: 9.0} if rank == 4 else {1: 3.0, 2: 2.0, 4: 1.0 + rank / 100}
    for step, loss in losses.items():
        if rank == 4 and step == 4:
            threading.Event().wait(300)
        with Path(config.run_path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, "validation_loss": loss}) + "\n")
    made = TunedModel(
        base_model="b", base_path="b", base_digest="", path=str(config.run_path / "adapter"), is_adapter=True,
        strategy=LoRA(r=rank), metrics={"validation_loss": losses[4]}, steps=4, fingerprint="f",
    )  # fmt: skip
    artifacts.save(made, config.run_path, {})
    return made


def test_a_trial_that_fails_dies_or_falls_behind_costs_only_itself(
    ray_cluster: None, tiny_model_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray
    from ray.tune.experiment.trial import Trial

    # What Tune knows of a trial that died before it could report: nothing, where the death came before Tune had asked.
    monkeypatch.setattr(Trial, "last_result", property(lambda trial: trial.run_metadata.last_result))
    config = make_config(
        tmp_path,
        tiny_model_path,
        parameters={"train.strategy.r": [2, 4, 8, 32]},
        scheduler="asha",
        grace_fraction=0.5,
    )
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this file
    made = sweep(config, pretend)
    states = {s.setting: (s.verdict, s.reasons) for s in made.standings}
    assert states["r=2"] == ("winner", ())
    assert states["r=4"] == ("not finished", ("r-4: stopped: behind at 50%, validation loss 9.0000",))
    assert states["r=8"] == ("not finished", ("r-8: failed: step 1: the loss is not finite",))
    assert states["r=32"][1][0].startswith("r-32: failed: its process died")

    with pytest.raises(ConfigError, match=r"2 trials that did not finish. Go on with `--resume`"):
        sweep(config, pretend)
    again = sweep(config, pretend, resume=True)
    assert [(s.setting, s.value) for s in again.standings[:2]] == [("r=2", 1.02), ("r=32", 1.32)]
    assert {s.setting for s in again.standings[2:]} == {"r=4", "r=8"}
    assert not (config.run_path / "sweep" / ".tune").exists()


def test_two_trials_train_and_each_is_a_run_of_its_own(ray_cluster: None, tiny_model_path: str, tmp_path: Path) -> None:
    config = make_config(tmp_path, tiny_model_path, parameters={"train.learning_rate": [1e-9, 1e-2]})
    made = sweep(config)
    assert [s.setting for s in made.standings] == ["learning_rate=0.01", "learning_rate=1e-09"]
    assert made.winner == {"train.learning_rate": 0.01}
    assert made.plot_path is not None
    assert Path(made.plot_path).read_bytes().startswith(b"\x89PNG")
    with Path(made.csv_path).open() as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["finished", "finished"]

    trial = load_config(config.run_path / "sweep" / "learning_rate-0.01" / "config.yaml")
    tuned = artifacts.load(TunedModel, trial.run_path)
    assert (Path(tuned.path) / "adapter_model.safetensors").is_file()
    assert api.train(trial).fingerprint == tuned.fingerprint  # up to date: nothing is trained again
    record = read_record(trial.run_path)
    assert record is not None
    assert record.status == "finished"

    changed = replace(config, train=replace(config.train, weight_decay=0.1))
    with pytest.raises(ConfigError, match=r"made from another configuration \(train.weight_decay: 0.0 -> 0.1\)"):
        sweep(changed)
