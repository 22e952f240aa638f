"""The words of a page's inline parts: what marks them up becomes signs in the tree, so that text is read at one go."""

from typing import TYPE_CHECKING

from ray_ft.data.formats.content.raised import lowered, raised

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

MAX_DEPTH = 200  # deeper trees are read as their text; browsers stop at 512
HEADINGS = {f"h{i}": i for i in range(1, 7)}
MARKS = "sup, sub, br, code, tt, kbd, samp"
CODE = frozenset({"code", "tt", "kbd", "samp"})
AS_IT_STANDS = CODE | HEADINGS.keys() | {"pre"}  # code in these has no marks of its own
LINES_OF_CODE = "div, p, li, tr"
MAX_MARK = 6  # signs of a footnote's mark
BREAK = "\v"  # where `br` stands: white space that no page holds otherwise


def mark_inline(tree: "LexborHTMLParser") -> None:
    """Write breaks, code, and raised and lowered signs into the tree as text."""
    for node in reversed(tree.css(MARKS)):  # what stands in another goes first
        tag = node.tag
        if tag == "br":
            node.replace_with(BREAK)
        elif tag in CODE:
            _mark_code(node)
        else:
            node.replace_with(_raised(node) if tag == "sup" else lowered(words_of(node.text()), _before(node)))


def _mark_code(node: "LexborNode") -> None:
    parent = node.parent
    while parent is not None and parent.tag not in BLOCKS_OF_CODE:
        if parent.tag in AS_IT_STANDS:
            return
        parent = parent.parent
    text = node.text().replace(BREAK, "\n")
    if "\n" in text and "\n" in text.strip() and _stands_alone(node):
        return
    words = words_of(text)
    node.replace_with(f"`{words}`" if words else "")


BLOCKS_OF_CODE = frozenset({"p", "li", "td", "th", "dd", "dt", "div", "section", "body"})


def words_of(text: str | None) -> str:
    """Text with every run of white space made one space, and Sphinx's paragraph sign removed."""
    return " ".join((text or "").replace("¶", "").split())


def paragraphs_of(text: str) -> list[str]:
    """A text as it is shown: a break ends a line, and several end a paragraph; all else is one run of words."""
    if BREAK not in text:
        return [words] if (words := words_of(text)) else []
    paragraphs: list[list[str]] = [[]]
    for line in text.split(BREAK):
        if words := words_of(line):
            paragraphs[-1].append(words)
        elif paragraphs[-1]:
            paragraphs.append([])
    return ["\n".join(lines) for lines in paragraphs if lines]


def code_of(node: "LexborNode") -> str:
    """A listing in a fence; "" where nothing stands in it."""
    text = node.text()
    if lines := node.css(LINES_OF_CODE):  # each line stands in an element, and may have its own break
        for line in lines:
            line.insert_after("\n")
        text = node.text().replace("\n\n", "\n")
    text = text.replace(BREAK, "\n").strip("\n").rstrip()
    return f"```\n{text}\n```" if text.strip() else ""


def _stands_alone(node: "LexborNode") -> bool:
    parent = node.parent
    return parent is not None and parent.tag in ("div", "td", "li", "dd", "figure", "section") and not any(
        child.tag != "-text" or (child.text_content or "").strip()
        for child in parent.iter(include_text=True)
        if child.mem_id != node.mem_id
    )  # fmt: skip


def _raised(node: "LexborNode") -> str:
    """A raised sign; marks of footnotes are no words of the text."""
    words = words_of(node.text())
    link = node.css_first("a")
    if link is None and (parent := node.parent) is not None and parent.tag == "a" and words_of(parent.text()) == words:
        link = parent
    if words[:1] in "[(" or (link is not None and (link.attributes.get("href") or "").startswith("#")):
        return "" if len(words) <= MAX_MARK else f" {words}"
    return raised(words, _before(node))


def _before(node: "LexborNode") -> str:
    before = node.prev
    return before.text() if before is not None else ""
