"""PDF by PDFium: lines of text with their size and place, the outline, and tables where lines are ruled.

PDFium is no place for threads, and may crash on damaged files: this runs in a child process. What it cannot open, pypdf
tries, more slowly and without sizes.
"""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ray_ft.data.formats.base import Parsed, Unreadable, still_working
from ray_ft.data.formats.pdf.layout import blocks_of
from ray_ft.data.formats.pdf.lines import lines_of
from ray_ft.data.formats.pdf.page import Line, Page
from ray_ft.data.formats.pdf.spaces import Spaces
from ray_ft.data.formats.pdf.tables import ruled_tables

if TYPE_CHECKING:
    import pypdfium2

PAGES_BETWEEN_SIGNS = 50  # of life, to the process that waits
MIN_CHARACTERS_PER_PAGE = 50  # a document of pictures has fewer
MIN_COVERED = 0.3  # of a page by an image: less is a logo or a figure
MAX_OUTLINE = 2000


def parse_pdf(data: bytes) -> Parsed:
    """Headings by size, weight and outline, paragraphs, lists, code and ruled tables with their pages.

    How many pages are pictures alone stands in the metadata as `need_ocr`. Raises Unreadable for an encrypted or
    damaged file and for one that holds pictures of text only.
    """
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise Unreadable("encrypted") from None
        return _parse_slowly(data, str(error))
    try:
        spaces = Spaces()
        pages = list(_pages(document, spaces, range(len(document))))
        if spaces.since is not None:  # up to the line that showed it, lines were only looked at
            again = range(spaces.since + 1)
            pages[: len(again)] = _pages(document, spaces, again)
        outline = _outline(document)
        title = str(document.get_metadata_value("Title") or "").strip("\0 \n")
    finally:
        document.close()
    return _parsed(pages, outline, title)


def _parsed(pages: list[Page], outline: list[tuple[int, int, str]], title: str) -> Parsed:
    sizes = [sum(len(line.text) for line in page.lines) for page in pages]
    if sum(sizes) < MIN_CHARACTERS_PER_PAGE * len(pages) and any(page.num_images for page in pages):
        raise Unreadable("needs OCR", f"{sum(sizes)} characters on {len(pages)} pages")
    unread = sum(
        size < MIN_CHARACTERS_PER_PAGE and page.covered >= MIN_COVERED for size, page in zip(sizes, pages, strict=True)
    )
    text, blocks = blocks_of(pages, outline)
    metadata = {"pages": str(len(pages))} | ({"title": title} if title else {})
    return Parsed(text, blocks, metadata | ({"need_ocr": str(unread)} if unread else {}))


def _pages(document: "pypdfium2.PdfDocument", spaces: Spaces, numbers: range) -> Iterator[Page]:
    """Pages one by one, so that one is in memory at a time."""
    for number in numbers:
        if number % PAGES_BETWEEN_SIGNS == PAGES_BETWEEN_SIGNS - 1:
            still_working()
        try:
            page = document[number]
        except Exception:  # a page that is damaged does not take the others with it
            yield Page(number + 1, 0.0, (), (), 0)
            continue
        words = page.get_textpage()
        try:
            tables, num_images, covered = ruled_tables(page, words)
            spaces.page = number
            lines, turned = lines_of(words, page, spaces)
            # Of a page that was turned, tables stand elsewhere than lines, and its sides have changed places.
            left, bottom, right, top = page.get_mediabox() if turned else (0.0, 0.0, 0.0, page.get_height())
            height = right - left if turned % 2 else top - bottom
            yield Page(number + 1, height, tuple(lines), () if turned else tables, num_images, covered)
        finally:
            words.close()
            page.close()


def _outline(document: "pypdfium2.PdfDocument") -> list[tuple[int, int, str]]:
    """(page, level, title) of the bookmarks."""
    found: list[tuple[int, int, str]] = []
    for mark in document.get_toc(max_depth=6):
        target: Any = mark.get_dest()
        page = target.get_index() if target is not None else None
        if page is not None and len(found) < MAX_OUTLINE:
            found.append((page + 1, mark.level + 1, " ".join((mark.get_title() or "").split())))
    return found


def _parse_slowly(data: bytes, why: str) -> Parsed:
    """The words that pypdf finds; Unreadable with PDFium's reason when it finds none either."""
    from pypdf import PdfReader

    try:
        reader = PdfReader(io.BytesIO(data))
        texts = [page.extract_text() for page in reader.pages]
    except Exception as error:  # of many kinds, on damaged files
        raise Unreadable("damaged", f"{why}; pypdf: {type(error).__name__}: {error}", broken=True) from None
    if not any(text.strip() for text in texts):
        raise Unreadable("damaged", why, broken=True)
    pages = [Page(number, 0.0, tuple(_unmeasured(text)), (), 0) for number, text in enumerate(texts, start=1)]
    return _parsed(pages, [], "")


def _unmeasured(text: str) -> Iterator[Line]:
    """Lines of one size, one below the other."""
    for i, line in enumerate(text.split("\n")):
        if words := line.strip():
            yield Line(words, 0.0, False, 0.0, -1.0 * i, 1.0 - i)
