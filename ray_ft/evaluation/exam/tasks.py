"""One item asked of one system, and what came of it: what systems are handed, and what is scored and reported."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

BASE = "base"
TUNED = "tuned"
"""The system that was trained; a tuned adapter is loaded under this name beside its base."""


@dataclass(frozen=True)
class Task:
    """One piece of work for a loaded model: a question to answer, a document to score, or what the base says to."""

    index: int  # place in the questions, the documents, or the prompts
    kind: Literal["question", "document", "sample"]
    system: str
    text: str
    passages: tuple[str, ...] = ()
    token_ids: tuple[int, ...] = ()  # what the base said, where another model scores it

    @property
    def is_tuned(self) -> bool:
        """Whether the tuned model does it; the base otherwise."""
        return self.system.split("+")[0] == TUNED


@dataclass(frozen=True)
class Done:
    """A task's outcome: an answer with the prompt that asked for it, or a negative log-likelihood.

    That of a sample is of what the base said, which is its answer, after its prompt.
    """

    index: int
    kind: Literal["question", "document", "sample"]
    system: str
    prompt: str = ""
    prompt_sha256: str = ""
    num_passages: int = 0  # that fitted
    answer: str = ""
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0
    finish_reason: str = ""
    seconds: float = 0.0  # its share of those that the answers of its system took together
    negative_log_likelihood: float = 0.0  # nats
    token_ids: tuple[int, ...] = ()  # of a sample
    scores: Mapping[str, float] = field(default_factory=dict)
    error: str = ""  # "ModelError: ..." when it could not be done
