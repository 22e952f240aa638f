"""`prepare` and `inspect`: documents, code and datasets become a training set, and what it holds."""

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ray_ft import artifacts
from ray_ft.api.base_model import base_path
from ray_ft.api.fingerprints import data_inputs
from ray_ft.api.run_folder import config_path_of, existing_artifact, save
from ray_ft.api.session import ray_session
from ray_ft.artifacts import Inspection, TrainingSet
from ray_ft.config import Config, to_plain
from ray_ft.quiet import quiet_libraries
from ray_ft.storage import is_uri, is_whole, joined, shown

log = logging.getLogger("ray_ft")


def prepare(config: Config, *, force: bool = False, retry_quarantined: bool = False) -> TrainingSet:
    """Turn documents, code and datasets into the training set of this run.

    `retry_quarantined` reads the files again whose parsers failed, with four times the time and twice the memory.
    Raises DataError when the sources give nothing to train on, ConfigError when the run folder holds another one.
    """
    from ray_ft.data.prepare import datasets_digest, prepare_training_set, require_sources, sources_found

    inputs = data_inputs(config)
    inputs |= {"datasets": datasets_digest(config.data)} if config.data.datasets else {}
    quiet_libraries()
    require_sources(config.data)  # before a base is fetched
    output = output_of(config)
    if artifacts.load_inputs(TrainingSet, config.run_path) is not None and not force:
        inputs |= {"sources": sources_found(config.data, output)} if config.data.sources else {}
        existing = existing_artifact(TrainingSet, config, inputs, verb="prepare", force=False)
        if existing is not None and _lies_at(existing.path, output) and is_whole(existing.path):
            if not retry_quarantined:
                return existing
            if not any(state.startswith("quarantined") for state in existing.files):
                log.info("prepare: nothing is in quarantine")
                return existing

    def fingerprint(sources: Mapping[str, Any]) -> str:
        """Of the set, with what its files held when they were read."""
        inputs.update({"sources": dict(sources)} if config.data.sources else {})
        return artifacts.digest(inputs)

    with ExitStack() as session:

        def begin() -> None:
            """All is listed: the set that is there counts no more, and work begins."""
            if force:
                artifacts.remove(TrainingSet, config.run_path)
            session.enter_context(ray_session(config))

        asked = [config.data.generator, config.engine if config.data.rehearsal is not None else None]
        needs_weights = any(engine is not None and engine.needs_weights for engine in asked)
        made = prepare_training_set(
            config.data,
            model=config.model,
            model_path=base_path(config, tokenizer_only=not needs_weights),
            output_path=output,
            seed=config.seed,
            inputs_digest=fingerprint,
            engine=config.engine,
            retry_quarantined=retry_quarantined,
            begin=begin,
        )
    save(made, config, inputs)
    return made


def output_of(config: Config) -> str:
    """Where the run's training set goes: its folder, or below data.storage_uri under the run's name."""
    uri = config.data.storage_uri
    return str(config.run_path.resolve() / "data") if uri is None else joined(uri, config.run_name)


def _lies_at(path: str, output: str) -> bool:
    """Whether a set that was made lies where it would now: a run's folder may have been moved."""
    if is_uri(path) and is_uri(output):
        return shown(path).startswith(f"{shown(output)}/")
    return is_uri(path) == is_uri(output)


def inspect(
    config: Config, *, num_examples: int = 3, dropped: bool = False, path: str | Path | None = None
) -> Inspection:
    """Say what this run's training set holds, with some of its examples drawn at random beside their source.

    `dropped` draws them from those that were left out. `path` is a new folder that gets the set as JSONL of messages
    and as Parquet, with a dataset card, for `datasets.load_dataset`. Raises MissingArtifactError without a training
    set, ConfigError when the folder is not empty.
    """
    from ray_ft.data.report.inspection import inspect_training_set

    made = artifacts.load(TrainingSet, config.run_path, config_path=config_path_of(config))
    about = inspect_training_set(made, num_examples=num_examples, dropped=dropped, seed=config.seed)
    if path is not None:
        from ray_ft import __version__
        from ray_ft.data.report.export import export_training_set

        generator = to_plain(config.data.generator)
        facts = {
            "name": config.run_name,
            "version": __version__,
            "model": to_plain(config.model.name),
            "sources": to_plain([*config.data.sources, *(d.path for d in config.data.datasets)]),
            "generator": generator and f"{generator['name']} {generator.get('model', config.model.name)}",
            "seed": config.seed,
        }
        export_training_set(made, about, Path(path), facts=facts)
    return about
