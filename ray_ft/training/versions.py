"""What a run ran on: the installed packages that its numbers depend on, and the checkout."""

import functools
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGES = ("ray_ft", "torch", "transformers", "peft", "deepspeed", "bitsandbytes", "ray", "numpy")


@functools.cache
def versions() -> dict[str, str]:
    """Installed versions of the packages that a run's numbers depend on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # run from a checkout, or bitsandbytes on a machine without it
            found[name] = ""
    return found


@functools.cache
def git_revision() -> str:
    """Revision of the checkout that ray_ft runs from; empty for an installed package."""
    try:
        shown = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return shown.stdout.strip()
