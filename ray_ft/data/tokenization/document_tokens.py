"""The tokens of a whole document, made once: passages and examples take theirs from it, and only edges are made anew.

A vocabulary has, as a rule, no token that reaches from a letter or mark over the space behind it, so a text falls apart
in front of such a space: the tokens of both sides, put together, are those of the whole. Where that does not hold for a
tokenizer, everything is tokenised as it stands.
"""

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ray_ft.data.tokenization.ascii_words import JOINT, Words, ids_of, last_joint

JOINT_IN_TOKEN = re.compile(r"[^\sĠĊĉč▁][ Ġ▁]")  # a space is written as Ġ or ▁, other white space as Ċ, ĉ, č
STRETCH, LONGEST = 2_000, 40_000  # characters that are tokenised at once, and at most where nothing falls apart
SHORT = 200  # characters; cutting a shorter text would cost more than its tokens
PROBES = (
    'The ferry leaves at 9.\n\n  - Gate B,  12 m "wide" (see p. 3)\n',
    "def board(self, crew: int = 3) -> bool:\n\treturn self.ramp != 0x1F  # don't; can't be 100%\n",
    "Größe 12 m ≥ 3 🚢 東京 の 港 а б в e\u0301 x\u00a0 y ﬁ z\r\n",
)


class Verbatim(NamedTuple):
    """Where an example's text stands in its document, word for word."""

    tokens: "DocumentTokens"
    start: int
    end: int

    def ids(self, *, before: str, after: str, is_content: bool = False) -> list[int]:
        """Ids of `before`, the text and `after` as one text, as `DocumentTokens.ids` has them."""
        return self.tokens.ids(self.start, self.end, before=before, after=after, is_content=is_content)

    def ids_behind(self, prompt: str, *, opening: str, after: str) -> tuple[list[int], list[int]]:
        """Ids of a prompt, and of the prompt, `opening`, the text and `after` as one text.

        What is the same in both is tokenised once.
        """
        joint = self.tokens.last_joint(prompt)
        head, rest = self.tokens.ids_of([prompt[:joint], prompt[joint:]])
        return head + rest, head + self.ids(before=prompt[joint:] + opening, after=after)


class _Cut(NamedTuple):
    """text[start:end], whose tokens are first <= i < last of the document."""

    start: int
    end: int
    first: int
    last: int


@dataclass(frozen=True)
class Splicer:
    """A tokenizer's Rust part, for content and for text with special tokens, and how its tokens may be put together."""

    content: Any
    special: Any

    @cached_property
    def is_exact(self) -> bool:
        """Whether texts fall apart at joints: no token may hold one, and the probes have to."""
        added = self.content.get_added_tokens_decoder()
        if any(_reaches_over(token) for token in added.values() if not token.special):
            return False
        letters = {number for number, token in added.items() if token.special}
        vocabulary = self.content.get_vocab(with_added_tokens=True)
        if any(JOINT_IN_TOKEN.search(token) for token, number in vocabulary.items() if number not in letters):
            return False
        return all(
            ids_of(self.content, [text]) == [a + b]
            for text in PROBES
            for joint in JOINT.finditer(text)
            for a, b in [ids_of(self.content, [text[: joint.start() + 1], text[joint.start() + 1 :]])]
        )

    @cached_property
    def is_exact_around_specials(self) -> bool:
        """Whether texts with special tokens fall apart at joints, too."""
        return self.is_exact and not any(map(_reaches_over, self.content.get_added_tokens_decoder().values()))

    @cached_property
    def is_plain_at_start(self) -> bool:
        """Whether the first word of a text is tokenised as the first one of a line; some put a mark before it."""
        lines = [line for text in PROBES for line in text.splitlines() if line.strip() and not line[0].isspace()]
        alone, below = (ids_of(self.content, [mark + line for line in lines]) for mark in ("", "\n"))
        return all(b[len(b) - len(a) :] == a for a, b in zip(alone, below, strict=True))

    @cached_property
    def words(self) -> Words | None:
        """The words that the content's tokenizer cuts a text into, where these are known."""
        return Words.of(self.content)

    @property
    def looks_for_words(self) -> bool:
        """Whether a word that the vocabulary holds is taken whole, however merges would make it."""
        return bool(getattr(self.content.model, "ignore_merges", False))

    @cached_property
    def num_bytes(self) -> npt.NDArray[np.int64] | None:
        """Bytes that each token stands for, where the vocabulary is one of bytes; None for others."""
        from tokenizers.pre_tokenizers import ByteLevel

        vocabulary, alphabet = self.content.get_vocab(with_added_tokens=False), set(ByteLevel.alphabet())
        added = self.content.get_added_tokens_decoder()
        sizes = np.zeros(1 + max([*vocabulary.values(), *added]), dtype=np.int64)
        for token, number in vocabulary.items():
            if number not in added and not alphabet.issuperset(token):
                return None
            sizes[number] = len(token)
        for number, token in added.items():
            sizes[number] = len(token.content.encode())
        return sizes


class DocumentTokens:
    """Ids of a text's tokens and where each begins; the text counts as content, in which special tokens are letters."""

    def __init__(self, text: str, splicer: Splicer) -> None:
        self.text = text
        self._splicer = splicer
        stretches = list(_stretches(text))
        # At a seam without a joint, tokens may be others than those of the whole.
        self._is_exact = splicer.is_exact and all(is_joint for _, _, is_joint in stretches)
        self._ids, self._starts = array("i"), array("i")
        for start, end, _ in stretches:
            ids, starts = self._tokenised(text[start:end])
            self._ids.frombytes(ids.tobytes())
            self._starts.frombytes((starts + start).astype(np.int32).tobytes())

    @property
    def starts(self) -> Sequence[int]:
        """Where each token begins, in characters, in order."""
        return self._starts

    def about(self, start: int, end: int) -> int:
        """Tokens that text[start:end] has where it stands; by itself it may have others at its edges."""
        return bisect_left(self._starts, end) - bisect_left(self._starts, start)

    def count(self, start: int, end: int) -> int:
        """Tokens of text[start:end] by itself."""
        cut = self._cut(start, end)
        if cut is None:
            return self._number([self.text[start:end]])
        edges = [text for text in (self.text[start : cut.start], self.text[cut.end : end]) if text]
        return cut.last - cut.first + self._number(edges)

    def _number(self, texts: Sequence[str]) -> int:
        """Tokens of texts, each by itself, together; those of short ones by their words, which are known mostly."""
        number, asked, words = 0, [], self._splicer.words
        for text in texts:
            is_short = words is not None and len(text) <= 2 * STRETCH
            known = words.ids(text, falls_apart=self._is_exact) if words is not None and is_short else None
            if known is None:
                asked.append(text)
            else:
                number += len(known)
        return number + num_ids(self._splicer.content, asked) if asked else number

    def ids(self, start: int, end: int, *, before: str = "", after: str = "", is_content: bool = False) -> list[int]:
        """Ids of `before`, text[start:end] and `after` as one text.

        Special tokens in the two are what they are unless `is_content`; the text itself must hold none then.
        """
        backend = self._splicer.content if is_content else self._splicer.special
        cut = self._cut(start, end, is_open=bool(before), goes_on=bool(after))
        if cut is None:
            return ids_of(backend, [before + self.text[start:end] + after])[0]
        edges = [before + self.text[start : cut.start], self.text[cut.end : end] + after]
        left, right = ids_of(backend, edges) if any(edges) else ([], [])
        return left + self._ids[cut.first : cut.last].tolist() + right

    def ids_of(self, texts: list[str]) -> list[list[int]]:
        """Ids of texts with special tokens, each by itself."""
        return ids_of(self._splicer.special, texts)

    def last_joint(self, text: str) -> int:
        """Where a text with special tokens falls apart last; 0 where it does not."""
        return last_joint(text, 0, len(text)) if self._splicer.is_exact_around_specials else 0

    def find(self, words: str, start: int, end: int) -> Verbatim | None:
        """Where words stand in text[start:end]; None where they do not, or where knowing it saves nothing."""
        if len(words) < SHORT or not self._is_exact:
            return None
        place = self.text.find(words, start, end)
        return Verbatim(self, place, place + len(words)) if place >= 0 else None

    def _cut(self, start: int, end: int, *, is_open: bool = False, goes_on: bool = False) -> "_Cut | None":
        """The longest part of a span whose tokens are those of the document; None where looking for it is not worth it.

        `is_open` and `goes_on` say that something else stands before the span, or behind it.
        """
        if not self._is_exact:
            return None
        head = start if not is_open and self._starts_apart(start) else -1
        tail = end if not goes_on and self._ends_apart(end) else -1
        if end - start < SHORT and (head < 0 or tail < 0):
            return None
        if head < 0:
            found = JOINT.search(self.text, start, end)
            head = found.start() + 1 if found is not None else end
        if tail < 0:
            tail = last_joint(self.text, head, end)
        if tail <= head:
            return None
        first, last = bisect_left(self._starts, head), bisect_left(self._starts, tail)
        return _Cut(head, tail, first, last) if self._begins(first, head) and self._begins(last, tail) else None

    def _starts_apart(self, start: int) -> bool:
        """Whether tokens from here on do not depend on what stands before: a token begins here, and so does a line."""
        if start > 0 and (self.text[start - 1] != "\n" or not self._splicer.is_plain_at_start):
            return False
        return self._begins(bisect_left(self._starts, start), start)

    def _ends_apart(self, end: int) -> bool:
        """Whether tokens up to here do not depend on what follows.

        Where a token ends here before white space, no merge of BPE reached over, so that all others were the same. A
        tokenizer that looks for whole words before it merges has them end at white space if they end in letters.
        """
        if end == len(self.text):
            return True
        last = self.text[end - 1]
        if not self.text[end].isspace() or last.isspace() or (self._splicer.looks_for_words and not last.isalnum()):
            return False
        return self._begins(bisect_left(self._starts, end), end)

    def _begins(self, number: int, place: int) -> bool:
        """Whether the token of a number begins at a place; behind the last one there is the text's end."""
        return self._starts[number] == place if number < len(self._starts) else place == len(self.text)

    def _tokenised(self, text: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Ids, and the characters at which the tokens begin."""
        sizes = self._splicer.num_bytes
        if sizes is not None:  # twice as fast as asking the tokenizer for its offsets
            words = self._splicer.words
            known = words.ids(text, falls_apart=self._splicer.is_exact) if words is not None else None
            ids = np.array(ids_of(self._splicer.content, [text])[0] if known is None else known, dtype=np.int32)
            ends = np.cumsum(sizes[ids])
            data = text.encode("utf-8", "replace")
            if len(ids) and ends[-1] == len(data):  # else it drops, changes or adds characters
                return ids, _characters(data, len(text), ends - sizes[ids])
        encoding = self._splicer.content.encode(text, add_special_tokens=False)
        starts = np.array([first for first, _ in encoding.offsets], dtype=np.int64)
        return np.array(encoding.ids, dtype=np.int32), starts


def _reaches_over(token: Any) -> bool:
    """Whether a token of its own holds a joint, takes the space behind it along or depends on what follows it."""
    return bool(token.rstrip or token.single_word or JOINT.search(token.content))


def num_ids(backend: Any, texts: list[str]) -> int:
    """Tokens of texts, each by itself, together."""
    return sum(map(len, backend.encode_batch_fast(texts, add_special_tokens=False)))


def _characters(data: bytes, num_characters: int, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The characters of a text in which its bytes at some places stand; bytes that continue one begin with bits 10."""
    if len(data) == num_characters:
        return places
    begins = (np.frombuffer(data, dtype=np.uint8) & 0xC0) != 0x80
    return np.asarray((np.cumsum(begins) - 1)[places], dtype=np.int64)


def _stretches(text: str) -> Iterator[tuple[int, int, bool]]:
    """Spans that a text is tokenised in, and whether each ends at a joint or the text's end: no long text at once."""
    start = 0
    while start < len(text):
        end, is_joint = len(text), True
        if end - start > 2 * STRETCH:
            found = JOINT.search(text, start + STRETCH, start + LONGEST)
            is_joint = found is not None or end - start <= LONGEST
            end = found.start() + 1 if found is not None else min(end, start + LONGEST)
        yield start, end, is_joint
        start = end
