"""A chat encoder that needs no tokenizer, for tests of what is done with tokens."""

from ray_ft.data.tokenization.document_tokens import Verbatim
from ray_ft.data.tokenization.encoded import Encoded
from ray_ft.rows import Example


class WordEncoder:
    """Stands in for the chat encoder: a token for each word."""

    pad_id = 0

    def __init__(self, max_seq_len: int = 256) -> None:
        self.max_seq_len = max_seq_len

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def encode(self, example: Example, *, ends: bool, place: Verbatim | None = None) -> list[Encoded] | str:
        ids = list(range(1, 2 + len(example.completion.split())))
        return [Encoded(ids, ids)] if len(ids) <= self.max_seq_len else "too long"
