"""Keys of the verbs that run many variants of one thing: settings that are trained, ways to hold a model."""

from dataclasses import dataclass, field
from typing import Any, Literal

from ray_ft.rows import Stratum

SweepMetric = Literal["validation_loss", "bits_per_byte", "key_fact_recall", "token_f1", "rouge_l", "exact_match"]


@dataclass(frozen=True)
class SweepConfig:
    """Many trials of one run, each with other values of some keys, and how the best one is told."""

    parameters: dict[str, Any] = field(default_factory=dict)
    """Keys below train, each with a list of values, or with {min, max, log} for random search to draw from."""
    search: Literal["grid", "random"] = "grid"
    """grid tries every combination of the lists; random draws num_settings of them."""
    num_settings: int | None = None
    """Settings that random search draws; required there."""
    num_seeds: int = 1
    """Trials of each setting, with train.seed counted up; two or more can tell a difference from noise."""
    metric: SweepMetric = "validation_loss"
    """What the winner is picked by; all but validation_loss evaluate every trial on the same questions."""
    stratum: Stratum = "held_out"
    """Questions that the metric is taken from: documents never trained on, trained on, user or general questions."""
    scheduler: Literal["none", "asha"] = "none"
    """asha stops trials whose validation loss falls behind (arXiv 1810.05934); none trains all to the end."""
    grace_fraction: float = 0.25
    """Part of a trial that asha lets pass before it may stop it."""
    reduction_factor: int = 2
    """Of the trials that reach a rung of asha, the best 1 / reduction_factor go on to the next."""
    max_concurrent: int | None = None
    """Trials at once on GPUs; null: as many as the cluster's GPUs hold. On CPUs each trial takes all cores in turn."""


@dataclass(frozen=True)
class BenchConfig:
    """What `ray-ft bench` measures: speed, memory and quality by how weights are held and where the adapter is."""

    quantizations: tuple[Literal["none", "int8", "nf4", "fp8"], ...] = ("none", "int8", "nf4")
    """How the base's weights are held, as engine.quantization; none is the engine's dtype. fp8 is vLLM's alone."""
    forms: tuple[Literal["base", "adapter", "merged"], ...] = ("base", "adapter", "merged")
    """The base by itself, the adapter beside it, and the adapter folded into it: a whole model."""
    prompt_tokens: int = 128
    """Tokens of the prompts that are timed, each of them another text."""
    new_tokens: int = 32
    """Tokens of their answers, all of which are generated, whatever they say."""
    batch_size: int = 8
    """Answers made together, beside those made one by one."""
    repeats: int = 6
    """Timed answers, or batches of them, after one that is not; fewer than 6 give no 95% interval of a median."""
    num_questions: int = 40
    """Questions of the run's exam that every variant answers, at most; 0 measures no quality."""
