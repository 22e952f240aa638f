"""JSON as engines write it: with thoughts before it, a comma too many, line ends in texts, or cut at the limit.

What is right is read as JSON; the rest by a reader that forgives, in one pass. What is cut is left out, what is whole
before it is kept.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

_NAMES = "think|thinking|thought|thoughts|reasoning|reflection|analysis|scratchpad"
THOUGHT_BEGINS = re.compile(rf"<(?:{_NAMES})>|\[THINK\]", re.IGNORECASE)
THOUGHT_ENDS = re.compile(rf"</(?:{_NAMES})>|\[/THINK\]|<\|channel\|>final<\|message\|>", re.IGNORECASE)
LOOKS_LIKE = re.compile(r"""\{\s*(?:["'“}]|\w{1,40}\s*:)|\[\s*["'“\[{\]]""")
BRACKET = re.compile(r"[{\[]")
SPACE = re.compile(r"[\s,;]*")
BARE = re.compile(r"[^\s,:{}\[\]\"“”]+")
QUOTES = {'"': '"', "“": "”", "'": "'"}
GOES_ON = re.compile(r"""\s{0,40}(?:[}\]:]|,\s{0,40}(?:["'“{}\[\]]|\w{1,40}\s?:)|\Z)""")
BARE_QUOTE, QUOTE = re.compile(r'(?<!\\)"'), r"\""
ESCAPED_APOSTROPHE, APOSTROPHE = "\\'", "'"
CONSTANTS = {"true": True, "false": False, "null": None, "none": None}
MAX_VALUES, MAX_DEPTH = 200, 20


class _Cut(Exception):
    """The text ended inside of a value."""


def without_thoughts(text: str) -> str:
    """What an engine says when it has thought: without what stands between the marks of thoughts, closed or not."""
    kept: list[str] = []
    position = 0
    while True:
        begin, end = THOUGHT_BEGINS.search(text, position), THOUGHT_ENDS.search(text, position)
        if end is not None and (begin is None or end.start() < begin.start()):  # the prompt opened them
            kept, position = [], end.end()
        elif begin is None:
            return "".join([*kept, text[position:]])
        else:
            kept.append(text[position : begin.start()])
            if end is None:  # cut while it thought
                return "".join(kept)
            position = end.end()


def values_of(text: str, *, halves: bool = False) -> Iterator[Any]:
    """The values of a text, one behind the other, as far as they are whole; with `halves` also what was cut."""
    position = 0
    for _ in range(MAX_VALUES):
        match = BRACKET.search(text, position)
        if match is None:
            return
        start = match.start()
        try:
            value, position = json.JSONDecoder(strict=False).raw_decode(text, start)
        except RecursionError:  # thousands of brackets: nobody's answer
            return
        except json.JSONDecodeError:
            position = start + 1
            if not LOOKS_LIKE.match(text, start):
                continue
            reader = _Reader(text, start)
            value = reader.value(0)
            position = max(position, reader.position)
            if reader.is_cut and is_half(value) and not halves:
                continue
        yield value


def is_half(value: Any) -> bool:
    """Whether what was cut is half of a pair, and not what holds pairs or questions."""
    if not isinstance(value, dict):
        return False
    lists = [member for member in value.values() if isinstance(member, list)]
    holds_pairs = any(member and isinstance(member[0], dict) for member in lists)
    return not holds_pairs and (not lists or len(lists) < len(value))


class _Reader:
    """Reads one value; `position` is where it goes on."""

    def __init__(self, text: str, position: int) -> None:
        self.text, self.position = text, position
        self.is_cut = False

    def value(self, depth: int) -> Any:
        """The value that begins here. Raises _Cut for a text or a word that the end has cut."""
        sign = self.text[self.position]
        if sign == "{" and depth < MAX_DEPTH:
            return self._object(depth)
        if sign == "[" and depth < MAX_DEPTH:
            return self._array(depth)
        if sign in QUOTES:
            return self._text(QUOTES[sign])
        match = BARE.match(self.text, self.position)
        self.position = match.end() if match else self.position + 1
        return CONSTANTS.get(match.group().lower(), match.group()) if match else None

    def _array(self, depth: int) -> list[Any]:
        self.position += 1
        items: list[Any] = []
        while (sign := self._next()) not in ("]", ""):
            if sign == "}":  # the list was not closed, what holds it was
                return items
            try:
                item = self.value(depth + 1)
            except _Cut:
                break
            if self.is_cut and is_half(item):
                break
            items.append(item)
            if self.is_cut:
                break
        self._close(sign)
        return items

    def _object(self, depth: int) -> dict[str, Any]:
        self.position += 1
        members: dict[str, Any] = {}
        while (sign := self._next()) not in ("}", ""):
            if sign == "]":  # the object was not closed, what holds it was
                return members
            try:
                key = self.value(MAX_DEPTH)
                if self._next() != ":":
                    continue
                self.position += 1
                if self._next() in ("", "}", "]"):
                    continue
                members[str(key)] = self.value(depth + 1)
            except _Cut:
                break
            if self.is_cut:
                break
        self._close(sign)
        return members

    def _close(self, sign: str) -> None:
        if sign in ("]", "}") and not self.is_cut and self.position < len(self.text):
            self.position += 1
        else:
            self.is_cut = True

    def _next(self) -> str:
        """The next sign that is neither space nor comma; "" at the end."""
        found = SPACE.match(self.text, self.position)
        self.position = found.end() if found else self.position
        return self.text[self.position : self.position + 1]

    def _text(self, quote: str) -> str:
        """Up to a quotation mark behind which JSON goes on; others belong to the text."""
        self.position += 1
        start = position = self.position
        while True:
            position = self.text.find(quote, position)
            if position < 0:
                self.position, self.is_cut = len(self.text), True
                raise _Cut
            backslashes = len(self.text[start:position]) - len(self.text[start:position].rstrip("\\"))
            if backslashes % 2 == 0 and GOES_ON.match(self.text, position + 1):
                break
            position += 1
        self.position = position + 1
        return _unescaped(self.text[start:position])


def _unescaped(text: str) -> str:
    try:
        return str(json.loads(f'"{BARE_QUOTE.sub(QUOTE, text.replace(ESCAPED_APOSTROPHE, APOSTROPHE))}"', strict=False))
    except ValueError:
        return text
