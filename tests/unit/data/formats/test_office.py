"""Word, slides, workbooks, notebooks and CSV: structure kept, spans exact, data left out."""

import io
import json
from typing import Any

import docx
import openpyxl
import pptx
import pytest
from pptx.util import Inches

from ray_ft.data.formats.base import Parsed, Unreadable
from ray_ft.data.formats.delimited import parse_csv
from ray_ft.data.formats.notebook import parse_notebook
from ray_ft.data.formats.office import check_sizes
from ray_ft.data.formats.office.slides import parse_pptx
from ray_ft.data.formats.office.word import parse_docx
from ray_ft.data.formats.office.workbook import parse_xlsx


def _saved(document: Any) -> bytes:
    made = io.BytesIO()
    document.save(made)
    return made.getvalue()


def _outline(parsed: Parsed) -> list[tuple[str, int, int, str]]:
    assert all(b.text == parsed.text[b.start : b.end] for b in parsed.blocks)
    return [(b.type, b.level, b.page, b.text) for b in parsed.blocks]


def test_word_keeps_headings_lists_and_tables_in_order() -> None:
    document = docx.Document()
    document.core_properties.title = "Ferry"
    document.add_heading("Ferry", 0)
    document.add_heading("Doors", 2)
    document.add_paragraph("They are closed.")
    document.add_paragraph("one", style="List Bullet")
    document.add_paragraph("two", style="List Bullet")
    table = document.add_table(rows=2, cols=3)
    for i, words in enumerate(("Route", "Minutes", "Days", "North", "40", "all")):
        table.rows[i // 3].cells[i % 3].text = words
    table.rows[1].cells[1].merge(table.rows[1].cells[2])
    document.add_paragraph("The end.")
    parsed = parse_docx(_saved(document))
    assert parsed.metadata == {"title": "Ferry"}
    assert _outline(parsed) == [
        ("heading", 1, 0, "Ferry"),
        ("heading", 2, 0, "Doors"),
        ("paragraph", 0, 0, "They are closed."),
        ("list", 0, 0, "- one\n- two"),
        ("table", 0, 0, "Route | Minutes | Days\nNorth | 40 all"),
        ("paragraph", 0, 0, "The end."),
    ]


def test_slides_give_titles_lists_tables_and_notes_with_their_number() -> None:
    show = pptx.Presentation()
    for number in (1, 2):
        slide = show.slides.add_slide(show.slide_layouts[1])
        slide.shapes.title.text = f"Slide {number}"
        slide.placeholders[1].text = "one\ntwo"
    table = show.slides[1].shapes.add_table(2, 2, Inches(1), Inches(1), Inches(2), Inches(1)).table
    for i, words in enumerate(("a", "b", "1", "2")):
        table.cell(i // 2, i % 2).text = words
    show.slides[1].notes_slide.notes_text_frame.text = "Say it slowly."
    assert _outline(parse_pptx(_saved(show))) == [
        ("heading", 1, 1, "Slide 1"),
        ("list", 0, 1, "- one\n- two"),
        ("heading", 1, 2, "Slide 2"),
        ("list", 0, 2, "- one\n- two"),
        ("table", 0, 2, "a | b\n1 | 2"),
        ("paragraph", 0, 2, "Say it slowly."),
    ]


def test_a_workbook_gives_its_sheets_as_tables_that_repeat_the_names_of_columns() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Routes"
    sheet.append(["Route", "Minutes"])
    for i in range(60):
        sheet.append([f"r{i}", i])
    book.create_sheet("Empty")
    hidden = book.create_sheet("Hidden")
    hidden.append(["secret"])
    hidden.sheet_state = "hidden"
    blocks = _outline(parse_xlsx(_saved(book)))
    assert [b[:3] for b in blocks] == [("heading", 1, 1), ("table", 0, 1), ("table", 0, 1)]
    assert blocks[0][3] == "Routes"
    # 49 rows stand below the names in the first block, and the other 11 in the second.
    assert [b[3].split("\n")[0] for b in blocks[1:]] == ["Route | Minutes"] * 2
    assert blocks[2][3].split("\n")[1:] == [f"r{i} | {i}" for i in range(49, 60)]


def test_a_notebook_gives_text_and_code_of_its_cells_and_short_outputs() -> None:
    def output(text: str) -> dict[str, Any]:
        return {"output_type": "stream", "name": "stdout", "text": text}

    cells = [
        {"cell_type": "markdown", "source": "# Ferry\n\nIt sails.", "metadata": {}, "id": "a"},
        {
            "cell_type": "code", "source": "print(1)\n", "metadata": {}, "id": "b", "execution_count": 1,
            "outputs": [output("\x1b[31m1\x1b[0m\n")],
        },
        {
            "cell_type": "code", "source": "show()", "metadata": {}, "id": "c", "execution_count": 2,
            "outputs": [
                output("x" * 5000), {"output_type": "display_data", "data": {"image/png": "A" * 400}, "metadata": {}}
            ],
        },
        {"cell_type": "raw", "source": "raw", "metadata": {}, "id": "d"},
    ]  # fmt: skip
    text = json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    assert _outline(parse_notebook(text)) == [
        ("heading", 1, 1, "Ferry"),
        ("paragraph", 0, 1, "It sails."),
        ("code", 0, 2, "```python\nprint(1)\n```"),
        ("code", 0, 2, "```text\n1\n```"),
        ("code", 0, 3, "```python\nshow()\n```"),
    ]


def test_csv_is_cut_between_records_and_knows_its_columns() -> None:
    records = [f'{i};"line {i}\nand its second"' for i in range(60)]
    text = "\n".join(["id;words", *records]) + "\n"
    parsed = parse_csv(text)
    assert parsed.metadata == {"columns": "id, words"}
    # The names and 49 records of two lines are lines 1 to 99.
    assert [(b.type, b.line_start, b.line_end) for b in parsed.blocks] == [("table", 1, 99), ("table", 100, 121)]
    assert "\n".join(b.text for b in parsed.blocks) == text.rstrip("\n")


def test_archives_of_too_many_members_or_too_much_are_bombs_and_small_ones_are_not() -> None:
    check_sizes([(10 * 2**20, 10)])
    for members in ([(1, 1)] * 10_001, [(600 * 2**20, 600 * 2**20)], [(20 * 2**20, 1000)]):
        with pytest.raises(Unreadable, match="archive bomb"):
            check_sizes(members)
