"""The command line: parses a verb, a config path and overrides, calls one public function, prints what it returns."""

from ray_ft.cli.commands import VERBS, build_parser, main

__all__ = ["VERBS", "build_parser", "main"]
