"""Whether a header is C or C++, which its suffix .h does not say: by what stands in it and only C++ has."""

import re

COMMENT = re.compile(r"/\*[^*]*+(?:\*(?!/)[^*]*+)*+(?:\*/|\Z)|//[^\n]*+|\"[^\"\n]*+\"")
ONLY_CPP = re.compile(
    r"^[ \t]*+(?:template[ \t]*+<|namespace\b(?=[ \t\w:]*+\{|[ \t\w:]*+\n)|using[ \t]++(?:namespace\b|\w++[ \t]*+[=:])"
    r"|(?:enum[ \t]++)?class[ \t]++\w++(?:[ \t]++\w++)*+[ \t\n]*+(?:[;{]|:(?!:))"
    r"|(?:public|private|protected)[ \t]*+:|friend[ \t]|virtual[ \t]|explicit[ \t(]|constexpr[ \t]"
    r"|#[ \t]*+include[ \t]*+<(?:[a-z_]++|[\w/]++\.(?:hpp|hh|hxx))>)"
    r"|\w::[~\w]|\bconst[ \t]++\w++[ \t]?&|\boperator[ \t]*+(?:[=+*/<>!\[(&|%^~-]|new\b|delete\b|bool\b)"
    r"|\)[ \t]*+(?:const[ \t]*+)?+(?:noexcept|override|final)\b|\)[ \t]*+const[ \t]*+[;{]"
    r"|\b(?:static|dynamic|reinterpret|const)_cast[ \t]*+<|=[ \t]*+(?:delete|default)[ \t]*+;|\btypename[ \t]",
    re.MULTILINE,
)
"""Lines and words that no C file has, comments and strings apart."""
LOOKED_AT = 60_000  # characters of a header


def is_cpp(text: str) -> bool:
    """Whether a header holds C++; what it keeps for C++ compilers alone, as C headers do, is no sign of it."""
    text = text[:LOOKED_AT]
    if "__cplusplus" in text:
        text = _without_guarded(text)
    return ONLY_CPP.search(COMMENT.sub(" ", text)) is not None


def _without_guarded(text: str) -> str:
    """The text without what stands between `#ifdef __cplusplus` and its #else or #endif."""
    kept: list[str] = []
    depth = 0  # of conditions, from the guard on
    for line in text.split("\n"):
        plain = line.strip()
        word = plain[1:].lstrip() if plain.startswith("#") else ""
        if depth:
            depth += word.startswith("if")
            depth -= word.startswith("endif") or (depth == 1 and word.startswith(("else", "elif")))
        elif word.startswith("if") and "__cplusplus" in word and not word.startswith("ifndef"):
            depth = 1
        if not depth:
            kept.append(line)
    return "\n".join(kept)
