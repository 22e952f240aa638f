"""One item asked of one system, and what came of it: what systems are handed, and what is scored and reported."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

TUNED = "tuned"
"""The system that was trained; a tuned adapter is loaded under this name beside its base."""


Kind = Literal["question", "document", "sample"]


@dataclass(frozen=True)
class Task:
    """One piece of work for a loaded model: a question to answer, greedily or by drawing, or a document to score."""

    index: int  # place in the questions, or in the documents
    kind: Kind
    system: str
    text: str
    passages: tuple[str, ...] = ()
    sample: int = 0  # of a question's programs that are drawn: 1, 2, ...
    temperature: float = 0.0

    @property
    def is_tuned(self) -> bool:
        """Whether the tuned model does it; the base otherwise."""
        return self.system.split("+")[0] == TUNED


@dataclass(frozen=True)
class Done:
    """A task's outcome: an answer with the prompt that asked for it, or a document's negative log-likelihood."""

    index: int
    kind: Kind
    system: str
    sample: int = 0
    prompt: str = ""
    prompt_sha256: str = ""
    num_passages: int = 0  # that fitted
    answer: str = ""
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0
    finish_reason: str = ""
    seconds: float = 0.0  # its share of those that the answers of its system took together
    negative_log_likelihood: float = 0.0  # nats
    scores: Mapping[str, float] = field(default_factory=dict)
    invented: str = ""  # names that neither corpus, language nor prompt has, where the answer is code
    error: str = ""  # "ModelError: ..." when it could not be done
