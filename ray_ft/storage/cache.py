"""The user's cache: what is fetched or converted once for each machine."""

import os
from pathlib import Path


def cache_path() -> Path:
    """$RAY_FT_CACHE, else ray_ft below $XDG_CACHE_HOME or ~/.cache; several nodes need one that all of them see."""
    given = os.environ.get("RAY_FT_CACHE")
    return Path(given or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "ray_ft").expanduser().resolve()
