"""Fenced blocks in a text, as models and Markdown write code, and the language of one."""

import re
from dataclasses import dataclass

from ray_ft.grammars import language_named

_OPENS = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)")


@dataclass(frozen=True)
class Fenced:
    """A block between two fences, or after the last one: its lines, what the fence calls it, and what stands in it."""

    first: int
    last: int
    name: str
    body: str


def fenced_in(text: str) -> list[Fenced]:
    """The fenced blocks of a text; read line by line, since an expression for them takes quadratic time."""
    found, lines = list[Fenced](), text.split("\n")
    number = 0
    while number < len(lines):
        opened, first = _OPENS.match(lines[number]), number
        number += 1
        if opened is None or number == len(lines):
            continue
        while number < len(lines) and lines[number].strip(" \t") != opened.group(1):
            number += 1
        body = "\n".join(lines[first + 1 : number]) + ("\n" if number < len(lines) else "")
        found.append(Fenced(first, min(number, len(lines) - 1), opened.group(2), body))
        number += 1
    return found


def fenced_language(text: str) -> str:
    """The language of a text that is one fenced block and no more; "" otherwise."""
    stripped = text.strip()
    blocks = fenced_in(stripped)
    if len(blocks) != 1 or (blocks[0].first, blocks[0].last) != (0, stripped.count("\n")) or fenced_in(blocks[0].body):
        return ""
    return language_named(blocks[0].name)
