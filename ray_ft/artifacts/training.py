"""What training hands over: a tuned model, and before that what it would do and what it found in the data."""

from dataclasses import dataclass

from ray_ft.artifacts.planning import Plan
from ray_ft.strategies import Strategy


@dataclass(frozen=True)
class Gate:
    """What was found before training: counts of what was looked at, all of it in order."""

    num_rows: int
    num_examples: int
    num_ends_of_turn: int  # trained tokens that end a turn
    packing_difference: float | None  # of an example's loss packed and alone, relative; None: not packed, or not tried
    seconds: float


@dataclass(frozen=True)
class Passage:
    """A stretch of an example, all of it trained or none."""

    text: str
    trained: bool


@dataclass(frozen=True)
class ShownExample:
    """One example of a packed row, decoded."""

    chunk_id: str  # chunk, or file and line
    row: int
    number: int  # its place in the row, from 1
    num_in_row: int
    num_tokens: int
    num_target_tokens: int
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class DryRun:
    """What training would do, without having done it."""

    plan: Plan
    training_set: str  # its folder
    num_steps: int
    num_warmup_steps: int
    num_epochs: float
    num_tokens: int  # that all steps see together, padding excluded
    num_target_tokens: int
    learning_rate: float  # at its peak
    num_parameters: int  # of the base
    num_trained_parameters: int
    gate: Gate
    examples: tuple[ShownExample, ...]


@dataclass(frozen=True)
class TunedModel:
    """What train made: an adapter beside its base, or a whole model."""

    base_model: str  # as the config names it
    base_path: str  # local folder of the base's weights
    base_digest: str
    path: str  # adapter folder, or model folder
    is_adapter: bool
    strategy: Strategy
    metrics: dict[str, float]
    steps: int
    fingerprint: str
