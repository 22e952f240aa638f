"""200 questions to six systems on Ray Data, killed in the middle: what had been answered is not asked again."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from exam_fixtures import make_questions, write_training_set
from random_adapter import write_random_adapter

from ray_ft.artifacts import TunedModel, to_json
from ray_ft.models.folder import base_digest
from ray_ft.rows import as_row
from ray_ft.strategies import STRATEGIES

pytestmark = [pytest.mark.ray, pytest.mark.long]
SYSTEMS = ("base", "tuned", "base+rag", "tuned+rag", "base+oracle", "tuned+oracle")
NUM_QUESTIONS = 200
DRIVER = """
import hashlib, json, sys
from dataclasses import dataclass
from pathlib import Path

import ray

from ray_ft.artifacts import TrainingSet, TunedModel, from_json
from ray_ft.config import EvaluationConfig, ModelConfig
from ray_ft.engines import TransformersEngine
from ray_ft.evaluation.compare import compare

given = json.loads(sys.argv[1])


@dataclass(frozen=True)
class Watched(TransformersEngine):
    asked: str = ""

    def load(self, model_path, adapters, *, chat_template=None):
        model = super().load(model_path, adapters, chat_template=chat_template)
        generate = model.generate

        def noted(requests, on_result=None):
            with open(self.asked, "a") as stream:
                for request in requests:
                    sha = hashlib.sha256(str(request.prompt).encode()).hexdigest()
                    stream.write(f"{request.adapter} {sha}\\n")
            return generate(requests, on_result)

        model.generate = noted
        return model


ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=2**27)
compare(
    training_set=from_json(TrainingSet, given["training_set"]), tuned=from_json(TunedModel, given["tuned"]),
    model=ModelConfig(name="tiny"), engine=Watched(asked=given["asked"]), run_path=given["run"], seed=0,
    evaluation=EvaluationConfig(systems=tuple(given["systems"]), num_questions=given["num_questions"],
                                max_new_tokens=4, num_bootstrap=100, num_documents=2),
    fingerprint="k" * 16,
)
"""


def test_a_killed_evaluation_asks_for_no_answer_that_it_has(tiny_model_path: str, tmp_path: Path) -> None:
    training_set = write_training_set(tmp_path / "data")
    known = make_questions()
    questions = [
        {**as_row(known[i % len(known)]), "id": f"q{i:03d}", "question": f"{known[i % len(known)].question} ({i})"}
        for i in range(NUM_QUESTIONS)
    ]
    (tmp_path / "data" / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
    tuned = TunedModel(
        base_model="tiny", base_path=tiny_model_path, base_digest=base_digest(tiny_model_path), is_adapter=True,
        path=write_random_adapter(tiny_model_path, tmp_path / "adapter", seed=1), strategy=STRATEGIES["lora"](),
        metrics={}, steps=1, fingerprint="e" * 16,
    )  # fmt: skip
    given = {
        "training_set": to_json(training_set), "tuned": to_json(tuned), "run": str(tmp_path / "run"),
        "systems": SYSTEMS, "num_questions": NUM_QUESTIONS,
    }  # fmt: skip
    answers = tmp_path / "run" / "evaluation" / f"answers-{'k' * 16}"
    start(given | {"asked": str(tmp_path / "first")}, tmp_path, kill_when=lambda: len(kept(answers)) >= 300)
    before = kept(answers)
    assert 300 <= len(before) < NUM_QUESTIONS * len(SYSTEMS)
    start(given | {"asked": str(tmp_path / "second")}, tmp_path)
    asked = [tuple(line.split()) for line in (tmp_path / "second").read_text().splitlines()]
    had = {("tuned" if d["system"].startswith("tuned") else "None", d["prompt_sha256"]) for d in before}
    assert len(asked) == NUM_QUESTIONS * len(SYSTEMS) - len(before)
    assert len(set(asked)) == len(asked)
    assert not had & set(asked)
    samples = [
        json.loads(line) for line in (tmp_path / "run" / "evaluation" / "samples.jsonl").read_text().splitlines()
    ]
    assert [list(sample["answers"]) for sample in samples] == [list(SYSTEMS)] * NUM_QUESTIONS
    told = {(s, a["prompt_sha256"]): a["answer"] for sample in samples for s, a in sample["answers"].items()}
    assert all(told[d["system"], d["prompt_sha256"]] == d["answer"] for d in before)
    assert not answers.exists()


def kept(folder: Path) -> list[dict[str, Any]]:
    """Whole lines alone: the last one of a process that was killed may be none."""
    found = []
    for path in folder.glob("*.jsonl"):
        for line in path.read_text().splitlines():
            with suppress(ValueError):
                found.append(json.loads(line))
    return found


def start(given: dict[str, Any], folder: Path, *, kill_when: Any = None) -> None:
    """Evaluate in a process of its own, which is killed with all that it started, or has to end well."""
    command = [sys.executable, "-c", DRIVER, json.dumps(given)]
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ), start_new_session=True)
    until = time.monotonic() + 500
    while process.poll() is None and not (kill_when is not None and kill_when()):
        assert time.monotonic() < until, (folder / "log").read_text()[-3000:]
        time.sleep(0.05)
    if kill_when is None:
        assert process.returncode == 0, (folder / "log").read_text()[-3000:]
        return
    root = psutil.Process(process.pid)
    for one in [*root.children(recursive=True), root]:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGKILL)
    process.wait(30)
