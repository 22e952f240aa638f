"""XML that wikis write of all their pages: MediaWiki's dumps, and Confluence's export of a space."""

import re
from collections.abc import Iterator

from ray_ft.data.formats.assemble import Piece, assemble, pieces_of
from ray_ft.data.formats.base import Parsed, Unreadable, still_working
from ray_ft.data.formats.closed_xml import xml_elements
from ray_ft.data.formats.html import read_html
from ray_ft.data.formats.lightweight.mediawiki import wiki_pieces

SNIFFED_BYTES = 4096
CONTENT_NAMESPACES = frozenset({"0", "4", "12"})  # articles, the project's own pages, help
REDIRECT = re.compile(r"\s*#(?:redirect|weiterleitung|redirection|redirección)\b", re.IGNORECASE)
CDATA = re.compile(r"<ac:plain-text-body>\s*+<!\[CDATA\[(.*?)\]\](?:>| >)", re.DOTALL)
PAGE_LINK, LINK_TITLE = re.compile(r"<ri:page\b[^>]*+>"), re.compile(r"\bri:content-title=\"([^\"]*+)\"")
BLOCK = re.compile(
    r"<(/?)ac:(?:structured-macro|rich-text-body|layout(?:-section|-cell)?|task(?:-list|-body)?)\b[^>]*+>"
)
TASK_ID = re.compile(r"<ac:task-(id|status|uuid)>[^<]*+</ac:task-\1>")
PARAMETER = re.compile(r"<ac:parameter\b[^>]*+>[^<]*+</ac:parameter>")


def parse_xml(data: bytes) -> Parsed:
    """Pages of a wiki's dump. Raises Unreadable for XML of another kind, and for what is damaged."""
    head = data[:SNIFFED_BYTES]
    if b"<mediawiki" in head:
        pieces = _dump(data)
    elif b"<hibernate-generic" in head:
        pieces = _confluence(data)
    else:
        raise Unreadable("unknown format")
    whole, blocks = assemble(pieces)
    return Parsed(whole, blocks)


def _dump(data: bytes) -> Iterator[Piece]:
    """The last revision of each page that is content, under its title."""
    for number, page in enumerate(xml_elements(data, "{*}page"), start=1):
        still_working()
        if (page.findtext("{*}ns") or "0").strip() in CONTENT_NAMESPACES and page.find("{*}redirect") is None:
            revisions = [r for r in page.iter("{*}revision") if (r.findtext("{*}model") or "wikitext") == "wikitext"]
            text = (revisions[-1].findtext("{*}text") or "") if revisions else ""
            if text.strip() and not REDIRECT.match(text):
                yield Piece("heading", (page.findtext("{*}title") or "").strip(), 1, number)
                for piece in wiki_pieces(text, level=1):
                    yield Piece(piece.type, piece.text, piece.level, number)
        page.clear()


def _confluence(data: bytes) -> Iterator[Piece]:
    """Current pages and posts of a space, each under its title, in the order of the export."""
    titles: dict[str, str] = {}
    bodies: dict[str, str] = {}
    for item in xml_elements(data, "object"):
        values = {e.get("name"): (e.text or "") for e in item.iterfind("property")}
        number = (item.findtext("id") or "").strip()
        if item.get("class") in ("Page", "BlogPost"):
            is_current = (
                values.get("contentStatus", "current") == "current"
                and item.find("property[@name='originalVersion']/id") is None
            )
            if is_current and values.get("title", "").strip():
                titles[number] = values["title"].strip()
        elif item.get("class") == "BodyContent":
            owner = (item.findtext("property[@name='content']/id") or "").strip()
            bodies[owner] = values.get("body", "")
        item.clear()
    for page, (number, title) in enumerate(titles.items(), start=1):
        still_working()
        blocks = read_html(f"<body><main>{storage_html(bodies.get(number, ''))}</main></body>").blocks
        if blocks:
            yield Piece("heading", title, 1, page)
        yield from pieces_of(blocks, page=page, deeper=1)


def storage_html(source: str) -> str:
    """Confluence's storage format as HTML: code macros as `pre`, others as blocks, links to pages as their titles."""
    source = CDATA.sub(lambda m: f"<pre>{_escaped(m.group(1))}</pre>", source)
    source = PAGE_LINK.sub(_title_of_link, TASK_ID.sub("", PARAMETER.sub("", source)))
    return BLOCK.sub(r"<\1div>", source)


def _title_of_link(match: re.Match[str]) -> str:
    title = LINK_TITLE.search(match.group())
    return title.group(1) if title is not None else ""


def _escaped(code: str) -> str:
    return code.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
