"""Blocks of a page: no words are glued together, none stands twice, and lines stay lines."""

from pathlib import Path

import pytest

from ray_ft.data.formats.html import parse_html

PAGES = Path(__file__).parents[4] / "data" / "markup"


def _read(name: str) -> str:
    return parse_html((PAGES / name).read_text()).text


def _blocks(page: str) -> list[tuple[str, str]]:
    parsed = parse_html(page)
    assert all(b.text == parsed.text[b.start : b.end] for b in parsed.blocks)
    lines = parsed.text.split("\n")
    assert all("\n".join(lines[b.line_start - 1 : b.line_end]).endswith(b.text) for b in parsed.blocks)
    return [(b.type, b.text) for b in parsed.blocks]


def test_items_of_a_list_keep_the_blocks_in_them() -> None:
    assert _blocks((PAGES / "li_nested.html").read_text())[2:] == [
        ("list", "1. Find the serial number of the broken disk.\n  Run this command:"),
        ("code", "```\nlsblk -o NAME,SERIAL\nsmartctl -a /dev/sda\n```"),
        ("paragraph", "The number stands in the second column."),
        ("list", "2. Take the disk out.\n  - Press the lever.\n  - Pull it towards you.\n3. Put in the new disk."),
        ("table", "Bay | Lamp\n1 | green\n2 | amber"),
    ]


def test_listings_keep_their_lines_and_lose_the_numbers_of_lines() -> None:
    assert _read("pre_lines.html") == (
        "# Listing\n\n## Example\n\n```\ndef add(a, b):\n    return a + b\nprint(add(1, 2))\n```\n\nWith breaks:\n\n"
        "```\nfirst line\nsecond line\nthird line\n```\n\n```\nx = 1\ny = 2\n```\n\n"
        "First line of an address\nSecond line of it\n\nPress `Ctrl`+`C`, then see the list.\n\n"
        "--fast\n\nDo it quickly.\n\nIt may be wrong.\n\n--slow\n\nDo it slowly.\n"
    )


def test_cells_keep_their_lines_reach_over_rows_and_stand_once() -> None:
    assert _read("tables.html") == (
        "# Prices of rooms\n\n## By season\n\nPrices in euros\n\n"
        "Room | Season\nRoom | Low | High\nSingle | 40 | 60\nSingle | 45 | 66\nDouble |  | 90\n\n"
        "## Commands by system\n\nLinux\n```\nmake\nmake install\n```\nMac\n- brew update\n- brew install tool\n\n"
        "## Layout\n\n### Left column\n\nWrite all of the letter into the left field of the form.\n\n"
        "inner a | inner b\n\n"
        "Water is H2O, and a kilometre is 10³ m. The area is 5 m².\n"
    )


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        ("10<sup>3</sup> m", "10³ m"),
        ("10<sup>-6</sup> m and 10<sup>−6</sup> s", "10⁻⁶ m and 10⁻⁶ s"),
        ("2<sup>n</sup> and 2<sup>n+1</sup>", "2^n and 2^(n+1)"),
        ("(a+b)<sup>2</sup>", "(a+b)²"),
        ("the 1<sup>st</sup> and 2<sup>nd</sup> floor", "the 1st and 2nd floor"),
        ("Name<sup>TM</sup>", "NameTM"),
        ("H<sub>2</sub>O and CO<sub>2</sub>", "H2O and CO2"),
        ("x<sub>i</sub> and V<sub>max</sub>", "x_i and V_max"),
        ("It holds.<sup>[12]</sup>", "It holds."),
        ("It holds<sup><a href='#fn1'>1</a></sup>.", "It holds."),
        ("<code>10<sup>3</sup></code>", "`10³`"),
        ("see <code> x  y </code>!", "see `x y`!"),
        ("see <code></code>it", "see it"),
    ],
)
def test_raised_and_lowered_signs_and_code_in_words(markup: str, words: str) -> None:
    assert _blocks(f"<main><p>{markup}</p></main>") == [("paragraph", words)]
    assert _blocks(f"<ul><li>{markup}</li></ul>") == [("list", f"- {words}")]
    assert _blocks(f"<table><tr><td>a</td><td>{markup}</td></tr></table>") == [("table", f"a | {words}")]


@pytest.mark.parametrize(
    ("page", "blocks"),
    [
        ("<pre>a<br/>b\n</pre>", [("code", "```\na\nb\n```")]),
        ("<pre><code><div>a</div><div>  b</div></code></pre>", [("code", "```\na\n  b\n```")]),
        ("<pre><span class=line>a</span>\n<span class=line>b</span></pre>", [("code", "```\na\nb\n```")]),
        ("<pre><span class=lineno>1 </span>a\n<span class=lineno>2 </span>b</pre>", [("code", "```\na\nb\n```")]),
        ("<pre><ol><li>a</li><li>b</li></ol></pre>", [("code", "```\na\nb\n```")]),
        ("<div><code>a<br>b</code></div>", [("code", "```\na\nb\n```")]),
        ("<blockquote><p>One.</p><p>Two.</p></blockquote>", [("paragraph", "One."), ("paragraph", "Two.")]),
        ("<blockquote>Be it.<footer>Anon</footer></blockquote>", [("paragraph", "Be it."), ("paragraph", "Anon")]),
        ("<figure><img src=a><figcaption>The <b>hall</b></figcaption></figure>", [("paragraph", "The hall")]),
        ("<dl><dt>a</dt><dd>b<ul><li>c</li></ul></dd></dl>", [("paragraph", "a"), ("paragraph", "b"), ("list", "- c")]),
        ("<ol start=4><li>a</li><li>b</li></ol>", [("list", "4. a\n5. b")]),
        ("<ol><li><p>a</p><p>b</p></li><li>c</li></ol>", [("list", "1. a\n  b\n2. c")]),
        ("<ul><li>a<ol><li>b<ul><li>c</li></ul></li></ol></li></ul>", [("list", "- a\n  1. b\n    - c")]),
        ("<ul><li><div>a</div><div>b</div></li></ul>", [("list", "- a\n  b")]),
        ("<ul><li><h3>T</h3><p>a</p></li></ul>", [("heading", "T"), ("list", "- a")]),
        ("<ul>a<li>b</li><ul><li>c</li></ul></ul>", [("list", "- b\n  - c")]),
        ("<details><summary>More</summary><p>Text</p></details>", [("paragraph", "More"), ("paragraph", "Text")]),
        ("<span><div>a</div><div>b</div></span>", [("paragraph", "a"), ("paragraph", "b")]),
        ("<h2>Title <a href=#t>#</a></h2>x", [("heading", "Title"), ("paragraph", "x")]),
        ("<h2>C#</h2>x", [("heading", "C#"), ("paragraph", "x")]),
    ],
)  # fmt: skip
def test_blocks_in_blocks(page: str, blocks: list[tuple[str, str]]) -> None:
    assert _blocks(f"<main>{page}</main>") == blocks


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ("<tr><td rowspan=3>a<td>1<tr><td>2<tr><td>3", "a | 1\na | 2\na | 3"),
        ("<tr><td>x<td rowspan=2>a<td>1<tr><td>y<td>2", "x | a | 1\ny | a | 2"),
        ("<tr><th colspan=2>a<th>b<tr><td>1<td>2<td>3", "a |  | b\n1 | 2 | 3"),
        ("<tr><td rowspan=0>a<td>1<tr><td>b<td>2", "a | 1\nb | 2"),
        ("<tr><td rowspan=99999999999>a<td>1<tr><td>b<td>2", "a | 1\nb | 2"),
        ("<tr><td><p>a</p><p>b</p><td>1<tr><td>c<td>2", "a b | 1\nc | 2"),
        ("<tr><td>a<td>b<br>c<tr><td>d<td><div>e</div><div>f</div>", "a | b c\nd | e f"),
        ("<tr><td>a<td><table><tr><td>i<td>j</table><td>z<tr><td>b<td>c<td>d", "a | i | j | z\nb | c | d"),
        ("<tr><td>a<td><ul><li>b<li>c</ul><td>d<tr><td>e<td>f<td>g", "a\n- b\n- c\nd\ne | f | g"),
        ("<thead><tr><th>a<th>b<tbody><tr><td>1<td>2<tfoot><tr><td>3<td>4", "a | b\n1 | 2\n3 | 4"),
        ("<tr><td><td><tr><td>a<td>", "a"),
    ],
)
def test_rows_of_a_table(rows: str, text: str) -> None:
    assert _blocks(f"<main><table>{rows}</table></main>") == [("table", text)]


def test_hostile_pages_take_little_time_and_give_all_words() -> None:
    for page in (
        "<ul><li>" * 3000 + "deep",
        "<table><tr><td>" * 1000 + "deep",
        "<span><div>" * 3000 + "deep",
        "<blockquote>" * 3000 + "deep",
        "<div class=sidebar>" * 300 + "deep. " + "words that are read. " * 20,
        "<sup>" * 2000 + "deep",
    ):
        assert "deep" in parse_html(page).text


def test_breaks_end_lines_of_a_paragraph_and_two_end_it() -> None:
    news = "<p><br>\n  Release 3.1<br>~~~~<br><br>* Ports that\n are new.<br>* Fix   names.<br>\n<br>End.</p>"
    assert _blocks(f"<main><h1>News</h1><div class='literallayout'>{news}</div></main>")[1:] == [
        ("paragraph", "Release 3.1\n~~~~"),
        ("paragraph", "* Ports that are new.\n* Fix names."),
        ("paragraph", "End."),
    ]
    table = "<table><tr><th>Port<th>Pier</tr><tr><td>Bergen<br>Oslo<td>2</tr></table>"
    assert _blocks(f"<main><h1>Two<br>lines</h1>{table}<ul><li>a<br>b</ul></main>") == [
        ("heading", "Two lines"),
        ("table", "Port | Pier\nBergen Oslo | 2"),
        ("list", "- a b"),
    ]


def test_rows_of_links_with_a_label_and_paths_are_no_text() -> None:
    rows = (
        '<p><span>Available languages: </span><a href="a">en</a> | <a href="b">fr</a></p>'
        '<p><a href="m">Modules</a> | <a href="d">Directives</a></p>'
        '<div><a href="x">Ferries</a> &gt; <a href="y">Ramps</a></div>'
        '<p>Options: <a href="o">slow</a> | <a href="p">fast</a> are given to the ramp before it is opened.</p>'
    )
    parsed = parse_html(f"<title>Ramps</title><h1>Ramps</h1>{rows}")
    assert [b.text for b in parsed.blocks[1:]] == ["Options: slow | fast are given to the ramp before it is opened."]


def test_the_title_of_a_note_heads_nothing() -> None:
    note = '<div class="note"><h3 class="title">Note</h3><p>It is steep.</p></div>'
    parsed = parse_html(f"<h1>Ramps</h1><h2>Opening</h2>{note}<p>Push the lever.</p><h3>Note</h3><p>Of 1900.</p>")
    assert [b.text for b in parsed.blocks if b.type == "heading"] == ["Ramps", "Opening", "Note"]
    assert [b.text for b in parsed.blocks if b.type == "paragraph"] == [
        "Note:",
        "It is steep.",
        "Push the lever.",
        "Of 1900.",
    ]


def test_the_index_of_a_book_is_no_text_and_a_list_of_terms_is() -> None:
    entries = "".join(f'<dt>ramp {i}, <a href="r{i}.html">Ramps</a></dt>' for i in range(9))
    terms = "".join(f'<dt><a href="t{i}">term {i}</a></dt><dd><p>What it means.</p></dd>' for i in range(9))
    assert "ramp 3" not in parse_html(f"<h1>Index</h1><dl>{entries}</dl>").text
    assert "term 3" in parse_html(f"<h1>Terms</h1><dl>{terms}</dl>").text


def test_marks_of_footnotes_of_sphinx_are_no_words() -> None:
    mark = '<a class="footnote-reference brackets" href="#id2" role="doc-noteref">1</a>'
    assert "steep." in parse_html(f"<p>It is steep. {mark}</p>").text
    assert "1" not in parse_html(f"<p>It is steep. {mark}</p>").text


def test_the_number_of_a_footnote_is_no_paragraph() -> None:
    note = '<aside class="footnote brackets"><span class="label">[1]</span><p>It was steeper before 1900.</p></aside>'
    assert [b.text for b in parse_html(f"<h1>Ramps</h1>{note}").blocks[1:]] == ["It was steeper before 1900."]


def test_the_label_of_a_note_that_stands_in_a_cell_has_a_colon() -> None:
    cells = '<td><div class="title">Note</div></td><td><p>It is steep.</p></td>'
    parsed = parse_html(f'<h1>Ramps</h1><div class="admonitionblock note"><table><tr>{cells}</tr></table></div>')
    assert [b.text for b in parsed.blocks[1:]] == ["Note:", "It is steep."]
