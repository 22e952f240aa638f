"""A run that is followed: each complete checkpoint becomes a version, the newest ones stay."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployed_endpoint import DeployedEndpoint, deployed_endpoint

from ray_ft.config import ServingConfig
from ray_ft.serving.registry.desk import Desk
from ray_ft.serving.registry.watch import TRIES, Watch


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[DeployedEndpoint]:
    with deployed_endpoint(tmp_path) as endpoint:
        yield endpoint


class Followed:
    """A run folder that grows, and what follows it."""

    def __init__(self, endpoint: DeployedEndpoint, run: Path) -> None:
        self.endpoint, self.run = endpoint, run
        self.desk = Desk(endpoint.registry, endpoint.replica, ServingConfig(keep_versions=2))
        self.watch = Watch(self.desk, {"tuned": str(run)})

    def checkpoint(self, step: int, weights: bytes, *, is_complete: bool = True) -> Path:
        folder = Path(self.endpoint.adapter(f"run/checkpoints/step-{step:06d}/adapter", weights))
        if is_complete:
            (folder.parent / "checkpoint.json").write_text("{}")
        return folder

    def steps(self) -> list[int | None]:
        adapter = self.endpoint.registry.state.adapters.get("tuned")
        return [] if adapter is None else [version.step for version in adapter.versions]


@pytest.fixture
def followed(endpoint: DeployedEndpoint) -> Followed:
    return Followed(endpoint, endpoint.root / "run")


def test_each_checkpoint_becomes_a_version(followed: Followed) -> None:
    followed.checkpoint(10, b"ten")
    followed.checkpoint(20, b"twenty", is_complete=False)
    asyncio.run(followed.watch.look())
    assert followed.steps() == [10]
    followed.checkpoint(20, b"twenty")
    asyncio.run(followed.watch.look())
    asyncio.run(followed.watch.look())
    assert followed.steps() == [10, 20]
    for name, step in (("tuned", 20), ("tuned@latest", 20), ("tuned@step-10", 10)):
        assert followed.endpoint.registry.find(name).about["step"] == step
        assert followed.endpoint.answered_by(name) == followed.endpoint.registry.find(name).version
    assert followed.endpoint.registry.find("tuned").about["run"] == "run"


def test_the_newest_checkpoints_and_those_that_are_pinned_stay(followed: Followed) -> None:
    for step in range(1, 6):
        followed.checkpoint(step, b"%d" % step)
        asyncio.run(followed.watch.look())
        if step == 1:
            followed.endpoint.registry.point("tuned", "pinned", followed.endpoint.versions("tuned")[0])
    assert followed.steps() == [1, 4, 5]


def test_what_the_run_writes_at_its_end_is_the_latest(followed: Followed) -> None:
    followed.checkpoint(10, b"ten")
    followed.checkpoint(20, b"twenty")
    asyncio.run(followed.watch.look())
    followed.endpoint.adapter("run/adapter", b"ten")  # the best one, which is not the last
    (followed.run / "tuned_model.json").write_text(json.dumps({"artifact": {"is_adapter": True, "steps": 10}}))
    asyncio.run(followed.watch.look())
    assert followed.endpoint.registry.find("tuned").version == followed.endpoint.registry.find("tuned@step-10").version
    assert followed.steps() == [20, 10]


def test_a_checkpoint_that_cannot_be_copied_is_tried_again_and_then_left(
    followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    folder = followed.checkpoint(10, b"ten")
    (folder / "adapter_model.safetensors").unlink()
    for _ in range(TRIES + 2):
        asyncio.run(followed.watch.look())
    assert sum("was not published" in line for line in caplog.messages) == TRIES
    assert followed.steps() == []


def test_a_checkpoint_that_fails_its_gate_is_listed_and_not_the_latest(followed: Followed) -> None:
    followed.checkpoint(10, b"ten")
    followed.checkpoint(20, b"bad")
    asyncio.run(followed.watch.look())
    states = [(v.step, v.state) for v in followed.endpoint.registry.state.adapters["tuned"].versions]
    assert (states, followed.endpoint.registry.find("tuned").about["step"]) == ([(10, "ready"), (20, "failed")], 10)


def test_a_run_that_does_not_exist_yet_is_waited_for(endpoint: DeployedEndpoint) -> None:
    watch = Watch(Desk(endpoint.registry, endpoint.replica, ServingConfig()), {"later": str(endpoint.root / "nothing")})
    asyncio.run(watch.look())
    assert "later" not in endpoint.registry.ids
