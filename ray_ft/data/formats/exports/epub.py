"""EPUB: the book's chapters in the order of its spine, each read as a page of HTML."""

import io
import posixpath
import zipfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from ray_ft.data.formats.assemble import Piece, assemble, pieces_of
from ray_ft.data.formats.base import Parsed, Unreadable, still_working
from ray_ft.data.formats.closed_xml import xml_tree
from ray_ft.data.formats.html import read_html
from ray_ft.data.formats.office import check_archive

CONTAINER = "META-INF/container.xml"
ENCRYPTION = "META-INF/encryption.xml"
PAGES = ("application/xhtml+xml", "text/html")
FONTS_ALONE = (b"http://www.idpf.org/2008/embedding", b"http://ns.adobe.com/pdf/enc#RC")  # obfuscated, the text is not
INDEXES = frozenset({"genindex.xhtml", "py-modindex.xhtml", "genindex.html", "py-modindex.html"})  # Sphinx's
MIN_SENTENCE = 40  # characters
NO_CONTENT = frozenset({"cover", "title-page", "titlepage", "copyright-page", "index", "loi", "lot"})


def parse_epub(data: bytes) -> Parsed:
    """Blocks chapter by chapter, `page` counting them. Raises Unreadable for an encrypted, damaged or swelling file."""
    check_archive(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = set(archive.namelist())
        if ENCRYPTION in names and not any(mark in archive.read(ENCRYPTION) for mark in FONTS_ALONE):
            raise Unreadable("encrypted")
        if CONTAINER not in names:
            raise Unreadable("damaged", f"it lacks {CONTAINER}", broken=True)
        package = next((e.get("full-path", "") for e in xml_tree(archive.read(CONTAINER)).iter("{*}rootfile")), "")
        if package not in names:
            raise Unreadable("damaged", f"it lacks its package document {package!r}", broken=True)
        root = xml_tree(archive.read(package))
        title = next(((e.text or "").strip() for e in root.iter("{*}title")), "")
        folder = posixpath.dirname(package)
        pages = [(posixpath.normpath(posixpath.join(folder, href)), is_contents) for href, is_contents in _spine(root)]
        whole, blocks = assemble(_pieces(archive, [page for page in pages if page[0] in names]))
    return Parsed(whole, blocks, {"title": title} if title else {})


def _spine(root: Any) -> Iterator[tuple[str, bool]]:
    """Pages in reading order, without cover and index, and whether the guide names them as the contents."""
    named: dict[str, set[str]] = {}
    for reference in root.iter("{*}reference"):
        named.setdefault(unquote(reference.get("href", "").partition("#")[0]), set()).add(reference.get("type", ""))
    items = {item.get("id"): item for item in root.iter("{*}item")}
    for reference in root.iter("{*}itemref"):
        item = items.get(reference.get("idref"))
        if item is None or item.get("media-type") not in PAGES:
            continue
        href = unquote(item.get("href", ""))
        says = named.get(href, set())
        is_nav = "nav" in item.get("properties", "").split()
        if not is_nav and NO_CONTENT.isdisjoint(says) and posixpath.basename(href) not in INDEXES:
            yield href, "toc" in says


def _pieces(archive: zipfile.ZipFile, pages: list[tuple[str, bool]]) -> Iterator[Piece]:
    """The pages' pieces; a page of contents has none, unless it says more than that: many a book begins so."""
    for number, (page, is_contents) in enumerate(pages, start=1):
        still_working()
        blocks = read_html(archive.read(page).decode("utf-8", "replace")).blocks
        if not is_contents or any(b.type == "paragraph" and len(b.text) >= MIN_SENTENCE for b in blocks):
            yield from pieces_of(blocks, page=number)
