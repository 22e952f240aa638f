"""Macros that stand where C++ has no word: before the name of a class, and behind the brackets of a function.

No grammar knows them, and takes the class for a function or the macro for its name. Blanks of the same length stand for
them while a file is parsed; its text stays as it is.
"""

import re

BEFORE_NAME = re.compile(
    rb"\b(?:class|struct|union)[ \t]{1,4}([A-Z][A-Z0-9_]{2,60}(?:\([^()\n]{0,200}\))?)"
    rb"(?=[ \t]{1,4}[A-Za-z_]\w{0,100}(?:::\w{1,100}){0,5}\s{0,80}(?:final\b\s{0,80})?[{:])"
)
BEHIND_BRACKETS = re.compile(
    rb"\)(?:[ \t]{1,4}(?:const|override|final|noexcept)\b){0,4}"
    rb"((?:\s{1,80}(?!(?:\w{0,60}_)?(?:TEST|BENCHMARK|INSTANTIATE|FIXTURE))[A-Z][A-Z0-9]{0,40}_[A-Z0-9_]{1,60}"
    rb"(?:\([^(){};]{0,200}\))?){1,4})(?=\s{0,80}\{)"
)


def without_macros(data: bytes) -> bytes:
    """The bytes of a C++ file with blanks for such macros; as many bytes, and as many lines."""
    for pattern in (BEFORE_NAME, BEHIND_BRACKETS):
        data = pattern.sub(_blanked, data)
    return data


def _blanked(found: re.Match[bytes]) -> bytes:
    start, end = (place - found.start() for place in found.span(1))
    words = found.group()
    return words[:start] + re.sub(rb"[^\n]", b" ", words[start:end]) + words[end:]
