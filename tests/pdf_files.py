"""PDF files for tests, written by hand so that every size and place in them is known."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import cos, radians, sin


@dataclass
class PdfPage:
    """A page of 595 x 842 points; texts are (place and turn, size, font, words), lines are (x0, y0, x1, y1)."""

    texts: list[tuple[str, float, int, str]] = field(default_factory=list)
    lines: list[tuple[float, float, float, float]] = field(default_factory=list)
    has_image: bool = False
    rotation: int = 0  # degrees that a reader turns the page by
    drawn: list[str] = field(default_factory=list)  # operators as they stand in the file, before all else

    def write(
        self, words: str, *, y: float, x: float = 50, size: float = 10, is_bold: bool = False, is_mono: bool = False,
        degrees: float = 0,
    ) -> None:  # fmt: skip
        """Put one line of text on the page, turned to the left by so many degrees."""
        a, b = round(cos(radians(degrees)), 4), round(sin(radians(degrees)), 4)
        self.texts.append((f"{a} {b} {-b} {a} {x} {y} Tm", size, 3 if is_mono else 2 if is_bold else 1, words))

    def write_pieces(self, pieces: Sequence[tuple[float, str, float]], *, y: float, x: float = 50) -> None:
        """One line in size 10 of pieces: (room between its letters, its words, points from here to the next piece)."""
        shown = "".join(f"{room} Tc ({words}) Tj {step} 0 Td " for room, words, step in pieces)
        self.drawn.append(f"BT /F1 10 Tf {x} {y} Td {shown}0 Tc ET")

    def content(self) -> bytes:
        """The page's drawing operators."""
        parts = [*self.drawn, *(f"{a} {b} m {c} {d} l S" for a, b, c, d in self.lines)]
        for place, size, font, words in self.texts:
            escaped = words.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
            parts.append(f"BT /F{font} {size} Tf {place} ({escaped}) Tj ET")
        if self.has_image:
            parts.append("q 400 0 0 600 50 100 cm /I1 Do Q")
        return "\n".join(parts).encode("latin-1")


def pdf_file(pages: Sequence[PdfPage], outline: Sequence[tuple[str, int]] = ()) -> bytes:
    """A whole file; the outline is (title, page number from 0), all on one level."""
    objects: list[bytes] = [b""] * 6  # catalogue, pages, two fonts, an image, a third font
    for name, place in ((b"Helvetica", 2), (b"Helvetica-Bold", 3), (b"Courier", 5)):
        objects[place] = b"<< /Type /Font /Subtype /Type1 /BaseFont /" + name + b" >>"
    objects[4] = _stream(
        b"/Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8", b"\x80"
    )
    resources = b"<< /Font << /F1 3 0 R /F2 4 0 R /F3 6 0 R >> /XObject << /I1 5 0 R >> >>"
    numbers = []
    for page in pages:
        objects.append(_stream(b"", page.content()))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Rotate %d /Resources %s /Contents %d 0 R >>"
            % (page.rotation, resources, len(objects))
        )
        numbers.append(len(objects))
    kids = b" ".join(b"%d 0 R" % n for n in numbers)
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(numbers))
    first = len(objects) + 2  # the outline's root comes before its entries
    catalogue = b"<< /Type /Catalog /Pages 2 0 R"
    if outline:
        last = first + len(outline) - 1
        objects.append(b"<< /Type /Outlines /First %d 0 R /Last %d 0 R /Count %d >>" % (first, last, len(outline)))
        for i, (title, page_number) in enumerate(outline):
            following = b" /Next %d 0 R" % (first + i + 1) if i + 1 < len(outline) else b""
            objects.append(
                b"<< /Title (%s) /Parent %d 0 R /Dest [%d 0 R /Fit]%s >>"
                % (title.encode("latin-1"), first - 1, numbers[page_number], following)
            )
        catalogue += b" /Outlines %d 0 R" % (first - 1)
    objects[0] = catalogue + b" >>"
    return _file(objects)


def manual(num_pages: int) -> bytes:
    """A plain manual: a heading on each page and five paragraphs below it."""
    pages = []
    for number in range(num_pages):
        page = PdfPage()
        page.write(f"Chapter {number + 1} of the manual", y=780, size=18)
        for i in range(40):
            page.write(f"Line {i} tells how the ferry's ramp {number} is opened and closed again.", y=750 - 14 * i)
        pages.append(page)
    return pdf_file(pages)


def _stream(head: bytes, content: bytes) -> bytes:
    return b"<< %s /Length %d >>\nstream\n%s\nendstream" % (head, len(content), content)


def _file(objects: Sequence[bytes]) -> bytes:
    """Objects numbered from 1, the first being the catalogue, with their table of places."""
    whole = b"%PDF-1.4\n"
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(len(whole))
        whole += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(whole))
    return whole + b"xref\n0 %d\n0000000000 65535 f \n%s%s" % (len(objects) + 1, table, end)
