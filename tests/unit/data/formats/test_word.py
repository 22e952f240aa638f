"""Word documents as Word shows them: all changes accepted, nothing lost in controls, boxes, notes and fields."""

import io
from pathlib import Path
from typing import Any

import docx
import pytest
from docx.oxml import parse_xml

from ray_ft.data.formats.office.word import parse_docx

FILES = Path(__file__).parents[3] / "data" / "markup"
SPACES = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" '
    'xmlns:v="urn:schemas-microsoft-com:vml" xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
)


def _run(text: str) -> str:
    return f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r>'


def _p(inner: str, properties: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr>{inner}</w:p>"


def _control(inner: str, properties: str = "") -> str:
    return f"<w:sdt><w:sdtPr>{properties}</w:sdtPr><w:sdtContent>{inner}</w:sdtContent></w:sdt>"


GALLERY = '<w:docPartGallery w:val="Table of Contents"/>'


def _field(order: str, result: str) -> str:
    def mark(kind: str) -> str:
        return f'<w:r><w:fldChar w:fldCharType="{kind}"/></w:r>'

    return f"{mark('begin')}<w:r><w:instrText>{order}</w:instrText></w:r>{mark('separate')}{result}{mark('end')}"


def _blocks(body: str, change: Any = None) -> list[tuple[str, int, str]]:
    document = docx.Document()
    for node in parse_xml(f"<w:body {SPACES}>{body}</w:body>"):
        document.element.body.insert(len(document.element.body) - 1, node)
    if change is not None:
        change(document)
    made = io.BytesIO()
    document.save(made)
    parsed = parse_docx(made.getvalue())
    assert all(b.text == parsed.text[b.start : b.end] for b in parsed.blocks)
    return [(b.type, b.level, b.text) for b in parsed.blocks]


def _texts(body: str) -> list[str]:
    return [text for _, _, text in _blocks(body)]


def test_a_document_with_tracked_changes_reads_as_if_all_were_accepted() -> None:
    assert parse_docx((FILES / "tracked.docx").read_bytes()).text == (
        "# Travel rules\n\n# Book a trip\n\nBook your trip in the portal at least ten days ahead.\n\n"
        "Trips over five days need the consent of your manager.\n\n# Pay for a trip\n\n"
        "Pay with the card of the company and keep the receipt; see the list of hotels first. "
        "The limit is 250 euros for a night.\n"
    )


def test_controls_boxes_and_lists_are_read() -> None:
    assert parse_docx((FILES / "sdt.docx").read_bytes()).text == (
        "# Safety sheet\n\nWear goggles and gloves whenever the lid of the tank is open.\n\n"
        "The phone of the fire brigade is on the door of every room.\n\nA box stands beside these words.\n\n"
        "Never mix acid with water in the wrong order.\n\n# Numbers\n\n"
        "1. First wash the tank.\n  - Use cold water.\n2. Then dry the tank.\n\n"
        "Tank | Liquid | Limit\nA | Acid | 40 l\nA | Base | 20 l\n"
    )


def test_a_footnote_stands_behind_the_paragraph_that_refers_to_it() -> None:
    assert parse_docx((FILES / "footnotes.docx").read_bytes()).text == (
        "# Warranty\n\nThe warranty ends after two years unless the seal is broken.\n\n"
        "In Norway the warranty ends after five years.\n"
    )


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        (_p(f"<w:moveTo>{_run('Moved here.')}</w:moveTo><w:moveFrom>{_run('Moved.')}</w:moveFrom>"), ["Moved here."]),
        (
            _p(f"{_run('One ')}<w:del><w:r><w:delText>line</w:delText></w:r></w:del>", "<w:rPr><w:del/></w:rPr>")
            + _p(_run("and the same.")),
            ["One and the same."],
        ),
        (_p("<w:del><w:r><w:delText>gone</w:delText></w:r></w:del>", "<w:rPr><w:del/></w:rPr>") + _p(_run("b")), ["b"]),
        (_p(f"<w:ins><w:hyperlink>{_run('a link')}</w:hyperlink></w:ins>{_run(' here')}"), ["a link here"]),
        (_p(f"<w:smartTag><w:smartTag>{_run('Oslo')}</w:smartTag></w:smartTag>{_run(' is far')}"), ["Oslo is far"]),
        (_p(_run("see ") + _field(" REF _a \\h ", _run("Table 2")) + _run(".")), ["see Table 2."]),
        (_p(_run("page ") + _field(" PAGE ", _run("7")) + _run("end")), ["page end"]),
        (_p(_field(' HYPERLINK "x" ', _run("a ") + _field(" REF b ", _run("b"))) + _run(" c")), ["a b c"]),
        (_p(_field(' TOC \\o "1-3" ', _run("One 3")) + _run("Text")), ["Text"]),
        (_p('<w:fldSimple w:instr="NUMPAGES">' + _run("9") + "</w:fldSimple>" + _run("left")), ["left"]),
        (_p("<w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r>" + _run("seen")), ["seen"]),
        (_p("<w:r><w:t>a</w:t><w:br/><w:t>b</w:t><w:tab/><w:noBreakHyphen/><w:t>c</w:t></w:r>"), ["a\nb\t-c"]),
        (_p('<w:r><w:t>a</w:t><w:br w:type="page"/></w:r>') + _p(_run("b")), ["a", "b"]),
        (
            _p(_run("10") + '<w:r><w:rPr><w:vertAlign w:val="superscript"/></w:rPr><w:t>3</w:t></w:r>' + _run(" m")),
            ["10³ m"],
        ),
        (_p(_run("Let ") + "<m:oMath><m:r><m:t>x=1</m:t></m:r></m:oMath>"), ["Let x=1"]),
        (_control(_control(_p(_run("deep")))), ["deep"]),
        (
            _control(_p(_run("Click here")), "<w:showingPlcHdr/>") + _p(_run("b")),
            ["b"],
        ),
        (
            _control(_p(_run("One 1")), f"<w:docPartObj>{GALLERY}</w:docPartObj>") + _p(_run("b")),
            ["b"],
        ),
        (
            _p(
                _run("Beside.")
                + "<w:r><mc:AlternateContent><mc:Choice Requires='wps'><w:drawing><wps:txbx><w:txbxContent>"
                + _p(_run("In the box."))
                + "</w:txbxContent></wps:txbx></w:drawing></mc:Choice><mc:Fallback><w:pict><v:textbox><w:txbxContent>"
                + _p(_run("In the box."))
                + "</w:txbxContent></v:textbox></w:pict></mc:Fallback></mc:AlternateContent></w:r>"
            ),
            ["Beside.", "In the box."],
        ),
        (
            _p(
                "<w:r><w:pict><v:textbox><w:txbxContent>"
                + _p(_run("Old box."))
                + "</w:txbxContent></v:textbox></w:pict></w:r>"
            ),
            ["Old box."],
        ),
        (
            _p(
                "<w:r><mc:AlternateContent><mc:Choice Requires='wpc'><w:drawing/></mc:Choice><mc:Fallback><w:pict>"
                "<v:textbox><w:txbxContent>" + _p(_run("Only here."))
                + "</w:txbxContent></v:textbox></w:pict></mc:Fallback></mc:AlternateContent></w:r>"
            ),
            ["Only here."],
        ),
    ],
)  # fmt: skip
def test_words_of_a_paragraph(body: str, texts: list[str]) -> None:
    assert _texts(body) == texts


def test_contents_that_fill_several_paragraphs_go_and_an_open_field_hides_no_chapter() -> None:
    begin = '<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText>TOC</w:instrText></w:r>'
    begin += '<w:r><w:fldChar w:fldCharType="separate"/></w:r>'
    end = '<w:r><w:fldChar w:fldCharType="end"/></w:r>'
    closed = _p(begin + _run("One 3")) + _p(_run("Two 5")) + _p(end) + _p(_run("Text."))
    assert _texts(closed) == ["Text."]
    chapter = _p(_run("One"), '<w:pStyle w:val="Heading1"/>') + _p(_run("Text."))
    assert _texts(_p(begin + _run("One 3")) + chapter) == ["One", "Text."]


STYLES = {
    "Kapitel": '<w:name w:val="Kapitel"/><w:basedOn w:val="Heading2"/>',
    "Own": '<w:name w:val="Own"/><w:pPr><w:outlineLvl w:val="2"/></w:pPr>',
    "Plain": '<w:name w:val="Plain"/><w:basedOn w:val="Heading1"/><w:pPr><w:outlineLvl w:val="9"/></w:pPr>',
    "a1": '<w:name w:val="toc 1"/>',
    "Shell": '<w:name w:val="Source Code"/>',
    "Loop": '<w:name w:val="Loop"/><w:basedOn w:val="Loop"/>',
}


def _styles(document: Any) -> None:
    for name, inner in STYLES.items():
        xml = f'<w:style {SPACES} w:type="paragraph" w:styleId="{name}">{inner}</w:style>'
        document.styles.element.append(parse_xml(xml))


def test_headings_are_known_by_inherited_styles_and_outline_levels() -> None:
    body = "".join(
        _p(_run(text), properties)
        for text, properties in (
            ("By style", '<w:pStyle w:val="Heading1"/>'),
            ("Based on one", '<w:pStyle w:val="Kapitel"/>'),
            ("By the style's level", '<w:pStyle w:val="Own"/>'),
            ("By its own level", '<w:outlineLvl w:val="0"/>'),
            ("No heading", '<w:pStyle w:val="Plain"/>'),
            ("Contents 1", '<w:pStyle w:val="a1"/>'),
            ("ls", '<w:pStyle w:val="Shell"/>'),
            ("pwd", '<w:pStyle w:val="Shell"/>'),
            ("Loop", '<w:pStyle w:val="Loop"/>'),
        )
    )
    assert _blocks(body, _styles) == [
        ("heading", 1, "By style"), ("heading", 2, "Based on one"), ("heading", 3, "By the style's level"),
        ("heading", 1, "By its own level"), ("paragraph", 0, "No heading"),
        ("code", 0, "ls\npwd"), ("paragraph", 0, "Loop"),
    ]  # fmt: skip


def _lists(document: Any) -> None:
    levels = "".join(
        f'<w:lvl w:ilvl="{i}"><w:start w:val="1"/><w:numFmt w:val="{form}"/><w:lvlText w:val="{text}"/></w:lvl>'
        for i, (form, text) in enumerate((("decimal", "%1."), ("lowerLetter", "%2)"), ("upperRoman", "%1.%2.%3")))
    )
    root = document.part.numbering_part.element
    root.insert(0, parse_xml(f'<w:abstractNum {SPACES} w:abstractNumId="90">{levels}</w:abstractNum>'))
    root.append(parse_xml(f'<w:num {SPACES} w:numId="90"><w:abstractNumId w:val="90"/></w:num>'))
    root.append(
        parse_xml(
            f'<w:num {SPACES} w:numId="91"><w:abstractNumId w:val="90"/><w:lvlOverride w:ilvl="0">'
            '<w:startOverride w:val="4"/></w:lvlOverride></w:num>'
        )
    )


def test_items_have_the_marks_that_word_counts() -> None:
    def item(number: int, depth: int) -> str:
        return _p(_run("x"), f'<w:numPr><w:ilvl w:val="{depth}"/><w:numId w:val="{number}"/></w:numPr>')

    body = item(90, 0) + item(90, 1) + item(90, 1) + item(90, 2) + item(90, 0) + item(90, 1) + item(91, 0) + item(91, 0)
    lines = ["1. x", "  a) x", "  b) x", "    1.2.I x", "2. x", "  a) x", "4. x", "5. x"]
    lines = [line.replace("1.2.I", "1.b.I") for line in lines]  # each number in the form of its level
    assert _blocks(body, _lists) == [("list", 0, "\n".join(lines))]


def test_a_paragraph_that_leaves_its_styles_list_is_no_item() -> None:
    body = _p(_run("a"), '<w:pStyle w:val="ListBullet"/>')
    body += _p(_run("b"), '<w:pStyle w:val="ListBullet"/><w:numPr><w:numId w:val="0"/></w:numPr>')
    body += _p(_run("c"), '<w:pStyle w:val="ListParagraph"/>')
    assert _blocks(body) == [("list", 0, "- a"), ("paragraph", 0, "b"), ("paragraph", 0, "c")]


def _table(*rows: str) -> str:
    return "<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in rows) + "</w:tbl>"


def _cell(inner: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{inner if inner.startswith('<w:') else _p(_run(inner))}</w:tc>"


AB, CD = _cell("a") + _cell("b"), _cell("c") + _cell("d")
ITEM, HEADING = '<w:pStyle w:val="ListBullet"/>', '<w:pStyle w:val="Heading1"/>'


@pytest.mark.parametrize(
    ("body", "blocks"),
    [
        (_table(AB, "<w:trPr><w:del/></w:trPr>" + _cell("gone"), CD), ["a | b\nc | d"]),
        (_table(_cell("e", '<w:gridSpan w:val="2"/>') + _cell("f"), AB + _cell("3")), ["e |  | f\na | b | 3"]),
        (_table(_cell("e") + _cell(_table(AB, CD) + _p("")), AB), ["e\na | b\nc | d\na | b"]),
        (_table(_cell("e") + _cell(_p(_run("b")) + _p(_run("c"))), AB), ["e | b c\na | b"]),
        (_table(_cell("e") + _cell(_p(_run("b"), ITEM) * 2), AB), ["e\n- b\n- b\na | b"]),
        (_table(_cell("A note in a box.")), ["A note in a box."]),
        (_table(_cell(_p(_run("T"), HEADING) + _p(_run("l"))) + _cell("right")), ["T", "l", "right"]),
        ("<w:tbl>" + _control("<w:tr>" + _control(_cell("a")) + _cell("b") + "</w:tr>") + "</w:tbl>", ["a | b"]),
        (_table(_cell(_p("<w:ins>" + _run("new") + "</w:ins>")) + _cell("b")), ["new | b"]),
    ],
)
def test_tables(body: str, blocks: list[str]) -> None:
    assert _texts(body) == blocks


def test_notes_of_a_list_and_of_a_table_stand_behind_it() -> None:
    def notes(document: Any) -> None:
        from docx.opc.packuri import PackURI
        from docx.opc.part import Part

        xml = "".join(f'<w:endnote w:id="{i}">{_p(_run(f"Note {i}."))}</w:endnote>' for i in (1, 2))
        kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.endnotes+xml"
        blob = f"<w:endnotes {SPACES}>{xml}</w:endnotes>".encode()
        document.part.relate_to(
            Part(PackURI("/word/endnotes.xml"), kind, blob, document.part.package),
            "http://schemas.openxmlformats.org/officeDocument/2006/relationships/endnotes",
        )

    def refers(text: str, note: int) -> str:
        return _run(text) + f'<w:r><w:endnoteReference w:id="{note}"/></w:r>'

    item = '<w:pStyle w:val="ListBullet"/>'
    body = _p(refers("a", 1), item) + _p(_run("b"), item)
    body += _table(_cell(_p(refers("c", 2))) + _cell("d")) + _p(_run("e") + '<w:r><w:endnoteReference w:id="9"/></w:r>')
    assert [text for _, _, text in _blocks(body, notes)] == ["- a\n- b", "Note 1.", "c | d", "Note 2.", "e"]
