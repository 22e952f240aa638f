"""One process at a time trains in a run folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ray_ft.errors import ConfigError, TrainingError
from ray_ft.training.driver import only_driver


def test_a_second_driver_is_refused_and_the_first_one_named(tmp_path: Path) -> None:
    with (
        only_driver(tmp_path / "run"),
        pytest.raises(ConfigError, match=rf"process {os.getpid()} on .* is training in .*run; wait for it or stop it"),
        only_driver(tmp_path / "run"),
    ):
        pass


def test_the_folder_is_free_again_afterwards_and_after_a_kill(tmp_path: Path) -> None:
    script = (
        "import os, sys; from ray_ft.training.driver import only_driver\nwith only_driver(sys.argv[1]): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)]).returncode == 9
    for _ in range(2):
        with only_driver(tmp_path):
            pass


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the folder should be")
    with (
        pytest.raises(TrainingError, match=r"cannot write to the run folder .*run: File exists"),
        only_driver(tmp_path / "run"),
    ):
        pass
