"""ray_ft: fine-tune open language models on your own documents and code, on your own Ray cluster."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray_ft.api import (
        advise,
        bench,
        compare,
        dry_run,
        evaluate,
        exam_questions,
        export,
        gate,
        inspect,
        plan,
        plan_exam,
        prepare,
        run,
        serve,
        smallest_cluster,
        submit,
        sweep,
        train,
    )
    from ray_ft.artifacts import (
        Advice,
        Bench,
        Changed,
        Comparison,
        CorpusProfile,
        DryRun,
        Endpoint,
        Estimate,
        Inspection,
        Job,
        Memory,
        Plan,
        Power,
        Remark,
        Report,
        ReviewItem,
        Ruling,
        Sizing,
        Standing,
        Sweep,
        TrainingSet,
        TunedModel,
    )
    from ray_ft.config import (
        BenchConfig,
        CodeTestsConfig,
        Config,
        DataConfig,
        DatasetConfig,
        EvaluationConfig,
        ModelConfig,
        PlanConfig,
        RehearsalConfig,
        ServingConfig,
        SweepConfig,
        TrainConfig,
        load_config,
    )
    from ray_ft.errors import (
        ConfigError,
        DataError,
        DoesNotFitError,
        EngineStoppedError,
        GenerationError,
        JobError,
        MissingArtifactError,
        MissingDependencyError,
        ModelError,
        PromptTooLongError,
        RayFTError,
        TrainingError,
    )

__version__ = "0.1.0"
__all__ = [
    "Advice",
    "Bench",
    "BenchConfig",
    "Changed",
    "CodeTestsConfig",
    "Comparison",
    "Config",
    "ConfigError",
    "CorpusProfile",
    "DataConfig",
    "DataError",
    "DatasetConfig",
    "DoesNotFitError",
    "DryRun",
    "Endpoint",
    "EngineStoppedError",
    "Estimate",
    "EvaluationConfig",
    "GenerationError",
    "Inspection",
    "Job",
    "JobError",
    "Memory",
    "MissingArtifactError",
    "MissingDependencyError",
    "ModelConfig",
    "ModelError",
    "Plan",
    "PlanConfig",
    "Power",
    "PromptTooLongError",
    "RayFTError",
    "RehearsalConfig",
    "Remark",
    "Report",
    "ReviewItem",
    "Ruling",
    "ServingConfig",
    "Sizing",
    "Standing",
    "Sweep",
    "SweepConfig",
    "TrainConfig",
    "TrainingError",
    "TrainingSet",
    "TunedModel",
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

_HOMES = {
    "ray_ft.api": (
        "advise", "bench", "compare", "dry_run", "evaluate", "exam_questions", "export", "gate", "inspect", "plan",
        "plan_exam", "prepare", "run", "serve", "smallest_cluster", "submit", "sweep", "train",
    ),
    "ray_ft.artifacts": (
        "Advice", "Bench", "Changed", "Comparison", "CorpusProfile", "DryRun", "Endpoint", "Estimate", "Inspection",
        "Job", "Memory", "Plan", "Power", "Remark", "Report", "ReviewItem", "Ruling", "Sizing", "Standing", "Sweep",
        "TrainingSet", "TunedModel",
    ),
    "ray_ft.config": (
        "BenchConfig", "CodeTestsConfig", "Config", "DataConfig", "DatasetConfig", "EvaluationConfig", "ModelConfig",
        "PlanConfig", "RehearsalConfig", "ServingConfig", "SweepConfig", "TrainConfig", "load_config",
    ),
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import on first use, so that `ray-ft --help` reads no configuration code; every other name is an error."""
    if name not in __all__:
        raise AttributeError(f"module 'ray_ft' has no attribute {name!r}")
    home = next((module for module, names in _HOMES.items() if name in names), "ray_ft.errors")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
