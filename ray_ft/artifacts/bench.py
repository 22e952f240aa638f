"""How fast a model answers, in how much memory and how well, by how its weights are held and where its adapter is."""

from dataclasses import dataclass, field

from ray_ft.artifacts.evaluation import Score

VERSION = 1
"""Of the artifact's JSON; higher where a key means something else than before."""


@dataclass(frozen=True)
class Timing:
    """Median of repeats in one process, with a 95% interval of the median from the repeats' order: no normality."""

    median: float
    low: float
    high: float
    values: tuple[float, ...]  # in the order in which they were measured


@dataclass(frozen=True)
class Speed:
    """So many answers at a time, all of the same lengths."""

    batch_size: int
    seconds_to_first: Timing  # from asking to the first token, mean over the batch; the prompt is read in them
    seconds_per_token: Timing  # of each answer, for the tokens after its first
    tokens_per_second: Timing  # output tokens of the whole batch, prompts' reading included
    dollars_per_million_tokens: float | None = None  # of output; None: no price is configured


@dataclass(frozen=True)
class Variant:
    """One way to hold the model, measured in a process of its own."""

    name: str  # such as "nf4 adapter"
    form: str  # base, adapter or merged
    engine: str = ""
    refused: str = ""  # why it was not measured, in one line; the rest is empty then
    load_seconds: float = 0.0  # once; of files that may be in the system's cache
    memory: dict[str, int] = field(default_factory=dict)  # bytes; `Bench.memory_meaning` says of what
    speeds: tuple[Speed, ...] = ()
    quality: Score | None = None  # of the exam's key facts
    num_answers: int = 0
    num_same: int = 0  # greedy answers that are those of `same_as`, letter by letter
    mean_common: float = 0.0  # share of an answer, from its beginning, that is the same
    same_as: str = ""
    seconds_per_answer: float = 0.0  # of the exam, which is asked all at once


@dataclass(frozen=True)
class Bench:
    """Variants of one model side by side, on one machine."""

    model: str
    device: str
    variants: tuple[Variant, ...]
    prompt_tokens: int
    new_tokens: int
    repeats: int
    num_questions: int
    memory_meaning: str
    fingerprint: str
    html_path: str = ""
    notes: tuple[str, ...] = ()  # what was left out and what the figures cannot tell, as sentences
    version: int = VERSION
