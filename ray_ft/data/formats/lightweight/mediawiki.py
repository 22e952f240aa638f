"""MediaWiki's markup by mwparserfromhell: headings, lists, tables and code as light Markdown."""

import re
from collections.abc import Iterator
from typing import Any

from ray_ft.data.formats.assemble import Piece, assemble
from ray_ft.data.formats.base import Parsed

HEADING = re.compile(r"(={1,6})([^=\n].*)$")
ITEM = re.compile(r"([*#:;]++)[ \t]*+(.*)$")
HIDDEN_TAGS = frozenset({"ref", "references", "gallery", "math", "timeline", "imagemap", "templatestyles", "noinclude"})
CODE_TAGS = frozenset({"syntaxhighlight", "source", "pre"})
NOT_SHOWN = ("file:", "image:", "category:", "media:", "datei:", "bild:", "kategorie:", "fichier:", "catégorie:")
SWITCH = re.compile(r"__[A-Z]{2,30}__")
MARKS = re.compile(r"'{2,5}")
SHOWN_TEMPLATES = frozenset({"code", "tt", "kbd", "mono", "key", "nowrap", "lang", "note", "warning", "tip", "caution"})


def parse_mediawiki(text: str) -> Parsed:
    """Blocks of a page; templates show their unnamed values only where these are prose."""
    whole, blocks = assemble(wiki_pieces(text))
    return Parsed(whole, blocks)


def wiki_pieces(text: str, *, level: int = 0) -> Iterator[Piece]:
    """Pieces of a page's source; headings stand `level` deeper."""
    import mwparserfromhell

    code: list[Piece] = []
    source = _flat(mwparserfromhell.parse(text).nodes, code)
    lines = SWITCH.sub("", source).split("\n")
    rows: list[str] = []
    kind = ""

    def flush() -> Iterator[Piece]:
        nonlocal kind
        if rows and kind == "paragraph":
            yield Piece("paragraph", " ".join(rows))
        elif rows:
            yield Piece("list", "\n".join(rows))
        rows.clear()
        kind = ""

    for line in lines:
        words = line.strip()
        held = re.fullmatch(r"\x02(\d+)\x03", words)
        heading = HEADING.match(words) if words.endswith("=") else None
        item = ITEM.match(words)
        if held is not None:
            yield from flush()
            yield code[int(held.group(1))]
        elif heading is not None:
            yield from flush()
            yield Piece(
                "heading", heading.group(2).rstrip("=").strip(), min(6, max(1, len(heading.group(1)) - 1 + level))
            )
        elif item is not None and item.group(2):
            if kind != "list":
                yield from flush()
            kind = "list"
            rows.append("  " * (len(item.group(1)) - 1) + "- " + item.group(2))
        elif not words:
            yield from flush()
        else:
            if kind != "paragraph":
                yield from flush()
            kind = "paragraph"
            rows.append(words)
    yield from flush()


def _flat(nodes: Any, code: list[Piece]) -> str:
    """Source in which only line marks are left; tables and code are put aside, a mark standing for each."""
    return "".join(_shown(node, code) for node in nodes)


def _aside(piece: Piece, code: list[Piece]) -> str:
    code.append(piece)
    return f"\n\x02{len(code) - 1}\x03\n"


def _shown(node: Any, code: list[Piece]) -> str:
    kind = type(node).__name__
    if kind == "Text":
        return MARKS.sub("", str(node).replace("\x02", "").replace("\x03", ""))
    if kind == "Heading":
        return f"\n{'=' * node.level} {_flat(node.title.nodes, code).strip()} {'=' * node.level}\n"
    if kind == "Wikilink":
        target = str(node.title).strip()
        if target.lower().startswith(NOT_SHOWN):
            return ""
        return _flat(node.text.nodes, code) if node.text is not None else target.lstrip(":")
    if kind == "ExternalLink":
        return _flat(node.title.nodes, code) if node.title is not None else "" if node.brackets else str(node.url)
    if kind == "HTMLEntity":
        return str(node.normalize())
    if kind == "Template":
        return _template(node, code)
    return _tag(node, code) if kind == "Tag" else ""  # comments and arguments show nothing


def _template(node: Any, code: list[Piece]) -> str:
    """Values without a name, of templates that stand for how their text looks; infoboxes and the like show nothing."""
    if str(node.name).strip().lower() not in SHOWN_TEMPLATES:
        return ""
    return " ".join(_flat(p.value.nodes, code).strip() for p in node.params if not p.showkey)


def _tag(node: Any, code: list[Piece]) -> str:
    name = str(node.tag).strip().lower()
    if node.wiki_markup and name in ("li", "dt", "dd"):
        return str(node.wiki_markup)
    if name == "table":
        return _aside(Piece("table", "\n".join(row for row in _rows(node, code) if row)), code)
    if name == "br":
        return "\n" if not node.wiki_markup else ""
    if name == "hr" or name in HIDDEN_TAGS or node.contents is None:
        return ""
    if name in CODE_TAGS:
        language = next((str(a.value).strip() for a in node.attributes if str(a.name).strip() == "lang"), "")
        return _aside(Piece("code", f"```{language}\n" + str(node.contents).strip("\n") + "\n```"), code)
    inner = _flat(node.contents.nodes, code)
    if name in ("code", "tt", "kbd", "samp"):
        return f"`{inner.strip()}`" if inner.strip() else ""
    if name == "sup":
        return f"^{inner}"
    return f"\n{inner}\n" if name in ("p", "div", "blockquote", "center") else inner


def _rows(table: Any, code: list[Piece]) -> Iterator[str]:
    """Rows as `a | b`; the first needs no mark of its own."""
    loose = [node for node in table.contents.nodes if _is_tag(node, "td", "th")]
    yield _row(loose, code)
    for row in table.contents.nodes:
        if _is_tag(row, "tr"):
            yield _row([node for node in row.contents.nodes if _is_tag(node, "td", "th")], code)


def _row(cells: list[Any], code: list[Piece]) -> str:
    return " | ".join(" ".join(_flat(cell.contents.nodes, code).split()) for cell in cells).rstrip(" |")


def _is_tag(node: Any, *names: str) -> bool:
    return type(node).__name__ == "Tag" and str(node.tag).strip().lower() in names
