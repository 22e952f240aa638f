"""Signs by which generators of documentation tell furniture from content, and what only looks like them."""

import pytest

from ray_ft.data.formats.html import parse_html

PROSE = "The valve on the roof is opened by hand when the pressure rises above four bar."


def _text(body: str, title: str = "") -> str:
    return parse_html(f"<title>{title}</title><body>{body}").text


@pytest.mark.parametrize(
    "furniture",
    [
        "<p class=definition>Definition at line <a href=x>20</a> of file <a href=y>kiln.h</a>.</p>",
        "<p><a href=x>Go to the source code of this file.</a></p>",
        "The documentation for this class was generated from the following file:",
        "<div class=ttc id=a1><div class=ttname>Kiln</div><div class=ttdef>kiln.h:20</div></div>",
        "<a href='#NAME'>NAME</a><br><a href='#FILES'>FILES</a><br><a href='#BUGS'>BUGS</a><br>",
        "Section: User Commands (1)<br>Updated: May 2024<br><a href='#i'>Index</a> <a href=/m>Return to</a>",
        "<h2>Index</h2><dl><dt><a href='#a'>NAME</a><dd><dt><a href='#b'>FILES</a><dd></dl>",
        "This document was created by <a href=/m>man2html</a>, using the manual pages.<br>Time: 11:30:13 GMT, June 3",
        "<section><div class=pdoc-code><pre>1 def f():</pre></div></section>",
        "<div class=method-source-code><pre># File a.rb, line 18</pre></div>",
        "<table class=source_code><tr><td><pre>18</pre><td><pre># File 'a.rb', line 18</pre></table>",
        "<span class=method-click-advice>click to toggle source</span>",
        "<dl><dt class=tag-source>Source:</dt><dd class=tag-source><a href=x>tide.js</a>, line 11</dd></dl>",
        "<section class='tsd-panel tsd-index-panel'><h3>Methods</h3><a href='#l'>launch</a></section>",
        "<details><summary class=hideme><span>Expand description</span></summary></details>",
        "<div class='jp-InputPrompt jp-InputArea-prompt'>In [1]:</div>",
        "<div class='s4-notdlg noindex'><a href='#'>Turn on more accessible mode</a></div>",
        "<div class=search-results><h1>No results matching</h1></div>",
        "<div><p>Up: <a href=d>Changes</a> [<a href=c>Contents</a>][<a href=i>Index</a>]</p></div>",
        "<table><tr><td>Jump to: <a class=summary-letter href='#c'>C</a> <a href='#r'>R</a></table>",
        "<h2>Indices and tables</h2><ul><li><a href=genindex.html>Index</a><li><a href=search.html>Search</a></ul>",
        "<p class=post-meta>Mar 2, 2024</p>",
        "<h2>Comments</h2><p>0 comments</p><p>Please <a href=/in>sign in</a> to leave a comment.</p>",
        "<div class=preheader>Five kinds for a warm wall</div><a href=x>View in browser</a>",
        "<p>You receive this mail because you joined.</p><p><a href=a>Unsubscribe</a> | <a href=b>Change</a></p>",
    ],
)  # fmt: skip
def test_what_a_generator_adds_is_no_text(furniture: str) -> None:
    text = _text(f"<h1>Valves</h1><p>{PROSE}</p>{furniture}<h2>Pumps</h2><p>{PROSE}</p>")
    assert text == f"# Valves\n\n{PROSE}\n\n## Pumps\n\n{PROSE}\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("<p>Definition at line 20 shows how.</p>", "Definition at line 20 shows how."),
        ("<dl><dt>unsubscribe(callback)</dt><dd>Stops.</dd></dl>", "unsubscribe(callback)\n\nStops."),
        (
            "<dl><dt><a href='#a'>open</a></dt><dd>Opens it.</dd><dt><a href='#b'>shut</a></dt><dd>Shuts it.</dd></dl>",
            "open\n\nOpens it.\n\nshut\n\nShuts it.",
        ),
        ("<p><a href='#a'>Valves</a> and <a href='#b'>pumps</a></p>", "Valves and pumps"),
        ("<h2>Index</h2><p>An index counts from zero.</p>", "## Index\n\nAn index counts from zero."),
        ("<div class=source_code><pre>valve.open()</pre></div>", "valve.open()"),
        ("<div id=book-search-results><p>Search results have dates.</p></div>", "Search results have dates."),
        ("<p>Section: the part between two valves.</p>", "Section: the part between two valves."),
    ],
)
def test_what_only_looks_like_it_is_kept(content: str, words: str) -> None:
    assert words in _text(f"<h1>Pumps</h1><p>{PROSE}</p>{content}<p>{PROSE}</p>")


def test_a_title_that_is_no_heading_becomes_one_and_the_name_of_a_site_does_not() -> None:
    page = "<div class=title>Kiln Class Reference</div><h1>Seasons</h1><p>Clay rests.</p>"
    assert _text(page, "Brickyard: Kiln Class Reference") == "# Kiln Class Reference\n\n## Seasons\n\nClay rests.\n"
    page = "<div>Railway</div><h1>Lost property</h1><p>It is kept.</p>"
    assert _text(page, "Lost property - Railway") == "Railway\n\n# Lost property\n\nIt is kept.\n"


def test_the_mark_of_a_footnote_is_no_figure_of_the_text() -> None:
    assert _text("<p>The water<a href='#fn1'><sup>1</sup></a> rises.</p>") == "The water rises.\n"
    assert _text("<p><a href='#x'>10<sup>3</sup> valves</a> open.</p>") == "10³ valves open.\n"
    assert _text("<p>It blooms <a class='footnote-reference' href='#f'>[1]</a>.</p>") == "It blooms .\n"


def test_the_header_of_a_section_beside_an_article_is_read() -> None:
    head = "<h2>Pier</h2><div>A pier with a gauge. High water comes twice a day.</div>"
    page = f"<section><header>{head}</header><article><h3>Methods</h3><p>{PROSE}</p></article></section>"
    assert "A pier with a gauge. High water comes twice a day." in _text(page)
    assert "A pier with a gauge" not in _text(f"<div><header>{head}</header><article><p>{PROSE}</p></article></div>")
