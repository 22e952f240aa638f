"""One item asked of one system, and what came of it: what systems are handed, and what is scored and reported."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

BASE = "base"
TUNED = "tuned"
"""The system that was trained; a tuned adapter is loaded under this name beside its base."""


Kind = Literal["question", "sample", "document", "said"]
"""A greedy answer, a drawn one, a document's likelihood, and that of what the base says to a prompt."""


@dataclass(frozen=True)
class Task:
    """One piece of work for a loaded model: a question to answer, greedily or by drawing, a document to score, or a
    prompt to which the base says something of its own."""

    index: int  # place in the questions, the documents, or the prompts
    kind: Kind
    system: str
    text: str
    passages: tuple[str, ...] = ()
    sample: int = 0  # of a question's programs that are drawn: 1, 2, ...
    temperature: float = 0.0
    token_ids: tuple[int, ...] = ()  # what the base said, where another model scores it

    @property
    def is_tuned(self) -> bool:
        """Whether the tuned model does it; the base otherwise."""
        return self.system.split("+")[0] == TUNED


@dataclass(frozen=True)
class Done:
    """A task's outcome: an answer with the prompt that asked for it, or a negative log-likelihood.

    That of a task that is said is of what the base said, which is its answer, after its prompt.
    """

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
    token_ids: tuple[int, ...] = ()  # of what the base said
    scores: Mapping[str, float] = field(default_factory=dict)
    invented: str = ""  # names that neither corpus, language nor prompt has, where the answer is code
    error: str = ""  # "ModelError: ..." when it could not be done
