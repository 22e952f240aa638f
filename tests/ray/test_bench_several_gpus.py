"""What waits for machines with several GPUs runs here from end to end, on two workers over gloo."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.long


def test_scaling_equal_losses_and_the_estimator_s_pairs_come_from_one_command(tmp_path: Path) -> None:
    parts = "scaling/lora-zero1*,workers/full-zero2*"
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [str(REPOSITORY / "scripts/bench_several_gpus"), "--tiny", "--parts", parts, str(tmp_path)],
        capture_output=True, text=True, env=environment, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = json.loads((tmp_path / "training.json").read_text())
    rows = {f"{row['part']}/{row['contender']}": row for row in run["rows"]}
    assert rows["scaling/lora-zero1-2"]["tokens_per_second"] > 0
    assert rows["workers/full-zero2-2"]["within"]
    assert rows["workers/full-zero2-2"]["difference"] <= 1e-4
    assert "scaling efficiency" in (tmp_path / "training.md").read_text()
    pairs = (tmp_path / "estimator.csv").read_text().splitlines()
    assert len(pairs) == 4  # the names of the columns and three rows
    assert all(",ok," in pair for pair in pairs[1:])
