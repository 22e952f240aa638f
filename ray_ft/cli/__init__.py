"""The command line: parses a verb, a config path and overrides, calls one public function, prints what it returns."""

from ray_ft.cli.commands import main
from ray_ft.cli.parser import VERBS, build_parser

__all__ = ["VERBS", "build_parser", "main"]
