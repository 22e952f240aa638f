"""`ray-ft show`: what there is to choose from, or a configuration and how far its run has come."""

import argparse
from typing import Any

import yaml

from ray_ft.artifacts import FILES
from ray_ft.cli.results import print_json
from ray_ft.config import Config, load_config, mask, to_plain
from ray_ft.engines import ENGINES
from ray_ft.recipes import RECIPES
from ray_ft.registry import Registry
from ray_ft.retrievers import RETRIEVERS
from ray_ft.strategies import STRATEGIES
from ray_ft.trackers import TRACKERS

REGISTRIES: dict[str, Registry[Any]] = {
    "recipes": RECIPES,
    "strategies": STRATEGIES,
    "engines": ENGINES,
    "retrievers": RETRIEVERS,
    "trackers": TRACKERS,
}


def show(arguments: argparse.Namespace) -> int:
    """Print the configuration that was given, else every registry."""
    if arguments.config is None:
        _show_choices(as_json=arguments.json)
        return 0
    config = load_config(arguments.config, arguments.overrides)
    if arguments.json:
        print_json(to_plain(config))
    else:
        _print_run(config)
    return 0


def _show_choices(*, as_json: bool) -> None:
    choices = {
        kind: {name: ((registry[name].__doc__ or "").strip().splitlines() or [""])[0] for name in registry}
        for kind, registry in REGISTRIES.items()
    }
    if as_json:
        print_json(choices)
        return
    for kind, named in choices.items():
        print(kind)
        for name, text in named.items():
            print(f"  {name:<14} {text}")


def _print_run(config: Config) -> None:
    print(mask(yaml.safe_dump(to_plain(config), sort_keys=False).rstrip()))
    print(f"\n{config.run_path}")
    for file, verb in FILES.values():
        is_made = (config.run_path / file).is_file()
        if verb == "bench" and not is_made:  # no part of a run unless somebody asks
            continue
        state = "made" if is_made else f"not yet: ray-ft {verb}"
        print(f"  {file:<18} {state}")
