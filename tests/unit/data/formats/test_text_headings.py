"""Headings of plain text: what is one by its look and by what stands below it, how deep, and what is none."""

import time

import pytest

from ray_ft.data.formats.base import Unreadable
from ray_ft.data.formats.text import parse_plain, parse_text
from ray_ft.recipes import Heading
from ray_ft.rows import Document

SETTINGS = """\
==================
Settings of a pump
==================

.. contents::

``rate`` says how much a pump moves, and ``delay`` how long it waits for its valve.

Rate
====

The rate is given in litres in a minute, and the limit is forty of them.

Delay
-----

The delay is given in seconds and counts from the moment at which the valve opens.
"""
PUMPCTL = """\
pumpctl(1)
==========

NAME
----
pumpctl - control the pumps of the hall

SYNOPSIS
--------
[verse]
'pumpctl' start <number>

DESCRIPTION
-----------
Starts the pump with the number and waits until it turns, for ten seconds at most.

EXAMPLES
--------
----
pumpctl start 3

pumpctl stop 3
----

OPTIONS
-------
--fast::
\tStart without the check of the seals, which takes three seconds.
"""
GUIDE = """\
INSTALLATION GUIDE

1. OVERVIEW

The controller is mounted on a rail in the cabinet and needs a supply of 24 V.

1.1 Wiring

Connect the shield to earth on one side only, or currents will flow along it.

2. COMMISSIONING
================

Set the address with the two rotary switches before you turn the supply on.

NOTES
-----

The address 00 is reserved for the service tool.
"""
MANUAL = (
    "PUMP(1)       Manual       PUMP(1)\n\nNAME\n       pump - start it\n\n"
    "SYNOPSIS\n       pump [-f]\n\nOPTIONS\n       -f\n"
)
NUMBERS = "1 Introduction\n\nText.\n\n1.1 Scope\n\nText.\n\n1.1.1 Details\n\nText.\n\n2 References\n\nText.\n"
LAW = '0. Definitions.\n\n"We" are those.\n\n1. Source Code.\n\nThe source is text.\n'
LONG_RULES = f"README\n{'=' * 60}\n\nText.\n\nUsage\n{'-' * 60}\n\nText.\n"


def headings(text: str) -> list[tuple[int, str]]:
    return [(b.level, b.text) for b in parse_text(text).blocks if b.type == "heading"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SETTINGS, [(1, "Settings of a pump"), (2, "Rate"), (3, "Delay")]),
        (
            PUMPCTL,
            [(1, "pumpctl(1)")] + [(2, n) for n in ("NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "OPTIONS")],
        ),
        (
            GUIDE,
            [(1, "INSTALLATION GUIDE"), (2, "1. OVERVIEW"), (3, "1.1 Wiring"), (2, "2. COMMISSIONING"), (3, "NOTES")],
        ),
        (MANUAL, [(1, "NAME"), (1, "SYNOPSIS"), (1, "OPTIONS")]),
        (NUMBERS, [(1, "1 Introduction"), (2, "1.1 Scope"), (3, "1.1.1 Details"), (1, "2 References")]),
        (LAW, [(1, "0. Definitions."), (1, "1. Source Code.")]),
        (LONG_RULES, [(1, "README"), (2, "Usage")]),
        ("*** FIRST ***\n\nText of it.\n\n*** SECOND ***\n\nMore.\n", [(1, "FIRST"), (1, "SECOND")]),
        ("= Guide\n\nText.\n\n== Start\n\nText.\n", [(1, "Guide"), (2, "Start")]),
        ("# Pump\n\nA tool.\n\n## Install\n\npip install.\n", [(1, "Pump"), (2, "Install")]),
        ("Chapter 1: Begin\n\nDark.\n\nChapter 2: End\n\nLight.\n", [(1, "Chapter 1: Begin"), (1, "Chapter 2: End")]),
        ("第一章 概述\n\n水泵。\n\n第二章 启动\n\n确认。\n", [(1, "第一章 概述"), (1, "第二章 启动")]),
        ("I. MEANS\n\nText.\n\nII. ENDS\n\nText.\n", [(1, "I. MEANS"), (1, "II. ENDS")]),
    ],
)
def test_headings_are_told_by_their_look_and_level(text: str, expected: list[tuple[int, str]]) -> None:
    assert headings(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "To start:\n\n1. Open the valve\n\n2. Close the door\n\n3. Wait\n\nThen it runs.\n",
        "1. The pump is started when the valve is closed.\n\nIt runs.\n\n2. It is stopped then by hand.\n\nIt stops.\n",
        "Name      Age\n--------------\nJoe       5\n\nName | Age\n-----|-----\na | b\n",
        "One paragraph that ends here and has\nseveral lines\n-----\nAnother one.\n\n-----------\n\nThird.\n",
        "12:00 START\n12:01 ok\n\nERROR\n\n12:02 failed\n",
        "# one comment\n\nkey = 1\n\n# another comment\n\nkey = 2\n",
        "Colours\n\nRED\n\nGREEN\n\nBLUE\n\nThose are they.\n",
        "Hello,\n\nplease see below.\n\nTHANKS\n\n--\nJoe\n",
        "This whole sentence is followed by a rule that ends a part of the text.\n---------------------\n\nText.\n",
    ],
    ids=["items", "sentences", "tables", "rules", "a log", "comments", "words", "mail", "a sentence"],
)
def test_what_only_looks_like_a_heading_is_none(text: str) -> None:
    assert headings(text) == []


def test_the_heading_recipe_asks_for_sections_of_plain_text() -> None:
    parsed = parse_text(SETTINGS)
    document = Document("0:a.txt", parsed.text, "a.txt", "text", "", parsed.blocks)
    recipe = Heading()
    made = recipe.examples(recipe.chunk(document, lambda text: len(text.split())), None)
    assert [e.prompt for e in made][1:] == [
        "Write the section “Settings of a pump > Rate” of a.txt.",
        "Write the section “Settings of a pump > Rate > Delay” of a.txt.",
    ]
    assert not any("Delay\n---" in e.completion for e in made)


def test_marks_of_asciidoc_are_no_text_and_its_listings_are_code() -> None:
    blocks = [(b.type, b.text) for b in parse_text(PUMPCTL).blocks if b.type != "heading"]
    assert blocks[1] == ("code", "```\n'pumpctl' start <number>\n```")
    assert ("code", "```\npumpctl start 3\n\npumpctl stop 3\n```") in blocks


def test_restructured_text_is_read_as_such_whatever_its_name() -> None:
    text = "Title\n=====\n\nSee :ref:`the dock <dock>`::\n\n    Code title\n    ==========\n\nMore\n----\n\nText.\n"
    assert [(b.type, b.text.split("\n")[0]) for b in parse_text(text).blocks] == [
        ("heading", "Title"), ("code", "See ``the dock``:"), ("heading", "More"), ("paragraph", "Text."),
    ]  # fmt: skip
    assert parse_plain(text).text == text  # lines of datasets stay as they are


def test_a_raster_of_numbers_is_data() -> None:
    with pytest.raises(Unreadable, match="data, not text"):
        parse_text("1.25 3.5 -7.0 12\n" * 200)
    assert parse_text("1.25 3.5 -7.0 12\n").blocks


def test_spans_are_exact_and_a_long_text_takes_no_long_time() -> None:
    for text in (SETTINGS, PUMPCTL, GUIDE, MANUAL):
        parsed = parse_text(text)
        assert all(b.text == parsed.text[b.start : b.end] for b in parsed.blocks)
        assert [b.start for b in parsed.blocks] == sorted(b.start for b in parsed.blocks)
    started = time.process_time()
    for text in ("A\n\n" * 100_000, "=====\n" * 100_000, "1. X\n\n" * 50_000, "[a]\n----\n" * 50_000):
        parse_plain(text)
    assert time.process_time() - started < 20


def test_steps_that_begin_with_a_condition_are_no_headings() -> None:
    step = "1. If the lamp of the pump is red, call\n\n   pumpctl stop"
    text = f"1. Start\n\nThe pump is off.\n\n{step}\n\n2. Stop\n\nIt is on.\n"
    assert [b.text for b in parse_text(text).blocks if b.type == "heading"] == ["1. Start", "2. Stop"]


def test_pages_of_manuals_and_their_parts_are_asciidoc() -> None:
    terms = "FERRY_BELL::\n\tIf set, rings.\nFERRY_RAMP::\n\tIf set, opens.\n"
    page = f"ferry(1)\n========\n\nENVIRONMENT\n-----------\n{terms}"
    assert parse_text(page).blocks[-1].text == "- FERRY_BELL: If set, rings.\n- FERRY_RAMP: If set, opens."
    part = "".join(f"linkgit:ferry-{name}[1]::\n\tOpens the {name}.\n\n" for name in ("bow", "stern", "side"))
    assert parse_text(part).text.startswith("- ferry-bow(1): Opens the bow.")
    notes = "Words:\n\nfirst::\nsecond::\nthird::\n"
    assert parse_text(notes).text == notes


def test_a_sentence_of_a_script_without_spaces_is_no_title() -> None:
    sentence = "== 启动之前请确认阀门已经关闭，并且按住红色按钮五秒钟。 ==\n\n等待指示灯变成绿色。\n\n"
    title = "== 启动步骤 ==\n\n等待指示灯变成绿色。\n\n"
    assert [name for _, name in headings(title * 3)] == ["启动步骤"] * 3
    assert headings(sentence * 3) == []
