"""What a reader sees of reStructuredText: directives in words, and nothing of what only leads elsewhere."""

import pytest

from ray_ft.data.formats.rst import parse_rst
from ray_ft.recipes import Paragraph
from ray_ft.rows import Document

PAGE = """\
.. _pumps:

Pumps
=====

.. module:: pumps
   :synopsis: Pumps.

A pump turns. [#]_ See :ref:`valves` and :ref:`the
bay <bay>`, or :doc:`all of the pumps in
the long hall </hall>`. It is run so::

    pumpctl start

.. code-block:: python
    :caption: run.py

    pumps.start()

.. image:: pump.png
   :alt: A pump

.. versionadded:: 1.2 The second pump.

.. function:: start(number)
.. function:: restart(number)

    Starts one.

.. warning:: It is hot.

.. a comment
   of two lines

.. _valves:

Valves and taps
---------------

__ https://example.com

They open.
"""


def test_directives_are_shown_in_words_and_targets_comments_and_pictures_not_at_all() -> None:
    parsed = parse_rst(PAGE)
    words = " ".join(parsed.text.split())
    assert words == (
        "Pumps ===== A pump turns. See Valves and taps and ``the bay``, or ``all of the pumps in the long hall``. "
        "It is run so: pumpctl start run.py: pumps.start() New in version 1.2: The second pump. "
        "``start(number)`` ``restart(number)`` Starts one. Warning: It is hot. "
        "Valves and taps --------------- They open."
    )


def test_lines_keep_their_numbers_and_blocks_are_cut_from_what_is_shown() -> None:
    parsed = parse_rst(PAGE)
    assert parsed.text.count("\n") == PAGE.count("\n")
    assert all(block.text == parsed.text[block.start : block.end] for block in parsed.blocks)
    assert [b.text for b in parsed.blocks if b.type == "heading"] == ["Pumps", "Valves and taps"]
    assert PAGE.split("\n").index("Valves and taps") + 1 == parsed.blocks[-2].line_start


def test_passages_have_no_marks_of_what_is_left_out() -> None:
    parsed = parse_rst(PAGE)
    document = Document("0:a.rst", parsed.text, "a.rst", "rst", blocks=parsed.blocks)
    recipe = Paragraph()
    made = recipe.examples(recipe.chunk(document, lambda text: len(text.split())), None)
    assert not any(mark in e.completion for e in made for mark in (".. ", "::", ":alt:", "]_", "example.com"))


@pytest.mark.parametrize("text", ["a = b\n\n.. ", "..", "x::", "``a``\n..\n", ".. note::", ".. |a| image:: b\n"])
def test_half_of_a_mark_is_no_error(text: str) -> None:
    assert parse_rst(text).text.count("\n") == text.count("\n")


def test_a_directive_in_front_of_a_heading_that_says_the_same_is_not_shown_and_a_version_alone_leads_in_nothing() -> (
    None
):
    text = (
        "Ramps\n=====\n\nOpen them.\n\n.. versionadded:: 1.2\n\nClose them.\n\n.. setting:: RAMP_BELL\n\n"
        "``RAMP_BELL``\n-------------\n\nRings.\n\n.. setting:: DOOR\n\nOpens.\n"
    )
    shown = parse_rst(text).text
    assert shown.count("RAMP_BELL") == 1
    assert "New in version 1.2.\n" in shown
    assert "``DOOR``\n" in shown
