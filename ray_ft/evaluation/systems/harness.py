"""Tasks of lm-evaluation-harness, an extra: base and tuned do them in a process of their own, item by item."""

import contextlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_ft.artifacts import TunedModel, write_text
from ray_ft.errors import ConfigError, MissingDependencyError, first_line
from ray_ft.evaluation.exam.tasks import BASE, TUNED


@dataclass(frozen=True)
class TaskScores:
    """One task's main metric, which is a share, of both systems on the same items."""

    name: str
    metric: str
    items: tuple[str, ...]
    base: tuple[float, ...]
    tuned: tuple[float, ...]

    def columns(self) -> dict[tuple[str, str], Sequence[float]]:
        """As `scores.scoring.measure` takes them."""
        return {(BASE, self.metric): self.base, (TUNED, self.metric): self.tuned}


def require_harness(tasks: Sequence[str]) -> None:
    """Raises MissingDependencyError where tasks are wanted and the package is not there."""
    if tasks and importlib.util.find_spec("lm_eval") is None:
        raise MissingDependencyError(
            "evaluation.lm_eval_tasks needs the package lm-eval: pip install 'ray_ft[lm-eval]'"
        )


def do_tasks(tasks: Sequence[str], folder: str | None, *, tuned: TunedModel, run_path: str) -> list[TaskScores]:
    """Have base and tuned do the tasks, and keep every item's score; nothing where there are none.

    Raises ConfigError for a task that is not known, cannot be read or has no metric that is a share.
    """
    if not tasks:
        return []
    import ray

    gpus = 1 if ray.cluster_resources().get("GPU") else 0
    work = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(_scores_of)
    there = None if folder is None else str(Path(folder).resolve())  # where it works in, so that no path is relative
    both = []
    for path, adapter in ((tuned.base_path, None), _tuned_of(tuned)):
        found, problem = ray.get(work.remote(list(tasks), there, str(Path(path).resolve()), adapter))
        if problem:
            raise ConfigError(f"evaluation.lm_eval_tasks: {problem}")
        both.append(found)
    made = [pair_scores(name, *(side[name] for side in both)) for name in both[0]]
    rows = [
        {"task": task.name, "item": item, "metric": task.metric, "base": base, "tuned": after}
        for task in made
        for item, base, after in zip(task.items, task.base, task.tuned, strict=True)
    ]
    write_text(Path(run_path) / "evaluation" / "lm_eval.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return made


def _tuned_of(tuned: TunedModel) -> tuple[str, str | None]:
    return (tuned.base_path, str(Path(tuned.path).resolve())) if tuned.is_adapter else (tuned.path, None)


def pair_scores(name: str, base: Mapping[str, Any], tuned: Mapping[str, Any]) -> TaskScores:
    """One task's scores of two models by item. Raises ConfigError where the metric is no share of 0 to 1."""
    metric = str(base["metric"])
    items = tuple(sorted(base["scores"].keys() & tuned["scores"].keys()))
    sides = [tuple(float(side["scores"][item]) for item in items) for side in (base, tuned)]
    if not items or not all(0 <= value <= 1 for side in sides for value in side):
        raise ConfigError(f"evaluation.lm_eval_tasks: {name}: {metric} is no share from 0 to 1 of single items")
    return TaskScores(name, metric, items, *sides)


def _scores_of(
    tasks: list[str], folder: str | None, path: str, adapter: str | None
) -> tuple[dict[str, dict[str, Any]], str]:
    """Task -> its metric and the scores by item, or what is wrong; in a process of its own, in the tasks' folder."""
    import torch
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    with contextlib.chdir(folder or "."):
        manager = TaskManager(include_path=str(Path.cwd()) if folder else None)
        if unknown := [task for task in tasks if task not in manager.all_tasks]:
            return {}, f"no such task: {', '.join(unknown)}; evaluation.lm_eval_path has those of your own"
        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            model = HFLM(pretrained=path, peft=adapter, device=device, batch_size=8)
            found = simple_evaluate(
                model=model, tasks=tasks, task_manager=manager, log_samples=True, bootstrap_iters=0, verbosity="ERROR"
            )
        except Exception as error:  # data that is not there shows in as many ways as there are loaders
            return {}, first_line(error)
    return {name: _by_item(rows, found["configs"][name]) for name, rows in found["samples"].items()}, ""


def _by_item(rows: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> dict[str, Any]:
    """The first metric that the task names, by the item's number; of several filters the first."""
    metric = config["metric_list"][0]["metric"]
    scores: dict[str, Any] = {}
    for row in rows:
        scores.setdefault(f"{row['doc_id']:07d}", row[metric])
    return {"metric": metric if isinstance(metric, str) else metric.__name__, "scores": scores}
