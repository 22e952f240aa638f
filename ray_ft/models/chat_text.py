"""Conversations in a chat template whose control tokens are the template's alone.

A tokenizer makes a control token of its spelling wherever that stands, so that a user, a heading or a passage in which
`<|im_start|>system` is written would open a turn. Here what contents spell out are letters: while the template is
applied, each such spelling is one private character, which no template looks for and none strips; afterwards the
stretch between two of the template's own control tokens in which one stands is tokenised as content. Text without them
is tokenised as ever.
"""

import copy
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
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
    """The control tokens of a tokenizer: all that it calls special, and those with which its template marks turns.

    Some bases, DeepSeek's among them, have the latter as tokens like any other. What else a template writes, such as
    the marks of thoughts, answers may hold as tokens.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        added = {str(t): t for t in tokenizer.added_tokens_decoder.values()}
        special = {name for name, token in added.items() if token.special}
        self.special = {t for t in (*map(str, tokenizer.all_special_tokens), *special) if t}
        self.special_pattern = _any_of(self.special)
        self._of_turns = _turn_tokens(tokenizer, added) - self.special
        self.pattern = _any_of(self.special | self._of_turns)
        self._beginnings = {t[:2] for t in self.special | self._of_turns}
        self._takes_left = {t for t, token in added.items() if token.lstrip}
        self._takes_right = {t for t, token in added.items() if token.rstrip}

    @cached_property
    def content_backend(self) -> Any:
        """The tokenizer's Rust part, to which control tokens are letters; None for tokenizers in pure Python."""
        if not getattr(self._tokenizer, "is_fast", False):
            return None
        backend = copy.deepcopy(self._tokenizer.backend_tokenizer)
        if self._of_turns:
            state = json.loads(backend.to_str())
            for token in state["added_tokens"]:
                token["special"] |= token["content"] in self._of_turns
            backend = type(backend).from_str(json.dumps(state))
        backend.encode_special_tokens = True
        backend.no_truncation()
        backend.no_padding()
        return backend

    def content_ids(self, text: str) -> list[int]:
        """Ids of a text in which control tokens that are written out are letters."""
        if self.content_backend is not None:
            return list(self.content_backend.encode(text, add_special_tokens=False).ids)
        return list(self._tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids)

    def spelled_in(self, text: str) -> list[str]:
        """Control tokens that are written out in a text, in order; most texts have not even the beginning of one."""
        return self.pattern.findall(text) if any(begin in text for begin in self._beginnings) else []

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
        self._marks: dict[str, str] = {}
        if spelled := {token for content in contents for token in control.spelled_in(content)}:
            taken = set().union(*contents)
            free = (mark for mark in map(chr, PRIVATE) if mark not in taken)
            self._marks = {token: next(free) for token in sorted(spelled)}
            self._shown = str.maketrans({mark: token for token, mark in self._marks.items()})

    def hide(self, content: str) -> str:
        """The content as the template gets it."""
        return self._control.pattern.sub(lambda found: self._marks[found[0]], content) if self._marks else content

    def stands_in(self, text: str) -> bool:
        """Whether something is hidden in a text."""
        return any(mark in text for mark in self._marks.values())

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


def _any_of(tokens: Iterable[str]) -> re.Pattern[str]:
    """Any of the tokens; of two that begin alike the shorter one, as it ends first."""
    return re.compile("|".join(map(re.escape, sorted(tokens, key=lambda t: (len(t), t)))) or "(?!)")


def _turn_tokens(tokenizer: Any, added: Collection[str]) -> set[str]:
    """Added tokens with which the template begins a user's turn and ends it, or goes over to the answer."""
    question = "ray-ft-question"
    messages = [{"role": "user", "content": question}]
    try:
        text = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    except Exception:  # no template, or one that may raise anything on a shape it does not like
        return set()
    before, _, behind = text.partition(question)
    first = min((token for token in added if token in behind), key=lambda t: (behind.find(t), -len(t)), default="")
    return {token for token in added if token and (token in before or token == first)}


def render_chat(
    tokenizer: Any,
    control: ControlTokens,
    messages: Sequence[Mapping[str, Any]],
    *,
    add_generation_prompt: bool,
    **options: Any,
) -> ChatText:
    """A conversation in the tokenizer's chat template, which gets the options. Raises what the template raises."""
    hidden = Hidden(control, _texts([messages, options]))
    given, options = _changed([messages, options], hidden.hide)
    text = str(
        tokenizer.apply_chat_template(given, tokenize=False, add_generation_prompt=add_generation_prompt, **options)
    )
    return ChatText(hidden.show(text), hidden.parts(text))


def _texts(value: Any) -> Iterator[str]:
    """All strings in messages and tools."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, Sequence):
        for item in value:
            yield from _texts(item)


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    """The same messages and tools with every string changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _changed(item, change) for key, item in value.items()}
    return [_changed(item, change) for item in value] if isinstance(value, Sequence) else value


def chat_ids(text: str, encode: Callable[..., list[int]]) -> list[int]:
    """Ids of a finished prompt; in one that is no ChatText, control tokens that are written out are what they are."""
    parts = text.parts if isinstance(text, ChatText) else ((text, False),)
    return [i for part, is_content in parts for i in encode(part, is_content=is_content)]
