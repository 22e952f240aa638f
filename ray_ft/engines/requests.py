"""What engines are asked and what they answer: values that stages, processes and engines hand to each other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ray_ft.rows import MAX_NEW_TOKENS

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class GenerateRequest:
    """One question to a loaded model. `prompt` is the finished text (chat template already applied), or its token ids.

    Special tokens that a text spells out are special tokens, except in contents of what `apply_chat_template` made.
    """

    prompt: str | tuple[int, ...]
    adapter: str | None = None  # None asks the base model
    max_new_tokens: int = 128
    temperature: float = 0.0  # 0 is greedy
    top_p: float = 1.0  # nucleus: the fewest tokens that reach this probability
    top_k: int = 0  # only so many of the likeliest tokens; 0: all
    min_p: float = 0.0  # only tokens at least this likely, as a share of the likeliest
    stop: tuple[str, ...] = ()
    seed: int = 0
    repetition_penalty: float = 1.0  # divides scores of tokens in prompt and answer (arXiv 1909.05858)
    presence_penalty: float = 0.0  # taken from scores of tokens that the answer has
    frequency_penalty: float = 0.0  # the same, as often as the answer has them
    logit_bias: tuple[tuple[int, float], ...] = ()  # token id and what is added to its score
    num_logprobs: int | None = None  # log-probabilities of each token and of so many of the likeliest; None: none
    schema: str = ""  # a JSON schema, as text, that the answer keeps to
    ignore_end: bool = False  # go on to max_new_tokens, past tokens that end an answer
    is_streamed: bool = True  # False: the answer is delivered in one piece
    tenant: str = ""  # requests of different tenants, and of different adapters, wait in lines of their own
    is_background: bool = False  # waits for all that are not


@dataclass(frozen=True)
class TokenLogprob:
    """A token, its log-probability (natural, before temperature and penalties), and the likeliest ones in its place.

    A prompt's first token has nan: nothing predicts it.
    """

    token_id: int
    token: str
    logprob: float
    top: tuple[tuple[int, str, float], ...] = ()  # id, text and log-probability, the likeliest first


@dataclass(frozen=True)
class TextDelta:
    """A piece of a streamed answer; the last one carries the finish reason and the counts."""

    text: str
    finish_reason: FinishReason | None = None
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0  # so far
    logprobs: tuple[TokenLogprob, ...] = ()  # of the tokens since the last piece
    token_ids: tuple[int, ...] = ()  # since the last piece
    num_cached_tokens: int = 0  # of the prompt: what of it the engine had read before


@dataclass(frozen=True)
class GenerateResult:
    """The answer to one request; `text` excludes the stop string and special tokens."""

    text: str
    num_prompt_tokens: int
    num_completion_tokens: int
    finish_reason: FinishReason
    logprobs: tuple[TokenLogprob, ...] = ()
    token_ids: tuple[int, ...] = ()  # those that are text, or were until the stop string


Deliver = Callable[[TextDelta | Exception], None]
"""Gets the pieces of an answer, or the error that ends it, in a thread of the engine's; must return at once."""


@dataclass(frozen=True)
class EngineStatus:
    """How much a loaded model has to do."""

    num_running: int = 0
    num_waiting: int = 0
    adapters: tuple[str, ...] = ()
    cached_tokens: int = 0  # whose keys and values are held
    cache_tokens: int = 0  # room for so many
    cache_bytes: int = 0  # of memory that is reserved for them; 0: not known


@dataclass(frozen=True)
class WriteRequest:
    """What recipes ask: one message of a user, and the JSON schema that the answer should keep to, as text.

    `system` is a message in front of it, as training has it; None sends none, and leaves that to the template.
    """

    prompt: str
    schema: str = ""
    max_new_tokens: int = MAX_NEW_TOKENS
    temperature: float = 0.0
    seed: int = 0
    system: str | None = None

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation that the answer ends."""
        asked = [{"role": "user", "content": self.prompt}]
        return asked if self.system is None else [{"role": "system", "content": self.system}, *asked]


@dataclass(frozen=True)
class Written:
    """The answer to one request; `error` says why an engine refused this one, while it answers others."""

    text: str
    error: str = ""
