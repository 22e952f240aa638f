"""What tests of Triton's kernels share."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest


@pytest.fixture
def interpret() -> Callable[[str], None]:
    """Runs a program, which prints "equal" at its end, with Triton's interpreter in place of a GPU."""
    pytest.importorskip("triton")

    def run(program: str) -> None:
        # The interpreter has to be asked for before Triton is imported.
        environment = os.environ | {"TRITON_INTERPRET": "1"}
        command = [sys.executable, "-c", program]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert ran.stdout.strip() == "equal", ran.stderr

    return run
