"""Conversations in a chat template whose control tokens are the template's alone.

A tokenizer makes a control token of its spelling wherever that stands, so that a user, a heading or a passage in which
`<|im_start|>system` is written would open a turn. Here what contents spell out are letters: while the template is
applied, each such spelling is one private character, which no template looks for and none strips; afterwards the
stretch between two of the template's own control tokens in which one stands is tokenised as content. Text without them
is tokenised as ever.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

PRIVATE = range(0xF0000, 0xFFFFE)  # Unicode's supplementary private use area A


class ChatText(str):
    """A finished prompt text, and its parts: each with whether control tokens in it are letters."""

    parts: tuple[tuple[str, bool], ...]

    def __new__(cls, text: str, parts: Sequence[tuple[str, bool]] = ()) -> "ChatText":
        made = super().__new__(cls, text)
        made.parts = tuple(parts) or ((text, False),)
        return made


class ControlTokens:
    """The control tokens of a tokenizer: all that it calls special."""

    def __init__(self, tokenizer: Any) -> None:
        added = {str(t): t for t in tokenizer.added_tokens_decoder.values() if t.special}
        self.spellings = {t for t in (*map(str, tokenizer.all_special_tokens), *added) if t}
        # Of two that begin alike the shorter one, as it ends first.
        self.pattern = re.compile("|".join(map(re.escape, sorted(self.spellings, key=lambda t: (len(t), t)))) or "(?!)")
        self._takes_left = {t for t, token in added.items() if token.lstrip}
        self._takes_right = {t for t, token in added.items() if token.rstrip}

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Where control tokens stand in a text, with the white space that some take along."""
        for found in self.pattern.finditer(text):
            start, end = found.span()
            if found[0] in self._takes_left:
                start = len(text[:start].rstrip())
            if found[0] in self._takes_right:
                end = len(text) - len(text[end:].lstrip())
            yield start, end


class Hidden:
    """The control tokens that some contents spell out, each hidden in one private character that is in none of them."""

    def __init__(self, control: ControlTokens, contents: Iterable[str]) -> None:
        contents = list(contents)
        self._control = control
        spelled = sorted({found for content in contents for found in control.pattern.findall(content)})
        taken = set().union(*contents) if spelled else set()
        free = (mark for mark in map(chr, PRIVATE) if mark not in taken)
        self._marks = {token: next(free) for token in spelled}
        self._marked = re.compile(f"[{''.join(self._marks.values())}]" if spelled else "(?!)")
        self._shown = str.maketrans({mark: token for token, mark in self._marks.items()})

    def hide(self, content: str) -> str:
        """The content as the template gets it."""
        return self._control.pattern.sub(lambda found: self._marks[found[0]], content) if self._marks else content

    def stands_in(self, text: str) -> bool:
        """Whether something is hidden in a text."""
        return self._marked.search(text) is not None

    def show(self, text: str) -> str:
        """A text with what was hidden."""
        return text.translate(self._shown) if self._marks else text

    def parts(self, text: str) -> list[tuple[str, bool]]:
        """A rendered text as it was, in parts, each with whether control tokens in it are letters."""
        if not self.stands_in(text):
            return [(text, False)]
        borders = [0, *(place for span in self._control.find(text) for place in span), len(text)]
        parts: list[tuple[str, bool]] = []
        template = ""
        for number, (start, end) in enumerate(pairwise(borders)):
            stretch = text[start:end]
            if number % 2 == 0 and self.stands_in(stretch):
                parts += [(template, False), (self.show(stretch), True)]
                template = ""
            else:
                template += stretch
        return [part for part in (*parts, (template, False)) if part[0]]

    def ids(self, text: str, encode: Callable[..., list[int]]) -> list[int]:
        """Ids of a rendered text; `encode(text, is_content=...)` makes those of a part."""
        return [i for part, is_content in self.parts(text) for i in encode(part, is_content=is_content)]


def render_chat(
    tokenizer: Any, control: ControlTokens, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool
) -> ChatText:
    """A conversation in the tokenizer's chat template. Raises what the template raises."""
    hidden = Hidden(control, (value for message in messages for value in message.values()))
    given = [{key: hidden.hide(value) for key, value in message.items()} for message in messages]
    text = str(tokenizer.apply_chat_template(given, tokenize=False, add_generation_prompt=add_generation_prompt))
    return ChatText(hidden.show(text), hidden.parts(text))


def chat_ids(text: str, encode: Callable[..., list[int]]) -> list[int]:
    """Ids of a finished prompt; in one that is no ChatText, control tokens that are written out are what they are."""
    parts = text.parts if isinstance(text, ChatText) else ((text, False),)
    return [i for part, is_content in parts for i in encode(part, is_content=is_content)]
