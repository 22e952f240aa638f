"""How models do: a tuned one beside its base and retrieval, and the settings of a sweep beside each other."""

from dataclasses import dataclass, field
from typing import Any, Literal

from ray_ft.rows import Question


@dataclass(frozen=True)
class Score:
    """One metric of one system: mean over questions (or documents) with a 95% interval over documents."""

    system: str
    metric: str
    mean: float
    low: float
    high: float
    num_items: int
    stratum: str = "all"
    num_documents: int = 0


@dataclass(frozen=True)
class Contrast:
    """A paired difference between two systems on the same items."""

    metric: str
    treatment: str
    control: str
    difference: float
    low: float
    high: float
    p_value: float
    num_items: int
    verdict: Literal["better", "worse", "no meaningful difference", "undecided"]
    stratum: str = "all"
    num_documents: int = 0
    primary: bool = False  # fixed in advance, and part of the family that `p_holm` adjusts
    p_holm: float | None = None  # None outside the family
    margin: float = 0.0  # differences within +-margin do not matter
    num_more: int | None = None  # for "undecided": about how many more items would decide
    p_equivalence: float | None = None  # of a difference beyond the margin, adjusted as p_holm is; None in old reports
    floor: float = 0.02  # two systems that score no more than this both fail
    withheld: str = ""  # why there is no verdict where the figures alone would give one


@dataclass(frozen=True)
class Cost:
    """What a system's answers took of one copy of the model, which makes as many together as it can."""

    system: str
    num_answers: int
    seconds_per_answer: float
    seconds_per_token: float  # of output
    prompt_tokens: float  # mean
    output_tokens: float  # mean
    dollars_per_thousand: float | None = None  # answers; None: no price is configured


@dataclass(frozen=True)
class Judged:
    """What a judge said of one pair of systems on a stratum, asked in both orders."""

    stratum: str
    treatment: str
    control: str
    num_items: int
    num_wins: int  # the treatment was preferred in both orders
    num_losses: int
    num_flips: int  # the two orders gave different verdicts: a tie
    num_decided: int  # wins and losses where one answer is longer
    num_longer: int  # and that one won


@dataclass(frozen=True)
class Report:
    """How the tuned model compares with its base and with retrieval."""

    model: str
    scores: tuple[Score, ...]
    contrasts: tuple[Contrast, ...]
    num_questions: int
    samples_path: str
    html_path: str
    fingerprint: str
    notes: tuple[str, ...] = ()  # warnings and limits, as sentences
    details: dict[str, str] = field(default_factory=dict)  # how it was made: digests, seeds, counts, versions
    baselines: tuple[Score, ...] = ()  # what answers score that know nothing: the question repeated, and silence
    costs: tuple[Cost, ...] = ()  # none in old reports
    judged: tuple[Judged, ...] = ()  # empty where no judge was asked, or none could be read
    remedy: str = ""  # the next step where the base's abilities were lost; "" where none were, and in old reports


@dataclass(frozen=True)
class Changed:
    """A question that one run answers better than the other."""

    question: str
    system: str
    before: str
    after: str
    gain: float  # in key-fact recall, B's less A's


@dataclass(frozen=True)
class Comparison:
    """B against A, system by system, over what both were asked. Systems are named `A tuned` and `B tuned`."""

    run_a: str
    run_b: str
    num_questions: int  # that both were asked
    num_only_a: int
    num_only_b: int
    scores: tuple[Score, ...]
    contrasts: tuple[Contrast, ...]
    wins: tuple[Changed, ...]  # the biggest first
    regressions: tuple[Changed, ...]
    differences: dict[str, tuple[str, str]]  # what was different about the two evaluations, beside the runs


@dataclass(frozen=True)
class ReviewItem:
    """A question with what one must see to judge it; `passage` is "" where none is known to answer it."""

    question: Question
    path: str
    passage: str = ""
    headings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Power:
    """What an exam can show on one stratum."""

    stratum: str
    num_questions: int
    num_documents: int
    smallest: dict[float, float | None]  # difference that is found, by the share of questions on which systems differ
    fewest_for_none: int | None  # documents without which no verdict says that nothing differs


@dataclass(frozen=True)
class Ruling:
    """What one rule says of a run."""

    rule: str  # gain, loss, against
    passed: bool
    said: str  # the figures that decided, as a sentence


@dataclass(frozen=True)
class Standing:
    """One setting of a sweep: its figure over its trials, and how that compares with the winner's."""

    setting: str
    parameters: dict[str, Any]
    verdict: Literal["winner", "worse", "within noise", "not known", "not finished"]
    value: float | None  # mean over the seeds that finished; None where none did
    spread: float | None = None  # standard deviation over seeds; None for one seed
    low: float | None = None  # 95% interval over documents; None for the validation loss
    high: float | None = None
    p_value: float | None = None  # of the difference to the winner, allowing for the winner having been picked
    num_seeds: int = 0  # trials that finished
    trials: tuple[str, ...] = ()  # their run folders
    reasons: tuple[str, ...] = ()  # why trials did not finish


@dataclass(frozen=True)
class Sweep:
    """Which setting of a sweep did best, and whether that is more than chance."""

    metric: str
    standings: tuple[Standing, ...]  # best first; those without a figure last
    statements: tuple[str, ...]  # what the figures say, in sentences
    winner: dict[str, Any]  # configuration keys of the winning setting, for an ordinary run
    path: str  # folder of the trials
    csv_path: str
    plot_path: str | None  # None where matplotlib is not installed
