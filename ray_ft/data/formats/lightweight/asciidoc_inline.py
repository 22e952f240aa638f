"""AsciiDoc within a line: attributes, links, macros and quotes as the words that a reader sees."""

import re
from collections.abc import Mapping

CODE = re.compile(r"(`[^`+\n][^`\n]*+`)")
LINK = re.compile(r"(?:link:|mailto:)?(?:(?<=link:)|(?<=mailto:)|\bhttps?://)([^\s\[\]<>]++)\[([^\]]*+)\]")
XREF = re.compile(r"<<([^<>,]++)(?:,([^<>]++))?>>|xref:([^\s\[\]]{1,200}+)\[([^\]]*+)\]")
MACRO = re.compile(
    r" ?\b(kbd|btn|menu|footnote|footnoteref|pass|stem|latexmath|asciimath|image|icon|indexterm2?|anchor):"
    r"([^\s\[\]:]*+)\[([^\]]*+)\]"
)
PAGE = re.compile(r"\blink(?:git|man):([\w.-]{1,80})\[(\d?)\]")  # of a manual
ANCHOR = re.compile(r"\[\[[^\[\]]*+\]\]|\(\(\([^()]*+\)\)\)|\(\(([^()]*+)\)\)")
REFERENCE = re.compile(r"\\?\{([\w][\w-]*+)\}")
ROLE = re.compile(r"\[[\w.#%-]++\](?=[#*_`])")
QUOTED = re.compile(r"(?<![\w*_#`\\])(\*{1,2}|_{1,2}|#{1,2})(?=\S)([^*_#\n]++)(?<=\S)\1(?![\w*_#])")
PASS = re.compile(r"`\+([^`+\n]++)\+`|\+{3}([^+\n]++)\+{3}|(?<!\w)\+(?=\S)([^+\n]++)(?<=\S)\+(?!\w)")
CURVED = re.compile(r"([\"'])`([^`\n]++)`\1")
RAISED = re.compile(r"\^([^\s^]++)\^")
LOWERED = re.compile(r"(?<!~)~([^\s~]++)~(?!~)")
INTRINSIC = {
    "empty": "", "sp": " ", "nbsp": " ", "zwsp": "", "amp": "&", "lt": "<", "gt": ">", "apos": "'", "quot": '"',
    "plus": "+", "asterisk": "*", "backtick": "`", "caret": "^", "tilde": "~", "vbar": "|", "startsb": "[",
    "endsb": "]",
    "backslash": "\\", "two-colons": "::", "two-semicolons": ";;", "cpp": "C++", "ldquo": "“", "rdquo": "”",
    "lsquo": "‘", "rsquo": "’", "deg": "°", "pp": "++", "litdd": "--",
}  # fmt: skip


def shown(words: str, attributes: Mapping[str, str]) -> str:
    """What a reader sees of a line's markup; what stands between backticks stays as it is."""
    parts = CODE.split(words)
    return "".join(part if n % 2 else _inline(part, attributes) for n, part in enumerate(parts)).strip()


def _inline(words: str, attributes: Mapping[str, str]) -> str:
    if "{" in words:
        words = REFERENCE.sub(lambda m: attributes.get(m.group(1).lower(), m.group()), words)
    if "[" in words:
        words = PAGE.sub(lambda m: f"{m.group(1)}({m.group(2)})" if m.group(2) else m.group(1), words)
        words = MACRO.sub(_macro, words)
        words = LINK.sub(lambda m: m.group(2).split(",")[0].strip('^ "') or m.group(1), words)
    if "<<" in words or "xref:" in words:
        words = XREF.sub(lambda m: m.group(2) or m.group(4) or (m.group(1) or m.group(3)).lstrip("#"), words)
    if "[[" in words or "((" in words:
        words = ANCHOR.sub(lambda m: m.group(1) or "", words)
    if "`" in words:
        words = CURVED.sub(lambda m: f"“{m.group(2)}”" if m.group(1) == '"' else f"‘{m.group(2)}’", words)
    if "+" in words:
        words = PASS.sub(lambda m: f"`{m.group(1)}`" if m.group(1) else m.group(2) or m.group(3), words)
    if "*" in words or "_" in words or "#" in words:
        words = QUOTED.sub(r"\2", QUOTED.sub(r"\2", ROLE.sub("", words) if "[" in words else words))
    elif "`" in words and "[" in words:
        words = ROLE.sub("", words)
    if "^" in words:
        words = RAISED.sub(r"^\1", words)
    return LOWERED.sub(r"\1", words) if "~" in words else words


def _macro(match: re.Match[str]) -> str:
    """Keys joined by +, a menu's path by >, a footnote in brackets; pictures and anchors show nothing."""
    name, target, words = match.groups()
    space = " " if match.group().startswith(" ") else ""
    if name == "kbd" or name == "btn":
        return space + words
    if name == "menu":
        return space + " > ".join(part for part in (target, *words.split(" > ")) if part)
    if name.startswith("footnote"):
        return f" ({words})" if words else ""
    return space + words if name in ("pass", "stem", "latexmath", "asciimath", "indexterm2") else ""
