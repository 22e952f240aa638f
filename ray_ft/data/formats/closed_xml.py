"""XML that is read closed: nothing is fetched and no entity is expanded, whatever a file declares."""

import io
from collections.abc import Iterator
from typing import Any

from ray_ft.data.formats.base import Unreadable

CLOSED = {"resolve_entities": False, "no_network": True}


def xml_tree(source: bytes) -> Any:
    """The root of a whole file. Raises Unreadable for what is not well formed."""
    from lxml import etree

    try:
        return etree.fromstring(source, etree.XMLParser(**CLOSED))
    except etree.XMLSyntaxError as error:
        raise _damaged(error) from None


def xml_elements(source: bytes, tag: str) -> Iterator[Any]:
    """Elements as they end, for files whose tree is too large to hold. Raises Unreadable as `xml_tree` does."""
    from lxml import etree

    try:
        for _, element in etree.iterparse(io.BytesIO(source), tag=tag, huge_tree=False, **CLOSED):
            yield element
    except etree.XMLSyntaxError as error:
        raise _damaged(error) from None


def _damaged(error: SyntaxError) -> Unreadable:
    return Unreadable("damaged", str(error)[:200], broken=True)
