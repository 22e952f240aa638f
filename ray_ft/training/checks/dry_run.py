"""What training would do with a plan and a training set, without doing it: nothing here needs a GPU, weights or Ray."""

from ray_ft.artifacts import DryRun, Plan, TrainingSet
from ray_ft.config import ModelConfig, TrainConfig
from ray_ft.errors import DataError
from ray_ft.models.shape import ModelShape
from ray_ft.training.batches import num_steps
from ray_ft.training.checks.gate import check_training_set
from ray_ft.training.checks.preview import show_examples
from ray_ft.training.schedules import num_warmup_steps


def rehearse(
    training_set: TrainingSet,
    plan: Plan,
    *,
    shape: ModelShape,
    model: ModelConfig,
    model_path: str,
    train: TrainConfig,
    seed: int,
) -> DryRun:
    """Count steps, tokens and what trains, check the packed rows and decode a few. Raises as the gate does."""
    num_rows = training_set.num_rows.get("train", 0)
    if num_rows == 0:
        raise DataError(f"{training_set.path} has no rows to train on; every document was skipped or held out")
    steps = num_steps(
        num_rows, global_batch_size=train.global_batch_size, num_epochs=train.num_epochs, max_steps=train.max_steps
    )
    epochs = steps * train.global_batch_size / num_rows
    return DryRun(
        plan=plan,
        training_set=training_set.path,
        num_steps=steps,
        num_warmup_steps=num_warmup_steps(steps, train),
        num_epochs=epochs,
        num_tokens=round(epochs * training_set.num_tokens["train"]),
        num_target_tokens=round(epochs * training_set.num_target_tokens["train"]),
        learning_rate=plan.strategy.default_learning_rate if train.learning_rate is None else train.learning_rate,
        num_parameters=shape.num_parameters,
        num_trained_parameters=plan.strategy.trainable_parameters(shape),
        gate=check_training_set(training_set, model_path=model_path, chat_template=model.chat_template),
        examples=show_examples(training_set, model_path=model_path, chat_template=model.chat_template, seed=seed),
    )
