"""What of a page is no content: known by its names and its links together, since either alone may mislead."""

from typing import TYPE_CHECKING

from ray_ft.data.formats.html.lines import CERTAIN_WAYS
from ray_ft.data.formats.html.names import Says
from ray_ft.data.formats.html.text import words_of

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

UNSEEN = """
    script, style, noscript, template, svg, iframe, button, select, textarea, head, nav, dialog,
    [hidden], [aria-hidden=true], span.lineno, span.linenos, td.linenos, td.gutter, td.blob-num, td.hljs-ln-numbers,
    pre.src-line-numbers, span.katex-html, span.rightside, a.src, span.mw-editsection,
    span.theme-doc-version-badge, span.viewcode-link, a.footnote-reference, a[role=doc-noteref],
    .footnote > .label, dl.footnote > dt,
    a.summary_toggle, span.method-click-advice, .tag-source, :is(section, div.classattr) > div.pdoc-code,
    table.heading td.extra, table.source_code, div[class*="language-"] > span.lang, p.post-meta, a.bookmark.source,
    tr[class*="property-row-created_"], tr[class*="property-row-last_edited_"]
"""
"""What holds nothing to read, and what readers do not see or see beside the text: numbers of lines, what one may click,
and what it unfolds."""
ANCHORS = 'a[href^="#"]'
SIGNS_OF_ANCHORS = frozenset({"", "#", "¶", "§", "🔗", "\u200b", "link"})

INDEXES = frozenset({"genindex", "py-modindex", "modindex", "search"})
"""Pages of Sphinx that only lead to others."""

LEADERS = 6  # characters beside the link in an entry of contents: a number, dots, a page
MIN_PROSE, FEW = 240, 80  # characters: a paragraph, and a sentence
MIN_ENTRIES, MIN_INDEXED = 8, 0.6  # terms of an index, and links to each
MAX_LINKED = 0.5  # share of characters that are links


def remove_unseen(tree: "LexborHTMLParser") -> None:
    """Take out of the tree what is not read, whatever stands in it."""
    for node in reversed(tree.css(UNSEEN)):  # what stands in another goes first
        node.decompose()
    entries: dict[int, LexborNode] = {}  # paragraphs of contents
    for node in tree.css(ANCHORS):
        words = node.text(strip=True)
        parent = node.parent
        if words in SIGNS_OF_ANCHORS:
            node.replace_with("")
        elif parent is not None and parent.tag == "p" and len(parent.text(strip=True)) <= len(words) + LEADERS:
            entries[parent.mem_id] = parent
    for node in entries.values() if len(entries) > 1 else ():
        node.decompose()


def is_furniture(node: "LexborNode", says: Says) -> bool:
    """Whether what is named so holds little else than links and a few words."""
    if says == "unread":
        return True
    if says == "content" or node.css_first("main, article, [role=main], h1") is not None:
        return False
    own, linked = own_and_linked(node)
    if says == "consent":
        return own < 4 * MIN_PROSE
    if linked > MAX_LINKED * (own + linked):
        return True
    if says == "strong":
        return own < MIN_PROSE
    return own < FEW and not _tells(node) and node.css_first("h2, h3, h4") is None


def is_prose(node: "LexborNode", says: Says = "") -> bool:
    """Whether a node outside a page's main part reads as content: sentences, and few links."""
    own, linked = own_and_linked(node)
    return (
        own >= (MIN_PROSE if says and says != "content" else FEW / 2)
        and linked <= 0.8 * MAX_LINKED * (own + linked)
        and _tells(node)
    )


def is_kept(node: "LexborNode", tag: str, says: Says) -> bool:
    """Whether an aside, a header, a footer or a form holds content: an admonition does, or a page in one form."""
    if says == "content":
        return True
    own, linked = own_and_linked(node)
    if tag == "form":
        enough = FEW if node.css_first("h1, h2, h3, table, pre") is not None else MIN_PROSE
        return own >= enough and linked <= MAX_LINKED * (own + linked) and _tells(node)
    if tag == "header":
        return node.css_first("h1, h2, h3, h4, h5, h6") is not None or own > max(linked, FEW / 4)
    if tag == "aside":
        return is_prose(node)
    parent = node.parent
    if parent is None or parent.tag in ("body", "div") or "©" in node.text() or "opyright" in node.text():
        return False
    return parent.tag == "blockquote" or is_prose(node)


def leads_away(node: "LexborNode") -> bool:
    """Whether a list or a table is a row of ways such as `prev | up | next`, or the contents of its own page."""
    links = node.css("a")
    if len(links) < 2:
        return False
    ends = [link.attributes.get("href") or "" for link in links]
    here = sum(end.startswith("#") or end.rpartition("/")[2].partition(".")[0] in INDEXES for end in ends)
    ways = sum(words_of(link.text()).lower().strip("<>«»‹›←→ ") in CERTAIN_WAYS for link in links)
    if ways < 2 and here < len(links):
        return False
    if "summary-letter" in (links[0].attributes.get("class") or ""):  # of Texinfo's index
        return True
    own, linked = own_and_linked(node)
    return own <= FEW if ways >= 2 else own <= linked / 4


def is_index(node: "LexborNode") -> bool:
    """Whether a list of terms is the index of a book: most terms have links behind them, and none a sentence."""
    terms = len(node.css("dt"))
    if terms < MIN_ENTRIES or len(node.css("dt a")) < MIN_INDEXED * terms or node.css_first("dd p, pre") is not None:
        return False
    return ". " not in node.text()


def own_and_linked(node: "LexborNode") -> tuple[int, int]:
    """Characters that are no links, and characters of links."""
    linked = sum(len(words_of(link.text())) for link in node.css("a"))
    return len(words_of(node.text(separator=" "))) - linked, linked


def _tells(node: "LexborNode") -> bool:
    """Whether a whole sentence stands below, or a listing or a table."""
    text = node.text(separator=" ").rstrip()
    return ". " in text or text.endswith(ENDS) or node.css_first("pre, table") is not None


ENDS = (".", "!", "?", ":", "。", "！", "？")
