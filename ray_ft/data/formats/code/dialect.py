"""Whether a header is C or C++, which its suffix .h does not say: by what stands in it and only C++ has."""

import re
from collections.abc import Iterator

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
GUARD = "__cplusplus"
CONDITION = re.compile(r"^[ \t]*+#[ \t]*+(if|el|endif)", re.MULTILINE)
NEGATED = re.compile(r"ifndef|![ \t]*+(?:defined)?[ \t]*+\(?[ \t]*+$")
LINKED_AS_C = re.compile(r'\s*+extern[ \t]++"C"[ \t\n]*+\{')
LOOKED_AT = 30_000  # characters of a header


def is_cpp(text: str) -> bool:
    """Whether a header holds C++; what it keeps for C++ compilers alone, as C headers do, is no sign of it.

    One whose names are linked as C's for them is written for C.
    """
    text = text[:LOOKED_AT]
    if GUARD in text:
        begin, kept = 0, []
        for start, end in guarded(text):
            if LINKED_AS_C.match(text, start):
                return False
            kept.append(text[begin:start])
            begin = end
        text = "".join((*kept, text[begin:]))
    code = COMMENT.sub(" ", text)
    return any(word in code and pattern.search(code) is not None for word, pattern in ANYWHERE) or any(
        code[code.rfind("\n", 0, match.start()) + 1 : match.start()].strip() in ("", "enum")
        for word, pattern in BEGINS_LINE
        if word in code
        for match in pattern.finditer(code)
    )


def guarded(text: str) -> Iterator[tuple[int, int]]:
    """What stands between `#ifdef __cplusplus` and its #else or #endif, as (start, end) of whole lines."""
    begin, place = 0, text.find(GUARD)
    while place >= 0:
        line = text.rfind("\n", begin, place) + 1
        opened = CONDITION.match(text, line)
        begin = text.find("\n", place) + 1 or len(text)
        if opened is not None and opened.group(1) == "if" and not NEGATED.search(text, line, place):
            end, depth = len(text), 1
            for match in CONDITION.finditer(text, begin):
                word = match.group(1)
                depth += (word == "if") - (word == "endif" or (word == "el" and depth == 1))
                if not depth:
                    end = match.start()
                    break
            yield begin, end
            begin = end
        place = text.find(GUARD, begin)
