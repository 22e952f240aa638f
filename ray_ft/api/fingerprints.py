"""What an artifact's fingerprint covers: two runs that agree in it make the same artifact.

What only changes how a run is carried out is left out, so that it can be changed without making anything again.
"""

from pathlib import Path
from typing import Any

from ray_ft import artifacts
from ray_ft.artifacts import TrainingSet, TunedModel
from ray_ft.config import Config, EvaluationConfig, to_identity
from ray_ft.data.generation.rehearsal import prompts_digest
from ray_ft.engines import PACE

LATER = (
    "judge", "preferences", "passage_tokens", "code_tests", "num_retention", "lm_eval_tasks", "lm_eval_path",
)  # fmt: skip
"""Keys of the evaluation section that reports were made without; where they say nothing, those reports stand."""


def data_inputs(config: Config) -> dict[str, Any]:
    """Of a training set, without the digests of what it is made from."""
    model = to_identity(config.model)
    # Where answers lie, what is kept and what parsers may take change how a set is made, not what of.
    runtime = {"answers_path", "keep_parsed", "storage_uri", "trust_times", "parse_seconds", "parse_memory_gib"}
    data = {k: v for k, v in to_identity(config.data).items() if k not in runtime}
    if not data["common"]:  # as before there was the key
        del data["common"]
    if data["rehearsal"] is None:
        del data["rehearsal"]
    else:  # the base's own answers: which engine gives them is not asked
        data["rehearsal"]["prompts"] = prompts_digest()
    if data["max_file_share"] == 1:
        del data["max_file_share"]
    if data["quality"] is None:
        del data["quality"]
    if data["common_lines"] == 0:
        del data["common_lines"]
    data["recipes"] = [_as_before(recipe) for recipe in data["recipes"]]
    return {"model": model, "data": data, "seed": config.seed}


def _as_before(recipe: Any) -> Any:
    """A recipe without the keys that came later and say nothing here."""
    if not isinstance(recipe, dict) or recipe.get("context") != 0:
        return recipe
    return {key: value for key, value in recipe.items() if not key.startswith("context")}


def train_inputs(config: Config, training_set: TrainingSet) -> dict[str, Any]:
    """Of a tuned model."""
    # Workers, micro-batches and logging change how a run is carried out, not what it computes.
    runtime = {
        "backend", "num_workers", "micro_batch_size", "gradient_checkpointing", "log_every", "checkpoint_every",
        "num_checkpoints_to_keep", "max_failures", "checkpoint_uri", "min_workers", "on_non_finite",
        "max_grad_norm_ratio", "max_skipped_steps", "hang_timeout_s", "trackers", "num_samples",
    }  # fmt: skip
    section = {k: v for k, v in to_identity(config.train).items() if k not in runtime}
    if section["precision"] == "auto":  # as before there was the key
        del section["precision"]
    if isinstance(section["strategy"], dict):
        section["strategy"] = {k: v for k, v in section["strategy"].items() if k not in ("zero_stage", "offload")}
    return {
        "model": to_identity(config.model),
        "train": section,
        "seed": config.seed,
        "training_set": training_set.fingerprint,
    }


def bench_inputs(config: Config, training_set: TrainingSet | None, tuned: TunedModel | None) -> dict[str, Any]:
    """Of a bench; how fast an engine is set to be is what it measures."""
    return {
        "bench": to_identity(config.bench),
        "engine": to_identity(config.engine),
        "model": to_identity(config.model),
        "questions": config.evaluation.questions,
        "questions_digest": _questions_digest(config),
        "max_new_tokens": config.evaluation.max_new_tokens,
        "seed": config.seed,
        "training_set": training_set and training_set.fingerprint,
        "tuned_model": tuned and tuned.fingerprint,
    }


def evaluation_inputs(config: Config, tuned: TunedModel) -> dict[str, Any]:
    """Of a report."""
    answers = config.engine.resolved({"tuned": tuned.path} if tuned.is_adapter else {})
    engine = {k: v for k, v in to_identity(answers).items() if k not in PACE}
    section, unsaid = to_identity(config.evaluation), to_identity(EvaluationConfig())
    section = {key: value for key, value in section.items() if key not in LATER or value != unsaid[key]}
    if "judge" in section:
        section["judge"] = {k: v for k, v in section["judge"].items() if k not in PACE}
    if config.evaluation.questions is not None:
        section["questions_digest"] = _questions_digest(config)
    return {"evaluation": section, "engine": engine, "seed": config.seed, "tuned_model": tuned.fingerprint}


def _questions_digest(config: Config) -> str | None:
    """Of the file of questions; None where none is named or there."""
    path = Path(config.evaluation.questions or "")
    return artifacts.digest(path.read_text(errors="replace")) if path.is_file() else None
