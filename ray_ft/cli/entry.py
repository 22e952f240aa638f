"""The way in and out of `ray-ft`: one verb is run, and a failure becomes one line and an exit code."""

import argparse
import logging
import os
import re
import shlex
import sys
from collections.abc import Sequence

from ray_ft.cli.parser import RESUMED_VERBS, build_parser
from ray_ft.errors import RayFTError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0, 1 for a failure, 2 for a configuration that cannot work."""
    arguments = build_parser().parse_args(argv)
    if arguments.verb is None:
        build_parser().print_help()
        return 0
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("ray_ft").setLevel(logging.DEBUG if arguments.verbose else logging.INFO)
    if arguments.address:
        os.environ["RAY_ADDRESS"] = arguments.address
    try:
        from ray_ft.cli.commands import COMMANDS  # `--help` needs none of them

        return COMMANDS[arguments.verb](arguments)
    except RayFTError as error:
        if arguments.verbose:
            raise
        from ray_ft.config import mask

        print(mask(f"ray-ft {arguments.verb}: {_with_config(str(error), arguments)}"), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        way_on = "; `--resume` goes on from the last checkpoint" if arguments.verb in RESUMED_VERBS else ""
        print(f"ray-ft {arguments.verb}: interrupted{way_on}", file=sys.stderr)
        return 130


def _with_config(message: str, arguments: argparse.Namespace) -> str:
    """A command that a message names, as it has to be typed here: stages know no config's path."""
    if arguments.config is None:
        return message
    given = shlex.join([arguments.config, *arguments.overrides])
    return re.sub(r"(`ray-ft \w+) (?:CONFIG|\.\.\.)", lambda found: f"{found[1]} {given}", message)
