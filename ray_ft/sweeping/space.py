"""From a sweep's parameters to its trials, each an ordinary configuration of its own; pure.

A setting is one choice of values; a trial is a setting with a seed. Trials share the training set and the questions,
which is what makes them comparable, so only keys below `train` can be swept over.
"""

import itertools
import json
import math
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ray_ft.artifacts import digest
from ray_ft.config import Config, SweepConfig, parse_config, to_plain
from ray_ft.errors import ConfigError

FOLDER = "sweep"
ALPHA_OVER_R = "train.strategy.alpha_over_r"
"""Sets lora_alpha to a multiple of the rank, so that the size of the step and the rank can be told apart."""
WHERE = "sweep.parameters"
LONGEST_NAME = 100
AS_CONFIGURED = "as configured"
"""The one setting of a sweep without parameters, which is over seeds alone."""


@dataclass(frozen=True)
class Range:
    """Numbers to draw from, evenly or, with `log`, evenly over orders of magnitude."""

    low: float
    high: float
    log: bool

    def draw(self, source: random.Random) -> float:
        """A whole number between whole numbers; else three significant digits, enough to tell settings apart."""
        x = math.exp(source.uniform(math.log(self.low), math.log(self.high))) if self.log else None
        x = source.uniform(self.low, self.high) if x is None else x
        return round(x) if isinstance(self.low, int) and isinstance(self.high, int) else float(f"{x:.3g}")


Space = dict[str, list[Any] | Range]


@dataclass(frozen=True)
class Trial:
    """One run of a sweep."""

    name: str  # of its run folder
    setting: str  # its values in words; the same for all seeds
    parameters: dict[str, Any]  # as sweep.parameters names them
    seed: int
    config: Config

    @property
    def run_path(self) -> Path:
        """The trial's folder: an ordinary run folder."""
        return self.config.run_path


def expand(config: Config) -> list[Trial]:
    """Every trial, each setting once before any is repeated with another seed; the same for equal configurations.

    Raises ConfigError for a key that is none, or that trials cannot differ in, and for values that cannot work.
    """
    space = read_space(config.sweep)
    settings = _grid(space) if config.sweep.search == "grid" else _drawn(space, config.sweep, seed=config.seed)
    first = config.seed if config.train.seed is None else config.train.seed
    labels = _labels(space)
    return [
        _trial(config, setting, labels, seed=first + i) for i in range(config.sweep.num_seeds) for setting in settings
    ]


def read_space(sweep: SweepConfig) -> Space:
    """Keys and values; an override nests its key, `{train: {strategy: {r: [4]}}}`, and wins over the file's."""
    space = {key: _values(key, values) for key, values in _flatten(sweep.parameters)}
    if not space and sweep.num_seeds == 1:
        raise ConfigError(
            f"{WHERE} is empty; give keys and values, e.g. {WHERE}: {{train.learning_rate: [1e-4, 5e-4]}}, or "
            "sweep.num_seeds of 2 or more to train the configuration itself with several seeds"
        )
    if ALPHA_OVER_R in space and "train.strategy.lora_alpha" in space:
        raise ConfigError(f"{WHERE}: {ALPHA_OVER_R} sets train.strategy.lora_alpha; give one of them")
    ranges = [key for key, values in space.items() if isinstance(values, Range)]
    if sweep.search == "grid" and ranges:
        raise ConfigError(
            f"{WHERE}.{ranges[0]}: a grid needs a list of values; draw from a range with sweep.search=random"
        )
    if sweep.search == "random" and sweep.num_settings is None:
        raise ConfigError("sweep.num_settings: random search needs to know how many settings to draw")
    return space


def changed_values(trial: Trial) -> dict[str, Any]:
    """The trial's values by real configuration key: what an ordinary run is given to be the same."""
    strategy = trial.config.train.strategy
    return {
        ("train.strategy.lora_alpha" if key == ALPHA_OVER_R else key): (
            getattr(strategy, "lora_alpha", None) if key == ALPHA_OVER_R else value
        )
        for key, value in trial.parameters.items()
    }


def override(key: str, value: Any) -> str:
    """`key=value` as the command line takes it."""
    if key == "train.strategy" and isinstance(value, str):
        value = {"name": value}  # the long form can be followed by the strategy's own keys
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return f"{key}={text.strip().removesuffix('...').strip()}"


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        here = f"{prefix}{key}"
        is_range = isinstance(value, Mapping) and {"min", "max"} & set(value)
        if isinstance(value, Mapping) and not is_range:
            yield from _flatten(value, f"{here}.")
        else:
            yield here, value


def _values(key: str, given: Any) -> list[Any] | Range:
    where = f"{WHERE}.{key}"
    if not key.startswith("train.") or key == "train.seed":
        raise ConfigError(
            f"{where}: trials share one training set, one set of questions and their seeds (sweep.num_seeds); "
            "sweep over the other keys below train, e.g. train.learning_rate"
        )
    if isinstance(given, Mapping):
        return _range(where, given)
    if not isinstance(given, list) or not given:
        raise ConfigError(f"{where}: expected a list of values, or {{min, max, log}}, got {given!r}")
    texts = [json.dumps(value, sort_keys=True) for value in given]
    if len(set(texts)) < len(texts):
        raise ConfigError(f"{where}: {given!r} holds a value twice")
    return given


def _range(where: str, given: Mapping[str, Any]) -> Range:
    unknown = set(given) - {"min", "max", "log"}
    low, high, log = given.get("min"), given.get("max"), given.get("log", False)
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (low, high))
    if unknown or not numbers or not isinstance(log, bool):
        raise ConfigError(f"{where}: expected {{min: number, max: number, log: true or false}}, got {dict(given)!r}")
    assert low is not None
    assert high is not None
    if not low < high or (log and low <= 0):
        raise ConfigError(f"{where}: min must be below max, and above 0 with log: true; got {dict(given)!r}")
    return Range(low, high, log)


def _grid(space: Space) -> list[dict[str, Any]]:
    lists = [values for values in space.values() if isinstance(values, list)]
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*lists)]


def _drawn(space: Space, sweep: SweepConfig, *, seed: int) -> list[dict[str, Any]]:
    """Distinct settings; where there are no more than asked for, all of them."""
    assert sweep.num_settings is not None
    source = random.Random(seed)
    sizes = [len(values) if isinstance(values, list) else math.inf for values in space.values()]
    if math.prod(sizes) <= sweep.num_settings:
        return _grid(space)
    found: dict[str, dict[str, Any]] = {}
    for _ in range(100 * sweep.num_settings):  # a range of few whole numbers may have fewer than asked for
        setting = {k: v.draw(source) if isinstance(v, Range) else source.choice(v) for k, v in space.items()}
        found.setdefault(json.dumps(setting, sort_keys=True), setting)
        if len(found) == sweep.num_settings:
            break
    return list(found.values())


def _trial(config: Config, parameters: dict[str, Any], labels: dict[str, str], *, seed: int) -> Trial:
    words = " ".join(f"{labels[key]}={_word(value)}" for key, value in parameters.items()) or AS_CONFIGURED
    name = re.sub(r"[^A-Za-z0-9.+-]+", "_", words.replace("=", "-"))
    altered = any(re.search(r"[^\w.+-]", _word(value)) for value in parameters.values())  # and may look like another
    if len(name) > LONGEST_NAME or altered:
        name = f"{name[: LONGEST_NAME - 17]}-{digest(parameters)}"
    several = config.sweep.num_seeds > 1
    tree = to_plain(config)
    tree["sweep"] = {}
    tree["output_dir"] = str(config.run_path / FOLDER)
    tree["run_name"] = f"{name}_seed-{seed}" if several else name
    if several:
        tree["train"]["seed"] = seed
    keys = sorted(parameters, key=lambda key: key.count("."))  # train.strategy before train.strategy.r
    overrides = [override(key, parameters[key]) for key in keys if key != ALPHA_OVER_R]
    made = parse_config(tree, overrides, source=f"{WHERE}, {words}")
    if ALPHA_OVER_R in parameters:
        made = _with_alpha(made, parameters[ALPHA_OVER_R])
    return Trial(name=made.run_name, setting=words, parameters=parameters, seed=seed, config=made)


def _with_alpha(config: Config, ratio: Any) -> Config:
    strategy: Any = config.train.strategy
    where = f"{WHERE}.{ALPHA_OVER_R}"
    if not hasattr(strategy, "lora_alpha") or not hasattr(strategy, "r"):
        raise ConfigError(f"{where}: train.strategy must be one with a rank, e.g. train.strategy=lora")
    if not isinstance(ratio, int | float) or isinstance(ratio, bool) or ratio <= 0:
        raise ConfigError(f"{where}: {ratio!r} must be a number above 0")
    alpha = ratio * strategy.r
    if abs(alpha - round(alpha)) > 1e-9 * alpha:
        raise ConfigError(f"{where}: {ratio!r} times r={strategy.r} is {alpha:g}, and lora_alpha is a whole number")
    return replace(config, train=replace(config.train, strategy=replace(strategy, lora_alpha=round(alpha))))


def _labels(space: Space) -> dict[str, str]:
    """The shortest ends of the keys that tell them apart: `r` for train.strategy.r."""
    labels = {}
    for key in space:
        parts = key.split(".")
        ends = [".".join(parts[-n:]) for n in range(1, len(parts) + 1)]
        labels[key] = next(end for end in ends if sum(f".{other}".endswith(f".{end}") for other in space) == 1)
    return labels


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        rest = {k: v for k, v in value.items() if k != "name"}
        return "-".join([str(value.get("name", "")), *(f"{k}{_word(v)}" for k, v in rest.items())]).strip("-")
    if isinstance(value, list):
        return "+".join(map(_word, value))
    return value if isinstance(value, str) else json.dumps(value)
