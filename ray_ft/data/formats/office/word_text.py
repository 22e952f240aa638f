"""The words of a Word paragraph with all changes accepted: what was inserted, and the results of fields."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ray_ft.data.formats.content.raised import lowered, raised
from ray_ft.data.formats.office.word_styles import VAL, W, value

MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
CHOICE = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
GONE = frozenset({f"{W}del", f"{W}moveFrom", f"{W}pPr", f"{W}rPr", f"{W}sdtPr", f"{W}sdtEndPr", f"{W}rt"})
UNREAD_FIELDS = frozenset({"TOC", "INDEX", "TOA", "RD", "TC", "XE", "PAGE", "NUMPAGES", "SECTIONPAGES", "PAGEREF"})
SIGNS = {
    f"{W}tab": "\t", f"{W}ptab": "\t", f"{W}cr": "\n", f"{W}noBreakHyphen": "-", f"{W}softHyphen": "",
}  # fmt: skip
BOXES = frozenset({f"{W}drawing", f"{W}pict", f"{W}object", f"{CHOICE}AlternateContent"})
RUBY = (f"{W}ruby", f"{W}rubyBase")
BOX = f"{W}txbxContent"
OFF = ("0", "false", "off")
SYMBOLS = {"f0b7": "•", "f0d8": "➢", "f0fc": "✓", "f0a7": "▪", "f0e0": "→", "f0df": "←", "f0b0": "°", "f0b1": "±"}


@dataclass
class Words:
    """Reads paragraph after paragraph, as fields may reach over several; what else it meets waits to be taken."""

    fields: list[list[str]] = field(default_factory=list)  # of each open one: its order, and "result" once that began
    boxes: list[Any] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)  # kind and id
    parts: list[str] = field(default_factory=list)

    def of(self, paragraph: Any) -> str:
        """The words of a paragraph."""
        self.parts = []
        self._all(paragraph)
        return "".join(self.parts)

    def _all(self, node: Any) -> None:
        for child in node:
            tag = child.tag
            if tag == f"{W}r":
                self._run(child)
            elif tag in GONE or not isinstance(tag, str):
                continue
            elif tag == f"{W}fldSimple":
                if _order(child.get(f"{W}instr") or "") not in UNREAD_FIELDS:
                    self._all(child)
            elif tag == f"{W}sdt":
                if (content := content_of(child)) is not None:
                    self._all(content)
            elif tag.startswith(MATH):
                self._say("".join(part.text or "" for part in child.iter(f"{MATH}t")))
            elif tag in BOXES:
                self.boxes += boxes_in(child)
            else:
                self._all(child)

    def _run(self, run: Any) -> None:
        properties = run.find(f"{W}rPr")
        position = None
        if properties is not None:
            hidden = properties.find(f"{W}vanish")
            if hidden is not None and hidden.get(VAL) not in OFF:
                return
            position = value(properties, "vertAlign")
        for child in run:
            tag = child.tag
            if tag == f"{W}t":
                self._say(child.text or "", position)
            elif tag in SIGNS:
                self._say(SIGNS[tag])
            elif tag == f"{W}br":
                if child.get(f"{W}type") in (None, "textWrapping"):
                    self._say("\n")
            elif tag == f"{W}fldChar":
                self._mark(child.get(f"{W}fldCharType"))
            elif tag == f"{W}instrText":
                if self.fields:
                    self.fields[-1][0] += child.text or ""
            elif tag in (f"{W}footnoteReference", f"{W}endnoteReference"):
                self.notes.append((tag[len(W) :].removesuffix("Reference"), child.get(f"{W}id") or ""))
            elif tag == f"{W}sym":
                self._say(SYMBOLS.get((child.get(f"{W}char") or "").lower(), ""))
            elif tag in BOXES:
                self.boxes += boxes_in(child)
            elif tag in RUBY:
                self._all(child)

    def _say(self, text: str, position: str | None = None) -> None:
        if any(order[-1] != "result" or _order(order[0]) in UNREAD_FIELDS for order in self.fields):
            return
        if position in ("superscript", "subscript"):
            before = "".join(self.parts[-2:])
            text = raised(text, before) if position == "superscript" else lowered(text, before)
        self.parts.append(text)

    def _mark(self, kind: str | None) -> None:
        if kind == "begin":
            self.fields.append([""])
        elif kind == "separate" and self.fields:
            self.fields[-1].append("result")
        elif kind == "end" and self.fields:
            self.fields.pop()


def content_of(control: Any) -> Any:
    """What stands in a content control; None for one that only asks for words, and for a table of contents."""
    properties = control.find(f"{W}sdtPr")
    if properties is not None:
        asks = properties.find(f"{W}showingPlcHdr")
        gallery = properties.find(f"{W}docPartObj/{W}docPartGallery")
        if (asks is not None and asks.get(VAL) not in OFF) or (
            gallery is not None and gallery.get(VAL) == "Table of Contents"
        ):
            return None
    return control.find(f"{W}sdtContent")


def boxes_in(node: Any) -> Iterator[Any]:
    """Contents of text boxes below a node, each once: the fallback of a shape says the same again."""
    if node.tag == BOX:
        yield node
    elif node.tag == f"{CHOICE}AlternateContent":
        for choice in node:
            found = list(boxes_in(choice))
            if found:
                yield from found
                return
    else:
        for child in node:
            yield from boxes_in(child)


def _order(text: str) -> str:
    """What a field does: the first word of its instruction."""
    return text.split(None, 1)[0].upper() if text.strip() else ""
