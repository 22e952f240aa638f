"""What tests of the scripts share."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The scripts' own packages can be imported, and are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "bench"]:
        del sys.modules[name]
