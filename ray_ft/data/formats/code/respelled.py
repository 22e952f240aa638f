"""Right code that a grammar cannot read, spelled so that it can, in as many bytes and lines: every place stays true.

Only files with errors are read again so, and what is kept of them is their own text.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


class Change(NamedTuple):
    """What is spelled in another way, and how; the words are as long as those that they stand for."""

    pattern: re.Pattern[bytes]
    spell: Callable[[re.Match[bytes]], bytes]


def respelled(data: bytes, package: str) -> bytes:
    """The text for the grammar of a package; its own where nothing is known to be wrong with that."""
    for change in CHANGES.get(package, ()):
        data = change.pattern.sub(change.spell, data)
    return data


def _one_line(match: re.Match[bytes]) -> bytes:
    """A body on one line, whose last statement has to end by a sign; braces of templates have none."""
    line = match.group()
    return line if b"${" in line else line.replace(b" }", b";}")


CHANGES: Mapping[str, Sequence[Change]] = {
    "tree_sitter_kotlin": (
        Change(  # a constructor's annotation on a line of its own, below its class
            re.compile(
                rb"^@[\w.]++(?:\([^()\n]*+\))?+(?=\s++(?:(?:public|internal|private|protected)\s++)?+constructor\b)",
                re.MULTILINE,
            ),
            lambda match: b" " * len(match.group()),
        ),
        Change(re.compile(rb"^[^\n{]*+\{[^\n]* \}[^\n]*+$", re.MULTILINE), _one_line),
        Change(re.compile(rb"\bdynamic\b"), lambda _: b"dynamiC"),  # a keyword where Kotlin becomes JavaScript
        Change(re.compile(rb"\[\](?=\))"), lambda _: b"11"),  # an annotation's empty list
        Change(re.compile(rb",(?=\s*+>)"), lambda _: b" "),
    ),
    "tree_sitter_swift": (  # conditions among the cases of a switch
        Change(re.compile(rb"(?<![^\n \t])#[ei](?=f |ls|nd)"), lambda _: b"//"),
    ),
}
"""By the package of a grammar."""
