"""The public functions: load a stage's inputs, call the stage, save what it made.

Each stage is skipped when its artifact was already made from the same configuration and inputs; where they differ, the
run folder is left alone and the difference is named.
"""

from ray_ft.api.advising import advise
from ray_ft.api.benching import bench
from ray_ft.api.data import inspect, prepare
from ray_ft.api.evaluation import compare, evaluate, exam_questions, gate, plan_exam
from ray_ft.api.exporting import export
from ray_ft.api.planning import plan, smallest_cluster
from ray_ft.api.serving import serve
from ray_ft.api.training import dry_run, train
from ray_ft.api.whole_runs import run, submit, sweep
from ray_ft.config import load_config

__all__ = [
    "advise",
    "bench",
    "compare",
    "dry_run",
    "evaluate",
    "exam_questions",
    "export",
    "gate",
    "inspect",
    "load_config",
    "plan",
    "plan_exam",
    "prepare",
    "run",
    "serve",
    "smallest_cluster",
    "submit",
    "sweep",
    "train",
]
