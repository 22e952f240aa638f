"""`export`: a tuned model leaves its run folder, with a card that says how it was made."""

from pathlib import Path
from typing import Any, Literal

from ray_ft import artifacts
from ray_ft.api.run_folder import config_path_of, if_there
from ray_ft.artifacts import Plan, Report, TrainingSet, TunedModel
from ray_ft.config import Config, to_plain
from ray_ft.quiet import quiet_libraries

Dtype = Literal["bf16", "fp16", "fp32"]


def export(config: Config, path: str | Path, *, merge: bool = False, dtype: Dtype | None = None) -> Path:
    """Write the tuned model and its model card to a folder in plain PEFT or Hugging Face format.

    `merge` folds the adapter into its base; `dtype` is that of whole weights, by default bf16 after training on GPUs.
    Raises ConfigError when the folder is not empty.
    """
    quiet_libraries()
    from ray_ft.training.export.model_card import RunFacts
    from ray_ft.training.export.model_folder import export_model

    made_from = artifacts.load_inputs(TrainingSet, config.run_path) or {}
    tuned = artifacts.load(TunedModel, config.run_path, config_path=config_path_of(config))
    of_this_model = (artifacts.load_inputs(Report, config.run_path) or {}).get("tuned_model") == tuned.fingerprint
    run = RunFacts(
        name=config.run_name,
        train=to_plain(config.train),
        seed=config.seed if config.train.seed is None else config.train.seed,
        training_set=if_there(TrainingSet, config),
        sources=_described(made_from.get("sources")),
        datasets=_described(made_from.get("datasets")),
        plan=if_there(Plan, config),
        report=if_there(Report, config) if of_this_model else None,
    )
    return export_model(
        tuned, path=str(path), merge=merge, chat_template=config.model.chat_template, dtype=dtype, run=run
    )


def _described(origin: dict[str, Any] | None) -> str:
    """What a training set was made from, without its name: a card may go where paths are nobody's business."""
    return f"{origin['digest']} ({origin['num_files']:,} files, {origin['num_bytes']:,} bytes)" if origin else ""
