"""What stages hand to each other, and its JSON form in a run folder."""

from ray_ft.artifacts.advising import Advice, CorpusProfile, Remark, Strength
from ray_ft.artifacts.bench import Bench
from ray_ft.artifacts.data import Inspection, RuleSpread, Share, SourcedExample, TrainingSet
from ray_ft.artifacts.evaluation import (
    Changed,
    Comparison,
    Contrast,
    Cost,
    Judged,
    Power,
    Report,
    ReviewItem,
    Ruling,
    Score,
    Standing,
    Sweep,
)
from ray_ft.artifacts.identity import CHANGE_THE_END, COMPUTE_THE_SAME, changed_keys, digest, without
from ray_ft.artifacts.json_form import from_json, to_json
from ray_ft.artifacts.planning import Answering, Estimate, Memory, Plan, Sizing, Workload
from ray_ft.artifacts.running import Endpoint, Job
from ray_ft.artifacts.store import FILES, Artifact, load, load_inputs, remove, save, write_text
from ray_ft.artifacts.training import DryRun, Gate, Passage, ShownExample, TunedModel

__all__ = [
    "CHANGE_THE_END",
    "COMPUTE_THE_SAME",
    "FILES",
    "Advice",
    "Answering",
    "Artifact",
    "Bench",
    "Changed",
    "Comparison",
    "Contrast",
    "CorpusProfile",
    "Cost",
    "DryRun",
    "Endpoint",
    "Estimate",
    "Gate",
    "Inspection",
    "Job",
    "Judged",
    "Memory",
    "Passage",
    "Plan",
    "Power",
    "Remark",
    "Report",
    "ReviewItem",
    "RuleSpread",
    "Ruling",
    "Score",
    "Share",
    "ShownExample",
    "Sizing",
    "SourcedExample",
    "Standing",
    "Strength",
    "Sweep",
    "TrainingSet",
    "TunedModel",
    "Workload",
    "changed_keys",
    "digest",
    "from_json",
    "load",
    "load_inputs",
    "remove",
    "save",
    "to_json",
    "without",
    "write_text",
]
