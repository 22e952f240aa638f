"""A newcomer follows a document, a value and a chat request: the files that architecture.md lists are those, and all.

Each way is gone in this process, from the command line to its end: what Ray would run elsewhere is called here.
"""

import contextlib
import json
import re
import sys
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from follow import Followed, Follower, file_of, following

from ray_ft.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "architecture.md"
APART = re.compile(r"(^|/)__init__\.py$|^(rows|errors|data/run/typed)\.py$")  # registries, errors, rows as they are

WORDS = "quintle bearing"
MARKDOWN = """# Ferry

Boats leave at nine and come back at ten, every day but Sunday.

## Engine

The quintle bearing is greased by the mate every week, with the grey grease from the locker below the stairs, before
the ferry leaves the harbour; without it the shaft runs hot and the engine stops at sea.
"""
RATE = 0.000314159
DEFINITIONS = ("config/keys.py", "training/task.py")  # of what carries the value


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, tiny_model_path: str) -> Path:
    folder = tmp_path_factory.mktemp("ways")
    (folder / "docs").mkdir()
    (folder / "docs" / "engine.md").write_text(MARKDOWN)
    (folder / "config.yaml").write_text(
        json.dumps(
            {
                "run_name": "way",
                "output_dir": str(folder / "runs"),
                "model": {"name": tiny_model_path, "max_seq_len": 256},
                "data": {"sources": [str(folder / "docs")], "recipes": ["heading"]},
                "train": {
                    "learning_rate": RATE, "lr_scheduler": "constant", "warmup_ratio": 0, "max_steps": 1,
                    "global_batch_size": 1, "strategy": "lora", "num_workers": 1,
                },
                "serving": {"max_new_tokens": 4},
            }
        )
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def document_way(run_folder: Path, tiny_model_path: str) -> Followed:
    """`prepare`, with what Ray Data would map over rows called on them."""
    import numpy as np

    from ray_ft.data.documents import ReadFile
    from ray_ft.data.formats.base import Parsed
    from ray_ft.data.ingest.reading import Decoded
    from ray_ft.data.tokenization.encoded import Encoded
    from ray_ft.models.tokenizer import load_tokenizer
    from ray_ft.rows import Chunk, Document, Example

    marked = load_tokenizer(tiny_model_path, None)(f" {WORDS}", add_special_tokens=False).input_ids

    def has_ids(ids: Any) -> bool:
        given = list(ids)
        return any(given[i : i + len(marked)] == marked for i, one in enumerate(given) if one == marked[0])

    def holds(value: Any) -> bool:
        if isinstance(value, str):
            return WORDS in value
        if isinstance(value, (bytes, bytearray)):
            return WORDS.encode() in value
        if isinstance(value, np.ndarray):
            return value.dtype.kind in "iu" and has_ids(value.ravel().tolist())
        return isinstance(value, (list, array)) and len(value) > 0 and type(value[0]) is int and has_ids(value)

    def is_form(value: Any) -> bool:
        if isinstance(value, bytes) or (isinstance(value, np.ndarray) and value.ndim == 2):
            return holds(value)
        if isinstance(value, Chunk):  # others are passages of the retrieval index, and what questions are made of
            return WORDS in value.text and "#heading-" in value.id
        if isinstance(value, ReadFile):
            return value.document is not None
        if isinstance(value, Encoded):
            return has_ids(value.input_ids)
        return isinstance(value, (Decoded, Parsed, Document)) or (
            isinstance(value, Example) and WORDS in value.completion
        )

    def run_here(rows: list[dict[str, Any]], function: Any, job: Any, **_: Any) -> Iterator[str]:
        for row in rows:
            yield function(row, job=job)["result"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ray_ft.api.data.ray_session", lambda config: contextlib.nullcontext())
        patch.setattr("ray_ft.data.ingest.stage.run_tasks", run_here)
        patch.setattr("ray_ft.data.build.stage.run_tasks", run_here)
        patch.setattr("ray_ft.data.ingest.stage.num_cpus", lambda: 1)
        return followed("prepare", run_folder, Follower(holds, is_form))


@pytest.fixture(scope="module")
def rate_way(run_folder: Path, document_way: Followed, tmp_path_factory: pytest.TempPathFactory) -> Followed:
    """`train`, with the worker called where Ray Train would start one. Files whose functions are under way when the
    optimizer has the value hand it on, too."""
    import torch.distributed as dist
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    from ray_ft.config import Config, TrainConfig
    from ray_ft.hardware import cpu_hardware
    from ray_ft.training.task import TrainingTask

    at_optimizer: set[str] = set()

    def holds(value: Any) -> bool:
        return isinstance(value, float) and value == RATE

    def is_form(value: Any) -> bool:
        rate = value.train.learning_rate if isinstance(value, Config) else getattr(value, "learning_rate", None)
        return isinstance(value, (Config, TrainConfig, TrainingTask)) and rate == RATE

    def arrived(optimizer: Any, *_: Any) -> None:
        assert all(group["lr"] == RATE for group in optimizer.param_groups)
        frame = sys._getframe()
        while frame is not None:
            at_optimizer.add(file_of(frame.f_code))
            frame = frame.f_back

    def train_here(*, train_loop_per_worker: Callable[[Any], Any], train_loop_config: Any, **_: Any) -> Any:
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        try:
            return SimpleNamespace(return_value=train_loop_per_worker(train_loop_config))
        finally:
            dist.destroy_process_group()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ray_ft.api.training.ray_session", lambda config: contextlib.nullcontext())
        patch.setattr("ray_ft.api.planning._hardware", lambda config: cpu_hardware(2, 8 * 2**30))
        patch.setattr("ray_ft.training.fine_tune.check_cluster", lambda plan, **_: None)
        patch.setattr("ray_ft.training.fine_tune._num_cpus", lambda: 1)
        patch.setattr("ray_ft.training.fine_tune.fit_interruptibly", train_here)
        patch.setattr("ray_ft.training.worker._report_to_ray", lambda metrics, checkpoint: None)
        patch.setattr("ray_ft.training.worker._preempted", lambda: False)
        follower = Follower(holds, is_form, depth=0)
        hook = register_optimizer_step_pre_hook(arrived)
        try:
            seen = followed("train", run_folder, follower)
        finally:
            hook.remove()
    seen.made |= {name for name in at_optimizer if name}
    return seen


@pytest.fixture(scope="module")
def chat_way(run_folder: Path, rate_way: Followed) -> Followed:
    """`serve` and one question, with the gateway and the replica in this process."""
    import ray
    from fastapi import Response
    from fastapi.testclient import TestClient

    from ray_ft.engines import GenerateRequest, TextDelta
    from ray_ft.engines.transformers.rows import Row
    from ray_ft.serving.api.bodies import ChatBody
    from ray_ft.serving.exchange import Ask, Piece

    for probe in run_folder.rglob("probe.json"):  # its questions, asked as an adapter loads, are not the request's way
        probe.unlink()
    forms = (ChatBody, Ask, GenerateRequest, Row, TextDelta, Piece, Response)
    answers: list[str] = []

    def is_form(value: Any) -> bool:
        return isinstance(value, forms) or (isinstance(value, dict) and isinstance(value.get("choices"), list))

    def holds(value: Any) -> bool:
        return is_form(value) or (isinstance(value, str) and WORDS in value)

    def ask(application: Any, serving: Any) -> None:
        body = {"model": "way", "messages": [{"role": "user", "content": f"What does the {WORDS} need?"}]}
        with TestClient(application.__serve_build_asgi_app__()) as client:
            answer = client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200
        answers.append(answer.json()["choices"][0]["message"]["content"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ray_ft.api.serving.ray_session", lambda config, keep: contextlib.nullcontext())
        patch.setattr(ray, "serve", InProcess, raising=False)
        patch.setattr("ray_ft.serving.deploy.replica_resources", lambda serving, engine: {"num_cpus": 1})
        patch.setattr("ray_ft.serving.deploy.check_replicas_fit", lambda serving, resources: None)
        patch.setattr("ray_ft.serving.deploy.is_beside_others", lambda serving: False)
        patch.setattr("ray_ft.serving.deploy.check_port", lambda serving: None)
        patch.setattr("ray_ft.serving.deploy.start", ask)
        patch.setattr("ray_ft.serving.deploy.wait_for_interrupt", lambda: None)
        patch.setattr("ray_ft.serving.deploy.drain", lambda serving: None)
        patch.setattr("ray_ft.serving.deploy.shutdown", lambda name: None)
        patch.setattr("ray_ft.serving.replica.loading.SYNC_SECONDS", 3600)  # its thread sees what the model holds
        seen = followed("serve", run_folder, Follower(holds, is_form))
    assert answers
    return seen


class InProcess:
    """As `ray.serve` as far as an application is built: deployments are objects here, and their handles call them."""

    @staticmethod
    def ingress() -> Callable[[Any], Any]:
        return lambda cls: cls

    @staticmethod
    def deployment(cls: Any, **_: Any) -> Any:
        made = cls if cls.__name__ == "Gateway" else lambda *given, **named: InProcessHandle(cls(*given, **named))
        return SimpleNamespace(bind=made)


class InProcessHandle:
    """A handle whose `name.remote(...)` is the method of that name."""

    def __init__(self, deployed: Any) -> None:
        self.deployed = deployed

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=getattr(self.deployed, name))


def followed(verb: str, folder: Path, follower: Follower) -> Followed:
    with following(follower) as seen:
        assert main([verb, str(folder / "config.yaml")]) == 0
    return seen


def listed(heading: str) -> tuple[list[str], set[str]]:
    """The numbered files below a heading of the page, and those that are shown the value beside the way."""
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    way = re.findall(r"^\d+\. `([\w/]+\.py)`", section, re.MULTILINE)
    beside = section.partition("Shown to")[2].split("\n\n")[0]
    shown = set()
    for folder, names in re.findall(r"`([\w/]+)`:\s((?:`\w+`(?:,\s)?)+)", beside):
        shown |= {f"{folder}/{name}.py".lstrip("/") for name in re.findall(r"`(\w+)`", names)}
    return way, shown


def check(seen: Followed, heading: str, *, leads: tuple[str, ...], at_most: int) -> None:
    """The listed way is the files that lead to the value and those that hand it on, in the order in which they are
    shown it or, where they are not, called; no other file is shown it but those that are listed beside the way."""
    way, beside = listed(heading)
    assert len(way) <= at_most
    assert set(way) == {name for name in seen.made if not APART.search(name)} | set(leads)
    opened = [name for name in way if name not in DEFINITIONS]
    assert opened == sorted(opened, key=lambda n: seen.called[n] if n in leads else seen.shown.get(n, seen.called[n]))
    assert {name for name in seen.shown if not APART.search(name)} - set(way) == beside


def test_a_document_is_handled_by_the_files_that_the_page_lists(document_way: Followed) -> None:
    check(
        document_way, "The way of a document", leads=("cli/commands.py", "api/data.py", "data/prepare.py"), at_most=12
    )


def test_a_value_is_handled_by_the_files_that_the_page_lists(rate_way: Followed) -> None:
    check(rate_way, "The way of a parameter", leads=DEFINITIONS, at_most=10)


def test_a_chat_request_is_handled_by_the_files_that_the_page_lists(chat_way: Followed) -> None:
    check(
        chat_way, "The way of a request", leads=("cli/commands.py", "api/serving.py", "serving/deploy.py"), at_most=14
    )
