"""What an example is once it is tokenised, ids and labels that say which of them the loss sees; and what makes it."""

from dataclasses import dataclass
from typing import Any, Protocol

from ray_ft.models.chat_text import ControlTokens

IGNORED = -100  # label of a position that the loss does not see


@dataclass(frozen=True)
class Encoded:
    """Token ids of one example and its unshifted labels: the same id where the loss sees it, else IGNORED."""

    input_ids: list[int]
    labels: list[int]
    is_truncated: bool = False  # its answer is cut, and has no end of turn
    is_shortened: bool = False  # a conversation that lost its last turns


class TurnEncoder(Protocol):
    """What conversations are encoded with: a tokenizer and its chat template, as `chat.ChatEncoder` is."""

    tokenizer: Any
    system_prompt: str | None
    max_seq_len: int
    control: ControlTokens
    eos: list[int]

    def ids(self, text: str, *, is_content: bool = False) -> list[int]:
        """Ids of a piece of text; in content, special tokens that stand written out are letters."""
        ...
