"""Tokenises ASCII text word by word, and each word once: a text has few different ones.

Tokenizers of the GPT family cut a text into words by a pattern before anything else, and make tokens of each word by
itself. Python's own patterns find the same words where no other characters than ASCII are; that takes a third of the
tokenizer's time or less. What a word's tokens are, only the tokenizer says, and the first texts are compared with it.
Where a text falls apart at spaces, what holds other characters between two of them is taken as one word.
"""

import json
import re
from array import array
from typing import Any

GPT_2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
ASCII_CLASSES = {"L": "A-Za-z", "Lu": "A-Z", "Ll": "a-z", "Lt": "", "Lm": "", "Lo": "", "M": "", "N": "0-9"}
CLASS = re.compile(r"\\p\{(\w+)\}")
BEYOND = {f"\\{letter}" for letter in "pPXhHRKGAZz"}  # what Python's patterns know not, or otherwise
MAX_WORDS = 1 << 17  # that are remembered
MAX_CHARACTERS = 100  # of a word; longer ones, such as keys, hardly come again
NUM_COMPARED = 8  # texts at the beginning that are tokenised both ways
JOINT = re.compile(r"\S ")  # a text falls apart between the two
OTHER = re.compile(r"[^\x00-\x7f]+")


class Words:
    """The words of one tokenizer; `ids` gives None for texts that the tokenizer itself has to take."""

    def __init__(self, backend: Any, pattern: re.Pattern[str]) -> None:
        self._backend = backend
        self._pattern = pattern
        self._known: dict[str, array[int]] = {}
        self._num_compared = {True: 0, False: 0}  # of ASCII, and with other characters
        self._is_trusted = {True: True, False: True}
        others = [t.content for t in backend.get_added_tokens_decoder().values() if not t.special and t.content]
        self._others = re.compile("|".join(map(re.escape, others))) if others else None

    @staticmethod
    def of(backend: Any) -> "Words | None":
        """The words of a tokenizer that takes special tokens for text; None where it has other rules."""
        rule = _rule(backend)
        if rule is None or (pattern := ascii_pattern(rule)) is None:
            return None
        return Words(backend, pattern)

    def ids(self, text: str, *, falls_apart: bool = False) -> "array[int] | None":
        """Ids of a text's tokens; `falls_apart` says that this tokenizer's are the same on both sides of a joint."""
        is_ascii = text.isascii()
        if not self._is_trusted[True] or not (is_ascii or (falls_apart and self._is_trusted[False])):
            return None
        if self._others is not None and self._others.search(text):
            return None
        if len(self._known) > MAX_WORDS:
            self._known.clear()
        words = self._pattern.findall(text) if is_ascii else self._parted(text)
        if "".join(words) != text or not self._learn(set(words).difference(self._known)):
            return None
        made = array("i", b"".join([self._known[word] for word in words]))
        if self._num_compared[is_ascii] < NUM_COMPARED:
            self._num_compared[is_ascii] += 1
            self._is_trusted[is_ascii] = ids_of(self._backend, [text])[0] == made.tolist()
        return made if self._is_trusted[is_ascii] else None

    def _parted(self, text: str) -> list[str]:
        """The words of a text, and what is between two joints where other characters than ASCII are; [] if long."""
        words: list[str] = []
        done = 0
        for found in OTHER.finditer(text):
            if found.start() < done:
                continue
            start = last_joint(text, done, found.start())
            joint = JOINT.search(text, found.end() - 1)
            end = joint.start() + 1 if joint is not None else len(text)
            if end - start > MAX_CHARACTERS:
                return []
            words += self._pattern.findall(text[done:start])
            words.append(text[start:end])
            done = end
        return words + self._pattern.findall(text[done:])

    def _learn(self, words: set[str]) -> bool:
        """Ask the tokenizer for words; False where one of them is long, or would be cut again by itself."""
        if any(len(word) > MAX_CHARACTERS for word in words):
            return False
        matches = map(self._pattern.match, filter(str.isascii, words))
        if any(found is None or found.end() < len(found.string) for found in matches):
            return False
        new = list(words)
        for word, ids in zip(new, ids_of(self._backend, new) if new else [], strict=True):
            self._known[word] = array("i", ids)
        return True


def ids_of(backend: Any, texts: list[str]) -> list[list[int]]:
    """Ids of texts, each by itself."""
    return [encoding.ids for encoding in backend.encode_batch_fast(texts, add_special_tokens=False)]


def last_joint(text: str, start: int, end: int) -> int:
    """The last joint behind `start`; `start` itself where there is none."""
    while (place := text.rfind(" ", start + 1, end)) > start:
        if not text[place - 1].isspace():
            return place
        end = place
    return start


def ascii_pattern(rule: str) -> "re.Pattern[str] | None":
    """The pattern that does to ASCII text what a rule of the tokenizers library does; None for rules beyond that."""
    parts: list[str] = []
    in_class = False
    position = 0
    while position < len(rule):
        found = CLASS.match(rule, position)
        if found:
            characters = ASCII_CLASSES.get(found.group(1))
            if characters is None or not (in_class or characters):
                return None
            parts.append(characters if in_class else f"[{characters}]")
            position = found.end()
            continue
        size = 2 if rule[position] == "\\" else 1
        piece = rule[position : position + size]
        if piece in BEYOND or (in_class and piece in ("[", "&")) or (not in_class and piece in ("^", "$")):
            return None
        in_class = piece == "[" or (in_class and piece != "]")
        parts.append(piece)
        position += size
    try:
        pattern = re.compile("".join(parts), re.ASCII)
    except re.error:
        return None
    return pattern if pattern.groups == 0 else None


def _rule(backend: Any) -> str | None:
    """The pattern by which a tokenizer of bytes cuts words, and nothing else happens to ASCII before or after."""
    state = backend.normalizer.__getstate__() if backend.normalizer is not None else b'{"type": "NFC"}'
    if json.loads(state)["type"] not in ("NFC", "NFKC") or backend.pre_tokenizer is None:
        return None
    steps = json.loads(backend.pre_tokenizer.__getstate__())
    steps = steps["pretokenizers"] if steps["type"] == "Sequence" else [steps]
    last = steps[-1]
    if last["type"] != "ByteLevel" or last["add_prefix_space"]:
        return None
    if len(steps) == 1:
        return GPT_2 if last["use_regex"] else None
    first = steps[0]
    is_words = len(steps) == 2 and first["type"] == "Split" and first["behavior"] == "Isolated" and not first["invert"]
    return first["pattern"].get("Regex") if is_words and not last["use_regex"] else None
