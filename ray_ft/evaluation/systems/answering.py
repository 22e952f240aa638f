"""Runs every task on the cluster: one streaming Ray Data job in which actors load the model once, then CPUs score."""

import dataclasses
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_ft import errors, progress
from ray_ft.artifacts import TunedModel
from ray_ft.config import EvaluationConfig, ModelConfig
from ray_ft.engines import Engine
from ray_ft.errors import RayFTError
from ray_ft.evaluation.exam.tasks import TUNED, Done, Task
from ray_ft.evaluation.scores.scoring import score_question
from ray_ft.evaluation.systems.kept import Kept
from ray_ft.evaluation.systems.prompts import perform
from ray_ft.quiet import quiet_ray_data, restarts_of_actors
from ray_ft.rows import Question

if TYPE_CHECKING:
    import pyarrow as pa

TASKS_PER_BATCH = {"CPU": 64, "GPU": 512}
"""Tasks that a model is handed at once; it answers as many of them together as it likes, and the last ones of a batch
alone. Blocks are cut to this size, so that batches are the same in every run."""

logger = logging.getLogger(__name__)


def answer_all(
    tasks: Sequence[Task],
    *,
    questions: Sequence[Question],
    sources: Sequence[str] = (),
    tuned: TunedModel,
    model: ModelConfig,
    evaluation: EvaluationConfig,
    engine: Engine,
    kept_path: str = "",
) -> list[Done]:
    """Perform and score every task; the order is that of systems and indexes, whoever finished first.

    `sources` are the texts of the questions' own documents, for as many as are known: what they hold is not invented.
    In the folder `kept_path`, which every node sees, answers are kept as they end, and found by an evaluation that goes
    on.
    """
    done: list[Done] = []
    loads = list(_loads(tasks, tuned))
    for model_path, adapters, _ in loads:
        engine.check(model_path, adapters)
    for model_path, adapters, part in loads:
        worker = {
            "engine": engine,
            "model_path": model_path,
            "adapters": adapters,
            "chat_template": str(Path(model.chat_template).resolve()) if model.chat_template else None,
            "system_prompt": model.system_prompt,
            "max_new_tokens": evaluation.max_new_tokens,
            "kept_path": kept_path,
        }
        with quiet_ray_data():
            done.extend(_run(_with_said(part, done), questions, sources, worker))
    place = {(task.kind, task.system, task.index, task.sample): i for i, task in enumerate(tasks)}
    return sorted(done, key=lambda d: place[d.kind, d.system, d.index, d.sample])


def _loads(tasks: Sequence[Task], tuned: TunedModel) -> Iterator[tuple[str, dict[str, str], list[Task]]]:
    """Model folder, adapters and their tasks: an adapter shares its base's load, a whole tuned model needs its own."""
    if tuned.is_adapter:
        # What the base says is scored at once under an adapter that is loaded beside it.
        asked = [task for task in tasks if not (task.kind == "said" and task.is_tuned)]
        yield tuned.base_path, {TUNED: tuned.path} if any(t.is_tuned for t in tasks) else {}, asked
        return
    for path, is_tuned in ((tuned.base_path, False), (tuned.path, True)):
        if part := [task for task in tasks if task.is_tuned == is_tuned]:
            yield path, {}, part


def _with_said(tasks: Sequence[Task], done: Sequence[Done]) -> list[Task]:
    """The tasks, with what the base said for those that score it; where it said nothing there is nothing to score."""
    said = {d.index: d.token_ids for d in done if d.kind == "said"}
    return [
        dataclasses.replace(task, token_ids=said[task.index]) if task.kind == "said" and task.is_tuned else task
        for task in tasks
        if task.kind != "said" or not task.is_tuned or task.index in said
    ]


def _run(
    tasks: list[Task], questions: Sequence[Question], sources: Sequence[str], worker: dict[str, Any]
) -> list[Done]:
    """One Ray Data job: tasks -> actors that hold the model -> scoring on whatever CPU is free."""
    import ray

    tasks_per_batch = TASKS_PER_BATCH["GPU" if ray.cluster_resources().get("GPU") else "CPU"]
    num_blocks = math.ceil(len(tasks) / tasks_per_batch)
    resources, num_actors = actor_resources(worker["engine"], worker["model_path"], num_blocks)
    logger.info("answering %d tasks with %d x %s", len(tasks), num_actors, Path(worker["model_path"]).name)
    rows = [
        {**dataclasses.asdict(task), "passages": list(task.passages), "token_ids": list(task.token_ids)}
        for task in tasks
    ]
    dataset = (
        ray.data.from_items(rows, override_num_blocks=num_blocks)
        .map_batches(
            Worker,
            fn_constructor_kwargs=worker,
            batch_size=tasks_per_batch,  # Ray Data wants a number where GPUs are asked for
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=num_actors),
            **resources,
        )
        # No CPU is asked for: actors may hold them all, and scoring takes milliseconds.
        .map_batches(
            score,
            fn_kwargs={"questions": list(questions), "sources": list(sources)},
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.TaskPoolStrategy(size=1),
            num_cpus=0,
        )
    )
    done = []
    with progress.task("answer", "tasks", len(tasks)) as task:
        for row in dataset.iter_rows():
            done.append(_done(row))
            if done[-1].error:
                kind, message = done[-1].error.split(": ", 1)
                raise getattr(errors, kind)(message)
            task.count_to(len(done))
    return done


class Worker:
    """An actor that loads the model once and performs batches of tasks."""

    def __init__(
        self,
        *,
        engine: Engine,
        model_path: str,
        adapters: Mapping[str, str],
        chat_template: str | None,
        system_prompt: str | None,
        max_new_tokens: int,
        kept_path: str = "",
    ) -> None:
        self._settings: dict[str, Any] = {"system_prompt": system_prompt, "max_new_tokens": max_new_tokens}
        self._tuned_adapter = TUNED if adapters else None
        self._refusal = ""
        try:
            self._settings["kept"] = Kept(Path(kept_path)) if kept_path else None
            self._model = engine.load(model_path, adapters, chat_template=chat_template)
        except RayFTError as error:
            self._refusal = f"{type(error).__name__}: {error}"

    def __call__(self, batch: "pa.Table") -> "pa.Table":
        """Outcomes of a batch; what a user can fix comes back as a row: Ray would make a traceback of it."""
        tasks = [
            Task(**{**row, "passages": tuple(row["passages"]), "token_ids": tuple(row["token_ids"])})
            for row in batch.to_pylist()
        ]
        if self._refusal:
            return _table([Done(tasks[0].index, tasks[0].kind, tasks[0].system, error=self._refusal)])
        try:
            return _table(perform(tasks, self._model, tuned_adapter=self._tuned_adapter, **self._settings))
        except RayFTError as error:
            refusal = f"{type(error).__name__}: {error}"
            return _table([Done(tasks[0].index, tasks[0].kind, tasks[0].system, error=refusal)])


def score(batch: "pa.Table", *, questions: Sequence[Question], sources: Sequence[str]) -> "pa.Table":
    """Add every metric to the answers of a batch; documents pass as they are."""
    return _table([_scored(_done(row), questions, sources) for row in batch.to_pylist()])


def _scored(done: Done, questions: Sequence[Question], sources: Sequence[str] = ()) -> Done:
    if done.kind != "question" or done.error:
        return done
    source = " ".join((done.prompt, *sources[done.index : done.index + 1]))
    scores = score_question(questions[done.index], done.answer, source=source)
    return dataclasses.replace(done, scores={**scores, "truncated": float(done.finish_reason == "length")})


def _table(done: Sequence[Done]) -> "pa.Table":
    """Arrow has no lone surrogates, which byte-level tokenizers can decode to; scores go as pairs, each row its own."""
    import pyarrow as pa

    rows = [{**dataclasses.asdict(d), "answer": d.answer.encode("utf-8", "replace").decode()} for d in done]
    for row in rows:
        row["scores"] = [{"metric": metric, "value": value} for metric, value in row["scores"].items()]
    pairs = pa.list_(pa.struct([("metric", pa.string()), ("value", pa.float64())]))
    columns: dict[type, Any] = {
        int: pa.int64(),
        str: pa.string(),
        float: pa.float64(),
        list: pairs,
        tuple: pa.list_(pa.int64()),
    }
    schema = pa.schema([(name, columns[type(value)]) for name, value in rows[0].items()])
    return pa.Table.from_pylist(rows, schema=schema)


def _done(row: Mapping[str, Any]) -> Done:
    scores = {pair["metric"]: pair["value"] for pair in row["scores"]}
    return Done(**{**row, "scores": scores, "token_ids": tuple(row["token_ids"])})


def actor_resources(engine: Engine, model_path: str, num_batches: int) -> tuple[dict[str, int], int]:
    """What one actor takes and how many there are: one for as many GPUs as the engine wants for a copy; without GPUs as
    many as memory and the work allow; one that only asks a server where the engine holds no weights.
    """
    import ray

    cluster = ray.cluster_resources()
    restarts = restarts_of_actors()
    if not engine.needs_weights:
        return {"num_cpus": 1, **restarts}, 1
    if num_gpus := int(cluster.get("GPU", 0)):
        return {"num_gpus": engine.num_gpus, **restarts}, max(1, min(num_gpus // engine.num_gpus, num_batches))
    # What others hold may be held for longer than this run: an actor that asks for it would wait without an end.
    num_cpus = max(1, int(ray.available_resources().get("CPU", 1)))
    weight_bytes = sum(file.stat().st_size for file in Path(model_path).glob("*.safetensors"))
    # 16-bit weights double when they are held in fp32; a third share is left for activations and the cache.
    by_memory = int(cluster.get("memory", 0) // max(3 * weight_bytes, 1))
    # Starting a process and loading a model costs about as much as two batches.
    num_actors = max(1, min(num_cpus, by_memory, math.ceil(num_batches / 2)))
    return {"num_cpus": num_cpus // num_actors, **restarts}, num_actors
