"""What `bench_training kills` compares a run with, and that its harm does harm."""

import random
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("scripts")


def test_a_run_is_compared_with_the_workers_that_trained_its_steps() -> None:
    from bench.training.kills import extended

    two_then_one = extended(extended((), 2, 0), 1, 4)
    assert two_then_one == ((2, 0), (1, 4))
    assert extended(two_then_one, 2, 2) == ((2, 0),)  # the steps of one worker were trained again
    assert extended(two_then_one, 1, 5) == two_then_one
    assert extended(two_then_one, 2, 0) == ((2, 0),)


def test_only_the_newest_of_several_checkpoints_is_harmed(tmp_path: Path) -> None:
    from bench.training.kills import harm_newest

    first, second = (tmp_path / "checkpoints" / f"step-00000{n}" / "weights.pt" for n in (2, 4))
    first.parent.mkdir(parents=True)
    first.write_bytes(b"12345678")
    assert harm_newest(tmp_path, random.Random(0)) == ""
    for seed in range(9):
        second.parent.mkdir(exist_ok=True)
        second.write_bytes(b"12345678")
        assert harm_newest(tmp_path, random.Random(seed)).startswith("checkpoints/step-000004/weights.pt ")
        assert not second.exists() or second.read_bytes() != b"12345678"
    assert first.read_bytes() == b"12345678"
