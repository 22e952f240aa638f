"""`advise`: the corpus is looked at, and rules say what to start with, each with its reason and source."""

import logging
from typing import Any

from ray_ft import artifacts
from ray_ft.api.base_model import base_path, shape_of_base
from ray_ft.api.fingerprints import data_inputs
from ray_ft.api.planning import cheapest_row
from ray_ft.artifacts import Advice, Estimate, TrainingSet
from ray_ft.config import Config, parse_config
from ray_ft.errors import ModelError

log = logging.getLogger("ray_ft")


def advise(config: Config) -> Advice:
    """Say what to start with, from recipes to GPU, and what to expect: each with its reason, source and strength.

    Looks at the run's training set where it is made of what the configuration says, else at a sample of the sources;
    starts no cluster and writes nothing. A config may leave out data.recipes (`load_config(..., draft=True)`).
    Raises ConfigError for a source that does not exist, DataError where no file can be used.
    """
    from ray_ft.advising.advise import advise as ask_rules
    from ray_ft.advising.case import Case
    from ray_ft.advising.run_rules import MAX_HOURS
    from ray_ft.data.report.profile import profile_corpus

    shape = shape_of_base(config)
    made = _training_set(config)
    profile = profile_corpus(
        config.data, max_seq_len=config.model.max_seq_len, seed=config.seed, tokenizer=_tokenizer(config), made=made
    )

    def estimate(plain: dict[str, Any]) -> Estimate | None:
        return cheapest_row(parse_config(plain, source="advise"), max_hours=MAX_HOURS)

    return ask_rules(Case(config, profile, shape), estimate)


def _training_set(config: Config) -> TrainingSet | None:
    """The run's, unless it was made from other keys than these."""
    inputs = artifacts.load_inputs(TrainingSet, config.run_path)
    if inputs is None:
        return None
    now = artifacts.to_json(data_inputs(config))
    changed = artifacts.changed_keys({key: inputs.get(key) for key in now}, now)
    if changed:
        log.warning("advise: looks at the sources, as the training set is of another configuration (%s)", changed[0])
        return None
    return artifacts.load(TrainingSet, config.run_path)


def _tokenizer(config: Config) -> Any:
    """The base's; None where it cannot be had, so that words stand for tokens."""
    from ray_ft.models.tokenizer import load_tokenizer

    try:
        return load_tokenizer(base_path(config, tokenizer_only=True), config.model.chat_template)
    except ModelError as error:
        log.warning("advise: tokens are guessed from words: %s", error)
        return None
