"""One process that makes trials: each line of its input is a trial, each line of its output what came of it.

It has a Ray of its own, which believes to have the GPU for itself: so small a model leaves most of a GPU to others.
"""

import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from bench.paper.code_exam import write_exam
from bench.timed_steps.processes import num_gpus

METRICS = (
    "key_fact_recall", "net_score", "token_f1", "abstention", "truncated", "parses", "edit_similarity", "identifier_f1",
)  # fmt: skip
TINY = (
    "model.name=builtin:tiny", "train.max_steps=2", "evaluation.num_questions=8", "evaluation.max_new_tokens=4",
    "evaluation.num_documents=1", "plan.gpu=cpu",
)  # fmt: skip
RAY_CPUS = 4
ANSWERS = Path("configs/quickstart/answers.jsonl")
STORE_BYTES = 200 * 2**20


def main(work: Path, *, tiny: bool) -> int:
    """Trials from standard input until it ends; their run folders are below `work`."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    with _ray():
        for line in sys.stdin:
            _answer(answers, _outcome(json.loads(line), work, tiny=tiny))
    return 0


def _answer(stream: TextIO, values: dict[str, Any]) -> None:
    stream.write(json.dumps(values) + "\n")
    stream.flush()


@contextmanager
def _ray() -> Iterator[None]:
    import ray

    from ray_ft.quiet import quiet_libraries

    quiet_libraries()
    with tempfile.TemporaryDirectory(
        prefix="rp-", dir="/tmp", ignore_cleanup_errors=True
    ) as folder:  # paths of sockets are short
        ray.init(
            address="local", num_cpus=RAY_CPUS, num_gpus=min(1, num_gpus()), include_dashboard=False,
            object_store_memory=STORE_BYTES, _temp_dir=folder, logging_level="ERROR", log_to_driver=False,
        )  # fmt: skip
        try:
            yield
        finally:
            ray.shutdown()


def _outcome(trial: dict[str, Any], work: Path, *, tiny: bool) -> dict[str, Any]:
    try:
        return {"outcome": "ok", **_made(trial, work, tiny=tiny)}
    except Exception as error:
        traceback.print_exc()
        return {"outcome": "error", "error": f"{type(error).__name__}: {error}"[:500]}


def _made(trial: dict[str, Any], work: Path, *, tiny: bool) -> dict[str, Any]:
    """Prepare what no other trial has prepared, train, ask, and read the scores."""
    import ray_ft

    overrides = [*trial["overrides"], f"output_dir={work}", f"run_name={trial['name']}"]
    overrides += [f"train.seed={trial['seed']}", f"evaluation.systems=[{', '.join(trial['systems'])}]"]
    config = ray_ft.load_config(trial["config"], [*overrides, *(TINY if tiny else ())])
    seconds, began = {}, time.monotonic()
    _prepare(config, work)
    for name, stage in (("prepare", None), ("train", ray_ft.train), ("evaluate", ray_ft.evaluate)):
        made = stage(config) if stage is not None else None
        seconds[name], began = round(time.monotonic() - began, 1), time.monotonic()
        if name == "train":
            metrics = made.metrics
    samples = _samples(config.run_path)
    kept = [_kept(sample) for sample in samples] if trial["keep_answers"] else []
    return {"seconds": seconds, "metrics": metrics, "exam": _exam(samples), "systems": _scores(samples), "kept": kept}


def _prepare(config: Any, work: Path) -> None:
    """Give the run the training set of its configuration, which is made once for all trials of it."""
    from import_answers import import_answers

    import ray_ft
    from ray_ft import artifacts
    from ray_ft.api.fingerprints import data_inputs
    from ray_ft.artifacts import TrainingSet
    from ray_ft.locks import waiting_lock
    from ray_ft.models.folder import resolve_model

    questions = Path(config.evaluation.questions)
    shared = replace(config, run_name=f"data-{artifacts.digest(data_inputs(config))[:12]}")
    work.mkdir(parents=True, exist_ok=True)
    with waiting_lock(work / f".{shared.run_name}.lock"):
        if "code" in questions.name and not questions.is_file():
            write_exam(Path(config.data.sources[0]), questions)
        inputs = artifacts.load_inputs(TrainingSet, shared.run_path)
        if inputs is None and config.data.generator is not None:
            model_path = resolve_model(config.model.name, output_dir=config.output_dir)
            import_answers(shared, ANSWERS, model_path)
        made = artifacts.load(TrainingSet, shared.run_path) if inputs is not None else ray_ft.prepare(shared)
    if artifacts.load_inputs(TrainingSet, config.run_path) is None:
        artifacts.save(made, config.run_path, artifacts.load_inputs(TrainingSet, shared.run_path))


def _samples(run_path: Path) -> list[dict[str, Any]]:
    """Every question with all answers."""
    path = run_path / "evaluation" / "samples.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _stratum(sample: dict[str, Any]) -> str:
    from ray_ft.evaluation.scores.scoring import stratum_scored

    return stratum_scored(sample["stratum"], answerable=sample["answerable"])


def _exam(samples: list[dict[str, Any]]) -> dict[str, dict[str, list[str]]]:
    """What was asked, by stratum: questions and their documents, in the order of the scores."""
    found: dict[str, dict[str, list[str]]] = {}
    for sample in samples:
        part = found.setdefault(_stratum(sample), {"questions": [], "documents": []})
        part["questions"].append(sample["id"])
        part["documents"].append(sample["path"] or sample["document_id"])
    return found


def _scores(samples: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, list[float]]]]:
    """By system, stratum and metric, one number for each question."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for sample in samples:
        for system, answer in sample["answers"].items():
            part = found.setdefault(system, {}).setdefault(_stratum(sample), {})
            for metric in (m for m in METRICS if m in answer["scores"]):
                part.setdefault(metric, []).append(round(answer["scores"][metric], 3))
    return found


def _kept(sample: dict[str, Any]) -> dict[str, Any]:
    answers = {system: answer["answer"] for system, answer in sample["answers"].items()}
    return {key: sample[key] for key in ("id", "stratum", "question", "reference")} | {"answers": answers}
