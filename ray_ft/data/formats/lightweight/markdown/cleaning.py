"""What Markdown files hold beside Markdown, taken out within its lines, so that every line keeps its number.

HTML, images that are written out, and what a generator of sites fills in: shortcodes, imports of components.
"""

import re
from collections.abc import Iterator

from ray_ft.data.formats.content.raised import lowered, raised

TAG = re.compile(r"<!--(?:[^-<]++|-(?!->)|<(?!!--))*+-->|</?[A-Za-z][^<>]*+>")
HTML_HEADING = re.compile(r"<[hH]([1-6])\b[^<>]*+>|</[hH][1-6]\s*+>")
OPENED, CLOSED = "\ue000", "\ue001"  # stand for a heading's tags while the others go; for private use, so not text
KEPT = re.compile(f"{OPENED}[1-6]|{CLOSED}")
UNREAD_HTML = ("<script", "<style", "<textarea")
CELL = re.compile(r"</t[dh]>", re.IGNORECASE)
CODE = r"(?P<code>`[^`\n]*+`)|"
EMBEDDED = re.compile(
    CODE + r"(?P<image>!?)\[(?P<label>[^\[\]\n]*+)\]\(<?data:[^()\[\]\s]*+(?:[ \t]++\"[^\"()\[\]\n]*+\")?\)"
    r"|data:[\w/+.;=-]{0,80}base64,[A-Za-z0-9+/=%]++"
)
FILLED_IN = re.compile(
    CODE + r"\{\{[<%](?:[^{}\n]|(?<![>%}])\}|\{(?!\{))*+\}\}|\{%-?(?:[^{}%\n]++|%(?!\}))*+%\}|\{/\*[^{}\n]*+\*/\}"
)
INLINE = re.compile(
    CODE + r"<(?P<sign>su[pb])>(?P<raised>[^<>`\n]{1,20})</su[pb]>"
    r"|</?(?:a|img|br|span|font|center|details|summary|div|p|picture|source|b|i|em|strong|u|small|kbd|samp|sub|sup|mark)"
    r"(?=/?>|\s++(?:/|[\w:-]++[ \t]*+=))[^<>\n]*+>"
)
IMPORT = re.compile(r"(?:import|export)\b[^'\"\n]*+(?P<quote>['\"])[^'\"\n]*+(?P=quote);?[ \t]*+")
FENCE_OF_NOTE = re.compile(r"[ \t]*+:::++[ \t]*+(?:[\w-]*+[ \t]*+(?:\{[^{}\n]*+\})?)[ \t]*+")
IMPORTS = ("import", "export")
SIGNS = ("<", "{{", "{%", "{/*", "\nimport ", "\nexport ", ":::", "data:")


def needs_cleaning(text: str) -> bool:
    """Whether a text holds anything of it at all."""
    return any(sign in text for sign in SIGNS)


def clean_line(line: str) -> str:
    """A line of prose without what is no content; it stays as it is where nothing is found."""
    if "data:" in line:
        line = EMBEDDED.sub(lambda m: m["code"] or ("" if m["image"] else m["label"] or ""), line)
    if "{" in line:
        line = FILLED_IN.sub(lambda m: m["code"] or "", line)
    if "<" in line:
        line = INLINE.sub(_signs, line)
    if line.startswith(IMPORTS) and IMPORT.fullmatch(line):
        return ""
    if ":::" in line and FENCE_OF_NOTE.fullmatch(line):
        return ""
    return line


def clean_html(html: str) -> list[tuple[int, str]]:
    """Lines of a block of HTML as (level of a heading, or 0; text): as many as it has."""
    html = html.replace(OPENED, "").replace(CLOSED, "")  # signs of icons in some fonts
    lines = html.split("\n")
    if html.lstrip().lower().startswith(UNREAD_HTML):
        return [(0, "")] * len(lines)
    text = TAG.sub(_blank, CELL.sub(" | ", HTML_HEADING.sub(_marked, html)))
    found = [(0, _words(line)) for line in text.split("\n")]
    for start, end, level, title in _titles(text):
        inside = range(text.count("\n", 0, start), text.count("\n", 0, end) + 1)
        around = _words(text[text.rfind("\n", 0, start) + 1 : start]) + _words(text[end:].partition("\n")[0])
        if title and not around:  # else the line holds more than the heading
            for number in inside:
                found[number] = (0, "")
            found[inside[0]] = (level, title)
    return [(level, KEPT.sub("", line)) for level, line in found]


def _marked(found: "re.Match[str]") -> str:
    """The beginning of a heading, kept over the removal of tags, and all its line breaks."""
    breaks = "\n" * found.group(0).count("\n")
    return f"{OPENED}{found.group(1)}{breaks}" if found.group(1) else f"{CLOSED}{breaks}"


def _titles(text: str) -> Iterator[tuple[int, int, int, str]]:
    """Headings as (start, end, level, title)."""
    start = text.find(OPENED)
    while start >= 0:
        end = text.find(CLOSED, start)
        if end < 0:
            return
        inner = text[start + 2 : end]
        yield start, end + 1, int(text[start + 1]), _words(" ".join(inner.rpartition(OPENED)[2].split("\n")))
        start = text.find(OPENED, end)


def _blank(found: "re.Match[str]") -> str:
    return " " + "\n" * found.group(0).count("\n")


def _words(line: str) -> str:
    line = " ".join(clean_line(line).split()).strip("| ")
    return line if line.strip(".,;:|•· ") else ""


def _signs(found: "re.Match[str]") -> str:
    if found["code"]:
        return found["code"]
    if not found["sign"]:
        return " " if found.group(0).startswith("<br") else ""
    before = found.string[: found.start()]
    return raised(found["raised"], before) if found["sign"] == "sup" else lowered(found["raised"], before)
