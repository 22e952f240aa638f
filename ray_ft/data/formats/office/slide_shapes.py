"""What stands in a slide's shapes: paragraphs and lists, rows of tables, titles and values of charts, diagrams."""

from collections.abc import Iterator
from typing import Any

from ray_ft.data.formats.assemble import Piece, row_lines
from ray_ft.data.formats.closed_xml import xml_tree
from ray_ft.data.formats.content.raised import lowered, raised
from ray_ft.data.formats.office import row_text
from ray_ft.data.formats.office.number_formats import shown_number

A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
DIAGRAM = "http://schemas.openxmlformats.org/drawingml/2006/diagram"
RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}dm"
POINT = f"{{{DIAGRAM}}}pt"
UNREAD_FIELDS = ("slidenum", "datetime")
MAX_POINTS = 200  # of a chart


def text_pieces(paragraphs: Any, page: int) -> Iterator[Piece]:
    """One paragraph, or a list of several: what a slide's body is."""
    lines = [("  " * paragraph.level, _words(paragraph._p)) for paragraph in paragraphs]
    lines = [(indent, words) for indent, words in lines if words]
    if len(lines) == 1:
        yield Piece("paragraph", lines[0][1], page=page)
    elif lines:
        yield Piece("list", "\n".join(f"{indent}- {words}" for indent, words in lines), page=page)


def table_piece(table: Any, page: int) -> Piece:
    """Rows of a table; a cell that reaches over rows stands in each of them, over columns once."""
    lines: list[str] = []
    above: list[str] = []
    for row in table.rows:
        words: list[str] = []
        for number, cell in enumerate(row.cells):
            own = " ".join(filter(None, (_words(paragraph._p) for paragraph in cell.text_frame.paragraphs)))
            reaches_down = cell.is_spanned and cell._tc.get("vMerge") in ("1", "true") and number < len(above)
            words.append(above[number] if reaches_down and not own else "" if cell.is_spanned else own)
        lines += row_lines(words)
        above = words
    return Piece("table", "\n".join(lines), page=page)


def chart_pieces(chart: Any, page: int) -> Iterator[Piece]:
    """A chart's title as a paragraph, and its values as a table of categories and series."""
    if chart.has_title and (title := " ".join(chart.chart_title.text_frame.text.split())):
        yield Piece("paragraph", title, page=page)
    for plot in chart.plots:
        series = list(plot.series)
        names = [str(name) for name in plot.categories][:MAX_POINTS]
        head = row_text(["", *(one.name for one in series)])
        rows = [[*_values(one)] for one in series]
        names = names or [str(i + 1) for i in range(min(max(map(len, rows), default=0), MAX_POINTS))]
        body = [row_text([name, *(row[i] if i < len(row) else "" for row in rows)]) for i, name in enumerate(names)]
        if body:
            yield Piece("table", "\n".join([head, *body] if head else body), page=page)


def diagram_pieces(shape: Any, page: int) -> Iterator[Piece]:
    """The points of a diagram such as SmartArt, which lie in a part of their own."""
    for node in shape._element.iter(f"{{{DIAGRAM}}}relIds"):
        relation = node.get(RELATION)
        if relation is None or relation not in shape.part.rels:
            continue
        part = shape.part.related_part(relation)
        points = [
            _words(point)
            for point in xml_tree(part.blob).iter(POINT)
            if point.get("type") not in ("pres", "parTrans", "sibTrans")
        ]
        lines = [f"- {words}" for words in points if words]
        if lines:
            yield Piece("list", "\n".join(lines), page=page)


def _values(series: Any) -> list[str]:
    """The values of a series in their format."""
    found = series._element.xpath(".//c:val//c:formatCode | .//c:yVal//c:formatCode")
    code = (found[0].text or "") if found else ""
    plain = code.lower() in ("", "general")
    return ["" if value is None else shown_number(value, "" if plain else code) for value in series.values]


def _words(node: Any) -> str:
    """The words of a paragraph; what a field fills in for each slide is left out."""
    parts: list[str] = []
    for part in node.iter(f"{A}t", f"{A}br"):
        parent = part.getparent()
        if part.tag == f"{A}br":
            parts.append(" ")
        elif parent.tag != f"{A}fld" or not (parent.get("type") or "").startswith(UNREAD_FIELDS):
            properties = parent.find(f"{A}rPr")
            shift = (properties.get("baseline") or "0") if properties is not None else "0"
            text, before = part.text or "", "".join(parts[-2:])
            parts.append(
                lowered(text, before) if shift.startswith("-") else text if shift == "0" else raised(text, before)
            )
    return " ".join("".join(parts).split())
