"""XML of strangers is read in one place, which fetches nothing and expands no entity."""

from collections.abc import Callable
from pathlib import Path

import pytest

import ray_ft
from ray_ft.data.formats.base import Unreadable
from ray_ft.data.formats.closed_xml import xml_elements, xml_tree

PACKAGE = Path(ray_ft.__file__).parent


def _whole(source: bytes) -> list[str]:
    return [element.text or "" for element in xml_tree(source).iter("page")]


def _in_turn(source: bytes) -> list[str]:
    return [element.text or "" for element in xml_elements(source, "page")]


both = pytest.mark.parametrize("read", [_whole, _in_turn])


@both
def test_an_entity_is_neither_fetched_nor_expanded(read: Callable[[bytes], list[str]], tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    outside = f'<!ENTITY outside SYSTEM "{(tmp_path / "secret.txt").as_uri()}">'
    inside = '<!ENTITY a "tenfold"><!ENTITY inside "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    pages = "<page>Ferry</page><page>&outside;</page><page>&inside;</page>"
    assert read(f"<!DOCTYPE pages [{outside}{inside}]><pages>{pages}</pages>".encode()) == ["Ferry", "", ""]


@both
def test_what_is_not_well_formed_is_damaged_and_put_aside(read: Callable[[bytes], list[str]]) -> None:
    with pytest.raises(Unreadable, match="damaged") as caught:
        read(b"<pages><page>Ferry</pages>")
    assert caught.value.broken


def test_nobody_else_makes_a_parser_of_xml() -> None:
    """Of HTML there is another, which knows no declarations."""
    makers = ("etree.XMLParser", "etree.iterparse", "etree.fromstring", "import xml.", "from xml.")
    found = {p.name for p in PACKAGE.rglob("*.py") if any(maker in p.read_text() for maker in makers)}
    assert found == {"closed_xml.py"}
