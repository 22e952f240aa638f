"""Parsers: what is found, and that every span is exact whatever the input."""

import inspect
import random
from pathlib import Path

import pytest

from ray_ft.data.formats import FORMATS, Format, Parsed, format_of
from ray_ft.data.ingest.reading import parse
from ray_ft.grammars import GRAMMARS

MARKDOWN = """---
title: Ferry
---
# One `x` #

Para *a*
goes on.

Sub
===

- a
  - b

```python
x = "# no heading"
```

| a | b |
|---|---|
| 1 | 2 |

<!-- not for readers -->

![lone image](a.png)

```{toctree}
other
```
"""

RST = """=====
Ferry
=====

Uses :class:`~ship.Engine` and `the site <https://example.org>`_.

.. toctree::

   other

.. raw:: html

   <script>alert(1)</script>

Install
-------

Run it::

    pip install ferry

    ferry --go

- one
- two

.. note:: Mind the gap.

.. include:: /etc/passwd

.. unknown-directive:: x

=====  =====
a      b
=====  =====
1      2
=====  =====

Deep
~~~~

.. a comment

Last :unknown:`role`.
"""

HTML = """<html><head><title>Ferry guide</title><style>p{}</style></head><body>
<nav>Home | Docs</nav><script>var x = 1;</script>
<main><h1>Ferry<a class="headerlink" href="#f">¶</a></h1>
<p>Use <code>--go</code>, <b>now</b>.</p>loose text
<ul><li>one<ul><li>inner</li></ul></li><li>two</li></ul>
<pre>def f():
    return 1
</pre>
<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>
<h2>Next</h2><dl><dt>term</dt><dd>meaning</dd></dl>
</main><footer>imprint</footer></body></html>"""

PYTHON = '''"""Module of é."""

import os

X = 1

# About f.
@cache
def f():
    return os.sep


class A:
    pass


print(X)
'''


def _parse(path: str, text: str) -> tuple[Parsed, str]:
    kind = format_of(path)
    assert kind is not None
    return parse(text, kind)


def _outline(path: str, text: str) -> list[tuple[str, int, str]]:
    return [(b.type, b.level, b.text) for b in _parse(path, text)[0].blocks]


def test_markdown_gives_blocks_of_every_type_without_comments_and_lone_images() -> None:
    assert _outline("a.md", MARKDOWN) == [
        ("heading", 1, "One `x`"),
        ("paragraph", 0, "Para *a*\ngoes on."),
        ("heading", 1, "Sub"),
        ("list", 0, "- a\n  - b"),
        ("code", 0, '```python\nx = "# no heading"\n```'),
        ("table", 0, "| a | b |\n|---|---|\n| 1 | 2 |"),
    ]


def test_markdown_front_matter_is_metadata_and_lines_are_counted_from_one() -> None:
    parsed, _ = _parse("a.md", MARKDOWN)
    assert parsed.metadata == {"title": "Ferry"}
    assert [(b.line_start, b.line_end) for b in parsed.blocks[:3]] == [(4, 4), (6, 7), (9, 10)]


def test_rst_gives_sections_and_blocks_without_navigation_raw_html_or_other_files() -> None:
    assert _outline("a.rst", RST) == [
        ("heading", 1, "Ferry"),
        ("paragraph", 0, "Uses ``Engine`` and the site."),
        ("heading", 2, "Install"),
        ("code", 0, "Run it:\n\n    pip install ferry\n\n    ferry --go"),
        ("list", 0, "- one\n- two"),
        ("paragraph", 0, "Note: Mind the gap."),
        ("paragraph", 0, "``x``"),
        ("table", 0, "=====  =====\na      b\n=====  =====\n1      2\n=====  ====="),
        ("heading", 3, "Deep"),
        ("paragraph", 0, "Last ``role``."),
    ]


def test_rst_that_docutils_does_not_know_says_nothing_on_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    _parse("a.rst", RST)
    assert capfd.readouterr() == ("", "")


def test_html_becomes_light_markdown_of_its_main_part() -> None:
    parsed, _ = _parse("a.html", HTML)
    assert parsed.metadata == {"title": "Ferry guide"}
    assert parsed.text == (
        "# Ferry\n\nUse `--go`, now.\n\nloose text\n\n- one\n  - inner\n- two\n\n"
        "```\ndef f():\n    return 1\n```\n\na | b\n1 | 2\n\n## Next\n\nterm\n\nmeaning\n"
    )
    assert [b.type for b in parsed.blocks] == [
        "heading", "paragraph", "paragraph", "list", "code", "table", "heading", "paragraph", "paragraph",
    ]  # fmt: skip


def test_python_gives_its_docstring_and_one_block_for_each_definition() -> None:
    assert _outline("a.py", PYTHON) == [
        ("paragraph", 0, '"""Module of é."""'),
        ("code", 0, "import os\n\nX = 1"),
        ("code", 0, "# About f.\n@cache\ndef f():\n    return os.sep"),
        ("code", 0, "class A:\n    pass"),
        ("code", 0, "print(X)"),
    ]


def test_code_with_errors_keeps_what_parses_and_the_note_says_so() -> None:
    parsed, note = _parse("a.py", "def f():\n    print 'x'\n\nx = = 1\n")
    assert ([d.name for d in parsed.definitions], note) == (["f"], "python: parts do not parse")
    assert [b.text for b in parsed.blocks] == ["def f():\n    print 'x'", "x = = 1"]


def test_plain_text_gives_paragraphs_and_lists() -> None:
    assert _outline("a.txt", "One\ntwo.\n\n- a\n- b\n") == [("paragraph", 0, "One\ntwo."), ("list", 0, "- a\n- b")]


@pytest.mark.parametrize(
    "path", ["b.MD", "README", "x/y.htm", "a.pyi", "Main.java", "pipeline.yaml", "a.PDF", "a.ipynb"]
)
def test_these_files_are_read(path: str) -> None:
    assert format_of(path) is not None


@pytest.mark.parametrize("path", ["a.png", "Makefile.am", "a.doc", "a.tar.gz", ".gitignore", "data.bin"])
def test_these_files_are_not_read(path: str) -> None:
    assert format_of(path) is None


def test_only_code_has_a_language() -> None:
    assert {FORMATS[s].language for s in (".md", ".rst", ".html", ".txt")} == {""}
    assert (FORMATS[".py"].language, FORMATS[".java"].language) == ("python", "java")


@pytest.mark.parametrize(
    ("path", "sample"),
    [
        ("a.md", MARKDOWN),
        ("a.rst", RST),
        ("a.html", HTML),
        ("a.py", PYTHON),
        ("a.txt", MARKDOWN),
        ("a.sh", PYTHON),
        ("a.yml", PYTHON),
    ],
)
def test_spans_are_exact_and_in_order_for_damaged_input_too(path: str, sample: str) -> None:
    rng = random.Random(0)
    for _ in range(150):
        text = list(sample)
        for _ in range(rng.randrange(0, 12)):
            i = rng.randrange(len(text))
            text[i] = rng.choice(["", "\n", "é", "`", "<", "\t", "=", text[i] * 3, "\x0c", "\u2028"])
        parsed, _ = _parse(path, "".join(text))
        position = 0
        for block in parsed.blocks:
            assert block.text == parsed.text[block.start : block.end]
            assert block.text.strip()
            assert position <= block.start
            assert parsed.text.count("\n", 0, block.start) + 1 >= block.line_start
            assert parsed.text.count("\n", 0, block.end) + 1 <= block.line_end
            position = block.end


def test_deeply_nested_html_does_not_exhaust_the_stack() -> None:
    parsed, note = _parse("a.html", "<div>" * 5000 + "deep" + "</div>" * 5000)
    assert (parsed.text.strip(), note) == ("deep", "")


def test_a_format_is_one_file_of_at_most_300_lines_and_one_line_of_the_registry() -> None:
    registry = Path(inspect.getfile(Format)).read_text().splitlines()
    parsers = {f.parse for f in FORMATS.values() if f.name not in GRAMMARS}
    for source in {Path(inspect.getfile(parser)) for parser in parsers}:
        assert len(source.read_text().splitlines()) <= 300, source.name
    for module in {parser.__module__ for parser in parsers}:
        assert sum(line.startswith(f"from {module} import") for line in registry) == 1


def test_sections_of_rst_are_those_that_all_of_docutils_finds() -> None:
    from docutils import nodes
    from docutils.parsers.rst import Parser
    from docutils.utils import new_document

    from ray_ft.data.formats.rst import parse_rst
    from ray_ft.data.formats.rst.sections import _settings

    text = """
.. _top:

=====
 Top
=====

.. note::

   A note::

      Not a title
      ===========

.. module:: ferry
Directly below
--------------

Quoted after a literal mark::

.. this is quoted
.. and this

Inline *emphasis, ``literal and a `link <http://a.b>`_.

term
   What it means.

1. One
2. Two

.. [1] A footnote.

   Goes on.

..
   A comment

Third
-----
.. |version| replace:: 1.2

+---+---+
| a | b |
+---+---+

Fourth ``code``
~~~~~~~~~~~~~~~
.. code-block:: python

   x = '''
   Title
   -----
   '''"""
    document = new_document("all", _settings())
    Parser().parse(text, document)
    titles = [str(section.next_node(nodes.title).rawsource) for section in document.findall(nodes.section)]
    headings = [block.text for block in parse_rst(text).blocks if block.type == "heading"]
    assert headings == titles == ["Top", "Directly below", "Third", "Fourth ``code``"]
