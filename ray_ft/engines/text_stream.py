"""When the tokens of an answer become text: not before a character is whole, nor before it can be no stop string."""

from collections.abc import Callable, Sequence

REPLACEMENT = "�"
"""What a decoder returns for bytes that are no character, or not one yet."""


SECONDS_BETWEEN_PIECES = 0.03
"""Text of a streamed answer gathers for so long after its first token: making and passing on a piece costs time."""


class TextStream:
    """The text of one answer as its tokens arrive; the pieces join to what decoding all tokens at once would give."""

    def __init__(self, decode: Callable[[list[int]], str], stop: Sequence[str] = ()) -> None:
        self._decode = decode
        self._stop = tuple(s for s in stop if s)
        self._ids: list[int] = []
        self._window = 0  # ids from here give the decoder its context, so that joins and spaces come out right
        self._read = 0  # ids before this have left the decoder as text
        self._held = ""  # text that may yet become a stop string
        self.stopped = False

    @property
    def has_stops(self) -> bool:
        """Whether some string ends the text."""
        return bool(self._stop)

    def push(self, *token_ids: int) -> str:
        """Take the next tokens; returns the text that is now certain, possibly none.

        With stop strings tokens come one by one, or some are taken that follow the stop.
        """
        assert not self.stopped, "a stopped stream takes no more tokens"
        self._ids += token_ids
        return self._release(self._new_text(final=False))

    def finish(self) -> str:
        """The text still held back, once no token follows."""
        if self.stopped:
            return ""
        text = self._release(self._new_text(final=True))
        held, self._held = self._held, ""
        return text + ("" if self.stopped else held)

    def _new_text(self, *, final: bool) -> str:
        """Text since the last read; nothing while its last character is incomplete."""
        known = self._decode(self._ids[self._window : self._read])
        text = self._decode(self._ids[self._window :])
        if len(text) <= len(known) or (text.endswith(REPLACEMENT) and not final):
            return ""
        self._window, self._read = self._read, len(self._ids)
        return text[len(known) :]

    def _release(self, text: str) -> str:
        """Pass text on up to a stop string, or up to what could become one."""
        text = self._held + text
        found = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = max((overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`, the whole of `stop` excluded."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
