"""What was typed, as the public functions take it, and as it can be typed again."""

import argparse
import os
import shlex
import shutil
import sys
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


def program() -> str:
    """How this process was started, for a command that the user can paste."""
    if shutil.which("ray-ft"):
        return "ray-ft"
    return "python -m ray_ft" if sys.argv[0].endswith("__main__.py") else os.path.relpath(sys.argv[0])


def command(verb: str, arguments: argparse.Namespace) -> str:
    """A verb on the same configuration, as it can be pasted."""
    return f"{program()} {shlex.join([verb, arguments.config, *arguments.overrides])}"
