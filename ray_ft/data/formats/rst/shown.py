"""What a reader sees of reStructuredText, line for line: no targets, comments and pictures, directives in words.

Every line keeps its number, so that blocks are cut from what is shown by the lines of the source.
"""

import re

ROLE = re.compile(r":([a-zA-Z][\w:+.-]{0,60}):`(~|!)?([^`<]++)(?:<[^`>]*+>)?`")
LINK = re.compile(r"(?<!`)`([^`<]++)(?:<[^`>]++>)?`_{1,2}(?!\w)")
NOTE_MARK = re.compile(r" ?\[(?:#[\w-]{0,60}|\d{1,3}|\*)\]_(?!\w)")
LABEL = re.compile(r"^\.\. _([^:\n`]{1,80}):[ \t]*\n(?:[ \t]*\n|\.\. _.*\n){0,6}(?:[=\-~^\"'`#*+]{3,}[ \t]*\n)?(\S.*)\n"
                   r"([=\-~^\"'`#*+])\3{2,}[ \t]*$", re.MULTILINE)  # fmt: skip
NAVIGATION = {
    "toctree", "index", "contents", "include", "image", "figure", "raw", "meta", "highlight", "only", "container",
    "autosummary", "automodule", "autoclass", "autofunction", "currentmodule", "module", "py:module", "sectionauthor",
    "moduleauthor", "default-role", "role", "tabularcolumns", "sectnum", "target-notes", "replace", "unicode",
}  # fmt: skip
"""Directives that lead elsewhere or show nothing to read."""
CODE_DIRECTIVES = {"code", "code-block", "sourcecode", "parsed-literal", "literalinclude", "doctest", "testcode"}
ADMONITIONS = {
    "note", "warning", "tip", "important", "caution", "danger", "hint", "attention", "seealso", "error",
}  # fmt: skip
VERSIONS = {
    "versionadded": "New in version", "versionchanged": "Changed in version", "deprecated": "Deprecated since version",
}  # fmt: skip
MAX_BLANK = 4  # lines between a directive and the heading that it names
DIRECTIVE_LINE = re.compile(r"^([ \t]*)\.\. (?:\|[^|\n]+\| )?([\w:.-]+)::(?:[ \t]+(.*))?$")
TARGET_LINE = re.compile(r"^[ \t]*(?:\.\. _.*:.*|__ \S+)$")
OPTION = re.compile(r"^[ \t]+:([\w-]+):(?:[ \t]+(.*))?$")


def inline(text: str) -> str:
    """Roles and links as the words that a reader sees, and no marks of footnotes; lines keep their numbers."""
    titles = {label.lower(): title for label, title, _ in LABEL.findall(text)} if ":ref:" in text else {}

    def role(match: re.Match[str]) -> str:
        """`:class:`~a.b.C`` is shown as `C` in the documents that Sphinx renders, a label as its title."""
        words = match.group(3).strip()
        if match.group(1) == "ref" and words.lower() in titles:
            return _same_lines(match, titles[words.lower()])
        return _same_lines(match, f"``{words.rsplit('.', 1)[-1] if match.group(2) == '~' else words}``")

    text = LINK.sub(lambda m: _same_lines(m, m.group(1).rstrip()), ROLE.sub(role, text))
    return NOTE_MARK.sub("", text) if "]_" in text else text


def _same_lines(match: re.Match[str], shown: str) -> str:
    """What is shown with as many line ends as stand in the source: where it has spaces, or else in front of it."""
    missing = match.group().count("\n") - shown.count("\n")
    if missing <= 0:
        return shown
    indent = re.search(r"\n([ \t]*)", match.group())
    end = f"\n{indent.group(1)}" if indent else "\n"
    before, space, after = shown.rpartition(" ")
    first = f"{before}{end}{after}" if space else f"{end}{shown}"
    return "\n" * (missing - 1) + first


def visible(rows: list[str]) -> list[str]:
    """The lines as a reader sees them, in their number: directives in words, and blank where nothing is to be read."""
    shown = list(rows)
    i = 0
    while i < len(rows):
        row = rows[i]
        before = rows[i - 1].strip() if i else ""
        if row.lstrip()[:2] in ("..", "__") and (not before or before.startswith((".. ", "__ "))):
            i = _explicit(rows, shown, i)
            continue
        if row.endswith("::") and (i + 1 == len(rows) or not rows[i + 1].strip()):
            shown[i] = "" if row.strip() == "::" else row[:-1].replace(" :", "") if row.endswith(" ::") else row[:-1]
        i += 1
    return shown


def _explicit(rows: list[str], shown: list[str], i: int) -> int:
    """Show a directive, a target or a comment; the line behind what is done with."""
    row = rows[i]
    if TARGET_LINE.match(row):
        shown[i] = ""
        return i + 1
    match = DIRECTIVE_LINE.match(row)
    if match is None:
        is_comment = row.strip() == ".." or row.lstrip().startswith(".. ")
        return _blank(shown, i, _body_end(rows, i)) if is_comment else i + 1
    indent, name, words = match.group(1), match.group(2).lower(), (match.group(3) or "").strip()
    if name in NAVIGATION:
        return _blank(shown, i, _body_end(rows, i))
    end = i + 1
    caption = ""
    while end < len(rows) and (option := OPTION.match(rows[end])) is not None:
        caption = (option.group(2) or "").strip() if option.group(1) in ("caption", "name") and not caption else caption
        shown[end] = ""
        end += 1
    said = _said(name, words, caption)
    if _body_end(rows, i) == end and (said == _next_row(rows, end) or said.strip("`") == _next_row(rows, end)):
        said = ""  # a directive in front of a heading that says the same
    elif name in VERSIONS and said.endswith(":") and _body_end(rows, i) == end:
        said = f"{said[:-1]}."
    shown[i] = f"{indent}{said}" if said else ""
    return end


def _next_row(rows: list[str], i: int) -> str:
    """The next line that is not blank, from line i on, without its indentation."""
    return next((row.strip() for row in rows[i : i + MAX_BLANK] if row.strip()), "")


def _said(name: str, words: str, caption: str) -> str:
    """The line that stands for a directive."""
    if name in CODE_DIRECTIVES:
        return f"{caption}:" if caption else ""
    if name in ADMONITIONS:
        label = "See also" if name == "seealso" else name.capitalize()
        return f"{label}: {words}".rstrip()
    if name in VERSIONS:
        version, _, rest = words.partition(" ")
        return f"{VERSIONS[name]} {version}: {rest}".rstrip() if version else ""
    if name in ("admonition", "topic", "rubric"):
        return f"{words}:" if words else ""
    return f"``{words}``" if words and "`" not in words and "table" not in name else words


def _body_end(rows: list[str], i: int) -> int:
    """The line behind what is indented below line i."""
    depth = len(rows[i]) - len(rows[i].lstrip())
    end = last = i + 1
    while end < len(rows) and (not rows[end].strip() or len(rows[end]) - len(rows[end].lstrip()) > depth):
        end += 1
        if rows[end - 1].strip():
            last = end
    return last


def _blank(shown: list[str], first: int, last: int) -> int:
    shown[first:last] = [""] * (last - first)
    return last
