"""Parts of a Word document beside its body: styles, lists and notes."""

from dataclasses import dataclass, field
from typing import Any

from ray_ft.data.formats.office.word_styles import Numbering, Style, W, numbering_of, styles_of
from ray_ft.data.formats.office.word_text import Words

KINDS = ("footnote", "endnote")


@dataclass
class Parts:
    """What a walk through the body looks things up in."""

    styles: dict[str, Style]
    numbering: Numbering = field(default_factory=Numbering)
    notes: dict[tuple[str, str], Any] = field(default_factory=dict)  # (kind, id) -> node

    @classmethod
    def of(cls, document: Any) -> "Parts":
        """The parts of an open document; what a file lacks is empty."""
        from docx.oxml import parse_xml

        related = {rel.reltype.rpartition("/")[2]: rel for rel in document.part.rels.values() if not rel.is_external}
        made = cls(styles_of(document.styles.element))
        if "numbering" in related:
            made.numbering = numbering_of(parse_xml(related["numbering"].target_part.blob))
        for kind in KINDS:
            if f"{kind}s" in related:
                root = parse_xml(related[f"{kind}s"].target_part.blob)
                made.notes |= {(kind, node.get(f"{W}id", "")): node for node in root.iterchildren(f"{W}{kind}")}
        return made

    def note(self, kind: str, name: str) -> str:
        """The words of a note; "" for one that is not there."""
        node = self.notes.get((kind, name))
        if node is None:
            return ""
        words = Words()
        return " ".join(" ".join(words.of(paragraph).split()) for paragraph in node.iter(f"{W}p")).strip()
