"""Decides after an evaluation whether training no longer gets better; pure, so that a resumed run decides alike."""

from collections.abc import Sequence

from ray_ft.config import TrainConfig


def early_stop(train: TrainConfig, losses: Sequence[float]) -> str | None:
    """Why to stop after these evaluations, as the configuration asks; None: go on."""
    return stop_reason(losses, patience=train.early_stopping_patience, min_delta=train.early_stopping_min_delta)


def stop_reason(losses: Sequence[float], *, patience: int | None, min_delta: float) -> str | None:
    """Why to stop after the last of these validation losses, in the order of their evaluations; None: go on.

    An evaluation is better when it is more than `min_delta` below the best before it. The rule is Keras's
    EarlyStopping: small improvements that never add up to `min_delta` below the best do not count.
    """
    if patience is None or not losses:
        return None
    best, without = losses[0], 0
    for loss in losses[1:]:
        if loss < best - min_delta:
            best, without = loss, 0
        else:
            without += 1
    if without < patience:
        return None
    by = f" by more than {min_delta:g}" if min_delta else ""
    times = "1 evaluation" if without == 1 else f"{without} evaluations"
    return f"stopped early: {times} did not lower the validation loss of {best:.4f}{by}"
