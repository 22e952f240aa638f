"""What was typed, as the public functions take it."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray_ft.config import Config


def load(arguments: argparse.Namespace) -> "Config":
    """The configuration with its overrides."""
    from ray_ft.config import load_config

    return load_config(arguments.config, arguments.overrides)


def run_path(given: str, overrides: Sequence[str]) -> Path:
    """A run folder, or that of a configuration."""
    from ray_ft.config import load_config

    return Path(given) if Path(given).is_dir() else load_config(given, list(overrides)).run_path
