"""Whether a header is C or C++, which its suffix .h does not say: by what stands in it and only C++ has."""

import re

COMMENT = re.compile(r"/\*[^*]*+(?:\*(?!/)[^*]*+)*+(?:\*/|\Z)|//[^\n]*+|\"[^\"\n]*+\"")
BEGINS_LINE = (
    ("template", re.compile(r"template[ \t]*+<")),
    ("namespace", re.compile(r"namespace\b(?=[ \t\w:]{0,120}[{\n])")),
    ("using", re.compile(r"using[ \t]++(?:namespace\b|\w++[ \t]*+[=:])")),
    ("class", re.compile(r"class[ \t]{1,9}\w{1,80}(?:[ \t]{1,9}\w{1,80}){0,6}[ \t\n]{0,80}(?:[;{]|:(?!:))")),
    ("public", re.compile(r"public[ \t]*+:")),
    ("private", re.compile(r"private[ \t]*+:")),
    ("protected", re.compile(r"protected[ \t]*+:")),
    ("friend", re.compile(r"friend[ \t]")),
    ("virtual", re.compile(r"virtual[ \t]")),
    ("explicit", re.compile(r"explicit[ \t(]")),
    ("constexpr", re.compile(r"constexpr[ \t]")),
)
ANYWHERE = (
    ("::", re.compile(r"::[~\w](?<=\w::.)")),
    ("&", re.compile(r"const[ \t]++\w++[ \t]?&")),
    ("operator", re.compile(r"operator[ \t]*+(?:[=+*/<>!\[(&|%^~-]|new\b|delete\b|bool\b)")),
    ("noexcept", re.compile(r"\)[ \t]*+(?:const[ \t]*+)?+noexcept\b")),
    ("override", re.compile(r"\)[ \t]*+(?:const[ \t]*+)?+override\b")),
    ("final", re.compile(r"\)[ \t]*+(?:const[ \t]*+)?+final\b")),
    (") const", re.compile(r"\)[ \t]*+const[ \t]*+[;{]")),
    ("_cast", re.compile(r"(?:static|dynamic|reinterpret|const)_cast[ \t]*+<")),
    ("default", re.compile(r"=[ \t]*+default[ \t]*+;")),
    ("delete", re.compile(r"=[ \t]*+delete[ \t]*+;")),
    ("typename", re.compile(r"typename[ \t]")),
    ("include", re.compile(r"include[ \t]*+<(?:[a-z_]++|[\w/]++\.(?:hpp|hh|hxx))>")),
)
"""What no C file has, comments and strings apart: a word, and how it stands there."""
LOOKED_AT = 60_000  # characters of a header


def is_cpp(text: str) -> bool:
    """Whether a header holds C++; what it keeps for C++ compilers alone, as C headers do, is no sign of it."""
    text = text[:LOOKED_AT]
    if "__cplusplus" in text:
        text = _without_guarded(text)
    code = COMMENT.sub(" ", text)
    if any(word in code and pattern.search(code) is not None for word, pattern in ANYWHERE):
        return True
    return any(
        code[code.rfind("\n", 0, match.start()) + 1 : match.start()].strip() in ("", "enum")
        for word, pattern in BEGINS_LINE
        if word in code
        for match in pattern.finditer(code)
    )


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
