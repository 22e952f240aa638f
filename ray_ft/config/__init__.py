"""Every key of a YAML file, and `load_config`, which reads one; imports neither torch nor ray."""

from ray_ft.config.describe import SLOTS, field_docs, section_list_of, section_of, slot_of, type_name
from ray_ft.config.keys import (
    CodeTestsConfig,
    Config,
    DataConfig,
    DatasetConfig,
    EvaluationConfig,
    Goal,
    ModelConfig,
    PlanConfig,
    RehearsalConfig,
    System,
    TrainConfig,
)
from ray_ft.config.load import load_config, mask, parse_config, to_identity, to_plain
from ray_ft.config.quality_keys import QualityConfig
from ray_ft.config.serving_keys import ServingConfig
from ray_ft.config.variants import BenchConfig, SweepConfig, SweepMetric

__all__ = [
    "SLOTS",
    "BenchConfig",
    "CodeTestsConfig",
    "Config",
    "DataConfig",
    "DatasetConfig",
    "EvaluationConfig",
    "Goal",
    "ModelConfig",
    "PlanConfig",
    "QualityConfig",
    "RehearsalConfig",
    "ServingConfig",
    "SweepConfig",
    "SweepMetric",
    "System",
    "TrainConfig",
    "field_docs",
    "load_config",
    "mask",
    "parse_config",
    "section_list_of",
    "section_of",
    "slot_of",
    "to_identity",
    "to_plain",
    "type_name",
]
