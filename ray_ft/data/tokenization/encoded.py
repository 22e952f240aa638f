"""What an example is once it is tokenised: ids, and labels that say which of them the loss sees."""

from dataclasses import dataclass

IGNORED = -100  # label of a position that the loss does not see


@dataclass(frozen=True)
class Encoded:
    """Token ids of one example and its unshifted labels: the same id where the loss sees it, else IGNORED."""

    input_ids: list[int]
    labels: list[int]
    is_truncated: bool = False  # its answer is cut, and has no end of turn
    is_shortened: bool = False  # a conversation that lost its last turns
