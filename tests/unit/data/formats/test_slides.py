"""Slides as they are read: in order, with charts and notes, without what stands on each of them."""

import io
from collections.abc import Callable
from typing import Any

import pptx
import pytest
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.oxml import parse_xml
from pptx.util import Inches

from ray_ft.data.formats.office.slides import parse_pptx

NAMES = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" ' + (
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
)


def _blocks(fill: Callable[[Any], object], layout: int = 6) -> list[tuple[str, str]]:
    show = pptx.Presentation()
    fill(show.slides.add_slide(show.slide_layouts[layout]))
    made = io.BytesIO()
    show.save(made)
    parsed = parse_pptx(made.getvalue())
    assert all(b.text == parsed.text[b.start : b.end] and b.page == 1 for b in parsed.blocks)
    return [(b.type, b.text) for b in parsed.blocks]


def _boxes(*places: tuple[str, float, float, float, float]) -> Callable[[Any], None]:
    def fill(slide: Any) -> None:
        for words, left, top, width, height in places:
            box = slide.shapes.add_textbox(Inches(left), Inches(top), Inches(width), Inches(height))
            box.text_frame.text = words

    return fill


@pytest.mark.parametrize(
    "places",
    [
        [("c", 1, 5, 8, 1), ("a", 1, 1, 8, 1), ("b", 1, 3, 8, 1)],
        [("c", 5, 2, 4, 4), ("b", 1, 2, 3, 4), ("a", 1, 0, 8, 1)],
        [("d", 5, 4, 3, 2), ("b", 1, 4, 3, 2), ("c", 5, 2, 3, 1), ("a", 1, 2, 3, 1)],
        [("a", 1, 2, 3, 1), ("b", 5, 2, 3, 1), ("c", 1, 4, 3, 2), ("d", 5, 4, 3, 2)],
        [("a", 1, 2, 3, 1), ("b", 1, 4, 3, 2), ("c", 5, 2, 3, 1), ("d", 5, 4, 3, 2)],
        [("a", 1, 1, 5, 5), ("b", 2, 2, 2, 2), ("c", 3, 1.5, 2, 2)],
    ],
    ids=["rows", "two columns", "comparison", "grid by rows", "grid by columns", "one upon the other"],
)
def test_shapes_are_read_from_top_to_bottom(places: list[tuple[str, float, float, float, float]]) -> None:
    assert [text for _, text in _blocks(_boxes(*places))] == sorted(place[0] for place in places)


def test_numbers_dates_and_footers_of_slides_are_left_out() -> None:
    def fill(slide: Any) -> None:
        slide.shapes.title.text = "Pumps"
        for number, (kind, words) in enumerate((("sldNum", "7"), ("dt", "1 May"), ("ftr", "Confidential")), 90):
            slide.shapes._spTree.append(
                parse_xml(
                    f'<p:sp {NAMES}><p:nvSpPr><p:cNvPr id="{number}" name="x"/><p:cNvSpPr/><p:nvPr>'
                    f'<p:ph type="{kind}" idx="{number}"/></p:nvPr></p:nvSpPr><p:spPr/>'
                    f"<p:txBody><a:bodyPr/><a:p><a:r><a:t>{words}</a:t></a:r></a:p></p:txBody></p:sp>"
                )
            )
        _boxes(("It pumps.", 1, 3, 5, 1))(slide)
        box = slide.shapes[-1].text_frame.paragraphs[0]._p
        box.append(parse_xml(f'<a:fld {NAMES} id="{{A}}" type="slidenum"><a:t>7</a:t></a:fld>'))

    assert _blocks(fill, layout=5) == [("heading", "Pumps"), ("paragraph", "It pumps.")]


def test_a_chart_tells_its_title_and_its_values() -> None:
    def fill(slide: Any) -> None:
        data = CategoryChartData(number_format="0%")
        data.categories = ["North", "South"]
        data.add_series("2023", (0.25, 0.5))
        data.add_series("2024", (0.75, None))
        frame = slide.shapes.add_chart(XL_CHART_TYPE.BAR_CLUSTERED, Inches(1), Inches(1), Inches(5), Inches(3), data)
        frame.chart.has_title = True
        frame.chart.chart_title.text_frame.text = "Share of ferries"

    assert _blocks(fill) == [
        ("paragraph", "Share of ferries"),
        ("table", " | 2023 | 2024\nNorth | 25% | 75%\nSouth | 50%"),
    ]


def test_groups_raised_signs_and_merged_cells() -> None:
    def fill(slide: Any) -> None:
        group = slide.shapes.add_group_shape()
        for words, top in (("b", 3), ("a", 1)):
            group.shapes.add_textbox(Inches(1), Inches(top), Inches(1), Inches(1)).text_frame.text = words
        run = group.shapes[0].text_frame.paragraphs[0].add_run()
        run.text = "2"
        run.font._element.set("baseline", "30000")
        table = slide.shapes.add_table(2, 3, Inches(1), Inches(5), Inches(5), Inches(1)).table
        for i, words in enumerate(("r", "s", "", "", "t", "u")):
            table.cell(i // 3, i % 3).text = words
        table.cell(0, 0).merge(table.cell(1, 0))
        table.cell(0, 1).merge(table.cell(0, 2))

    assert _blocks(fill) == [("paragraph", "a"), ("paragraph", "b²"), ("table", "r | s\nr | t | u")]


def test_notes_of_several_paragraphs_are_told_apart() -> None:
    def fill(slide: Any) -> None:
        slide.notes_slide.notes_text_frame.text = "Say it slowly.\nWait."

    assert _blocks(fill) == [("list", "- Say it slowly.\n- Wait.")]
