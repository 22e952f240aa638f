"""Books, mail, dumps of wikis and descriptions of interfaces: their words under their titles."""

import io
import json
import zipfile

import pytest

from ray_ft.data.formats import format_of
from ray_ft.data.formats.base import Parsed, Unreadable

CONTAINER = """<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0">
<rootfiles><rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"""
PACKAGE = """<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>The Ferry</dc:title></metadata>
<manifest><item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="b" href="text/b%20two.xhtml" media-type="application/xhtml+xml"/>
<item id="a" href="text/a.xhtml" media-type="application/xhtml+xml"/>
<item id="img" href="a.png" media-type="image/png"/></manifest>
<spine><itemref idref="nav"/><itemref idref="a"/><itemref idref="b"/></spine></package>"""


def book(**more: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        files = {
            "META-INF/container.xml": CONTAINER,
            "OEBPS/book.opf": PACKAGE,
            "OEBPS/nav.xhtml": "<html><body><nav><ol><li>One</li></ol></nav><p>Contents</p></body></html>",
            "OEBPS/text/a.xhtml": "<html><body><h1>One</h1><p>First words.</p></body></html>",
            "OEBPS/text/b two.xhtml": "<html><body><h1>Two</h1><p>Last words.</p></body></html>",
        } | more
        for name, text in files.items():
            if text:
                archive.writestr(name, text)
    return out.getvalue()


def parse(name: str, source: bytes | str) -> Parsed:
    kind = format_of(name)
    assert kind is not None
    assert kind.is_binary == isinstance(source, bytes)
    parsed = kind.parse(source)
    assert all(parsed.text[b.start : b.end] == b.text for b in parsed.blocks)
    return parsed


def shown(parsed: Parsed) -> list[str]:
    return [f"{'#' * b.level} {b.text}" if b.type == "heading" else b.text for b in parsed.blocks]


def test_a_book_is_read_in_the_order_of_its_spine_without_its_contents() -> None:
    parsed = parse("ferry.epub", book())
    assert shown(parsed) == ["# One", "First words.", "# Two", "Last words."]
    assert [b.page for b in parsed.blocks] == [1, 1, 2, 2]
    assert parsed.metadata == {"title": "The Ferry"}


def test_a_page_that_the_guide_calls_contents_is_read_where_it_says_more_and_indexes_are_not() -> None:
    guide = '<guide><reference type="toc" href="text/a.xhtml"/></guide></package>'
    package = PACKAGE.replace("</package>", guide).replace("text/b%20two.xhtml", "genindex.xhtml")
    files = {"OEBPS/book.opf": package, "OEBPS/genindex.xhtml": "<html><body><p>F ferry, 3</p></body></html>"}
    assert shown(parse("a.epub", book(**files))) == []
    page = "<html><body><h1>One</h1><p>The ferry crosses the river on a cable of steel.</p></body></html>"
    more = files | {"OEBPS/text/a.xhtml": page}
    assert shown(parse("a.epub", book(**more))) == ["# One", "The ferry crosses the river on a cable of steel."]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no zip", "damaged"),
        (book(**{"META-INF/container.xml": ""}), "damaged"),
        (book(**{"OEBPS/book.opf": "<package"}), "damaged"),
        (book(**{"META-INF/encryption.xml": "<encryption>AES</encryption>"}), "encrypted"),
    ],
    ids=["no zip", "no container", "torn package", "encrypted"],  # a book's bytes have the time in them
)
def test_a_book_that_cannot_be_read_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        parse("a.epub", data)


def test_a_book_expands_no_entities_and_reads_no_files() -> None:
    bomb = PACKAGE.replace(
        '<?xml version="1.0"?>', '<?xml version="1.0"?><!DOCTYPE package [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
    ).replace("The Ferry", "&x;")
    assert parse("a.epub", book(**{"OEBPS/book.opf": bomb})).metadata == {}


MAIL = (
    b"From: A <a@example.org>\r\nTo: b@example.org\r\nSubject: Re: AW: =?utf-8?q?F=C3=A4hre_late?=\r\n"
    b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\n"
    b"The ferry is late by 10\xa0minutes, see M\xfcller.\r\n\r\nIt sails at nine.\r\n\r\n"
    b"On Mon, 1 Jan 2024 at 10:00, B\r\n<b@example.org> wrote:\r\n> When does it sail?\r\n>> deep\r\n\r\n"
    b"-- \r\nA. Person\r\nSome Company\r\n"
)


def test_mail_is_what_its_sender_wrote() -> None:
    assert shown(parse("a.eml", MAIL)) == [
        "# Fähre late", "The ferry is late by 10\xa0minutes, see Müller.", "It sails at nine.",
    ]  # fmt: skip


def test_mail_in_html_and_with_attachments() -> None:
    data = (
        b"Subject: Report\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n"
        b"Content-Type: text/html; charset=utf-8\n\n<html><body><p>All <b>fine</b>.</p></body></html>\n--x\n"
        b"Content-Type: text/plain; name=a.txt\nContent-Disposition: attachment; filename=a.txt\n\nattached\n--x--\n"
    )
    assert shown(parse("a.eml", data)) == ["# Report", "All fine."]


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfe\x00", b"Subject: =?x?z?=\nContent-Type: text/plain; charset=nonsense\n\nhi"]
)
def test_odd_mail_does_not_fail(data: bytes) -> None:
    assert isinstance(parse("a.eml", data), Parsed)


def test_a_box_has_a_thread_under_one_heading() -> None:
    box = (
        b"From a@example.org Mon Jan  1 10:00:00 2024\nSubject: Late\n\nThe ferry is late.\n>From here it goes.\n\n"
        b"From b@example.org Mon Jan  1 11:00:00 2024\nSubject: Re: Late\n\n> The ferry is late.\n\nWhy is that so?\n\n"
        b"From c@example.org Mon Jan  1 12:00:00 2024\nSubject: Other\n\nFrom time to time.\n"
    )
    assert shown(parse("list.mbox", box)) == [
        "# Late", "The ferry is late.\nFrom here it goes.", "Why is that so?", "# Other", "From time to time.",
    ]  # fmt: skip


DUMP = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/"><siteinfo/>
<page><title>Ferry</title><ns>0</ns><revision><text>old</text></revision>
<revision><text>'''A''' [[ship]].

== Use ==
It sails.</text></revision></page>
<page><title>Talk:Ferry</title><ns>1</ns><revision><text>chatter</text></revision></page>
<page><title>Boat</title><ns>0</ns><redirect title="Ferry"/><revision><text>#REDIRECT [[Ferry]]</text></revision></page>
</mediawiki>"""

SPACE = """<?xml version="1.0" encoding="UTF-8"?><hibernate-generic datetime="2024-01-01">
<object class="Page" package="x"><id name="id">1</id><property name="title">Deploy</property>
<property name="contentStatus">current</property></object>
<object class="Page" package="x"><id name="id">2</id><property name="title">Deploy</property>
<property name="contentStatus">current</property>
<property name="originalVersion"><id name="id">1</id></property></object>
<object class="Page" package="x"><id name="id">3</id><property name="title">Draft</property>
<property name="contentStatus">draft</property></object>
<object class="BodyContent" package="x"><id name="id">9</id><property name="body"><![CDATA[<h1>Steps</h1>
<p>See <ac:link><ri:page ri:content-title="The runbook" /></ac:link>.</p>
<ac:structured-macro ac:name="code"><ac:parameter ac:name="language">bash</ac:parameter><ac:plain-text-body>
<![CDATA[a < b && c]]]]>><![CDATA[</ac:plain-text-body></ac:structured-macro>
<ac:structured-macro ac:name="info"><ac:rich-text-body><p>Mind the gap.</p></ac:rich-text-body></ac:structured-macro>]]>
</property><property name="content" class="Page"><id name="id">1</id></property></object>
<object class="BodyContent" package="x"><id name="id">10</id><property name="body"><![CDATA[<p>old</p>]]></property>
<property name="content" class="Page"><id name="id">2</id></property></object></hibernate-generic>"""


def test_a_dump_of_mediawiki_has_the_last_text_of_its_articles() -> None:
    assert shown(parse("dump.xml", DUMP.encode())) == ["# Ferry", "A ship.", "## Use", "It sails."]


def test_a_confluence_space_has_its_current_pages() -> None:
    assert shown(parse("entities.xml", SPACE.encode())) == [
        "# Deploy", "## Steps", "See The runbook.", "```\na < b && c\n```", "Mind the gap.",
    ]  # fmt: skip


@pytest.mark.parametrize(("data", "reason"), [(b"<project/>", "unknown format"), (b"<mediawiki><page>", "damaged")])
def test_other_xml_is_not_read(data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        parse("a.xml", data)


API = {
    "openapi": "3.0.0",
    "info": {"title": "Ferry API", "version": "1", "description": "Books *seats*.\n\n# Limits\n\nTen a second."},
    "paths": {
        "/seats/{id}": {
            "parameters": [{"$ref": "#/components/parameters/Id"}],
            "get": {
                "summary": "Find a seat", "description": "Only own seats.",
                "parameters": [{"name": "deck", "in": "query", "schema": {"type": "integer", "minimum": 1}}],
                "responses": {"200": {"description": "The seat."}, "404": {"$ref": "#/components/responses/None"}},
            },
            "put": {
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Seat"}}}},
            },
        }
    },
    "components": {
        "parameters": {"Id": {"name": "id", "in": "path", "required": True, "description": "Its number.",
                              "schema": {"type": "string"}}},
        "responses": {"None": {"description": "There is none."}},
        "schemas": {"Seat": {"type": "object", "description": "A seat.", "required": ["row"], "properties": {
            "row": {"type": "integer", "description": "Counted from the bow."},
            "class": {"enum": ["first", "second"]},
            "tags": {"type": "array", "items": {"type": "string"}}}}},
    },
}  # fmt: skip
API_SHOWN = [
    "# Ferry API", "Books *seats*.", "Limits", "Ten a second.", "## GET /seats/{id}: Find a seat", "Only own seats.",
    "Parameters:", "- `id` (path, string, required): Its number.\n- `deck` (query, integer, at least 1)",
    "Responses:", "- 200: The seat.\n- 404: There is none.", "## PUT /seats/{id}",
    "Parameters:", "- `id` (path, string, required): Its number.",
    "Request body (application/json): Seat", "## Seat", "A seat.",
    "- `row` (integer, required): Counted from the bow.\n- `class` (one of `first`, `second`)\n"
    "- `tags` (array of string)",
]  # fmt: skip


def test_an_api_description_is_a_document_in_json_and_in_yaml() -> None:
    import yaml

    for name, text in (("api.json", json.dumps(API)), ("api.yaml", yaml.safe_dump(API, sort_keys=False))):
        parsed = parse(name, text)
        assert shown(parsed) == API_SHOWN
        assert parsed.language == ""


def test_a_schema_is_a_document() -> None:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Order", "properties": {
        "items": {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "string"}}}}}}  # fmt: skip
    assert shown(parse("order.json", json.dumps(schema))) == [
        "# Order",
        "- `items` (array of object)\n  - `id` (string)",
    ]


def test_other_json_and_yaml_are_lines_of_configuration() -> None:
    assert parse("tsconfig.json", '{\n  // comment\n  "strict": true\n}').language == "json"
    assert parse("a.yaml", "a: 1\nb: 2").language == "yaml"
    with pytest.raises(Unreadable, match="data, not text"):
        parse("big.json", json.dumps(list(range(30_000))))


def test_aliases_of_yaml_are_not_expanded() -> None:
    bomb = "openapi: 3.0.0\na: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{n}: &{n} [{', '.join([f'*{m}'] * 9)}]\n" for m, n in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert parse("a.yaml", bomb + "paths: {}\n").language == "yaml"
