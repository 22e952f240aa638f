"""Whole pages in the shapes of real generators: what is content stays, what is the site's goes."""

from pathlib import Path

import pytest

from ray_ft.data.formats.base import Unreadable
from ray_ft.data.formats.html import parse_html

PAGES = Path(__file__).parents[4] / "data" / "markup"
PROSE = "The valve on the roof is opened by hand when the pressure rises above four bar."
MORE = "Close it again as soon as the needle stands in the green field of the gauge."


def _read(name: str) -> str:
    return parse_html((PAGES / name).read_text()).text


def _headings(text: str) -> list[tuple[int, str]]:
    return [(b.level, b.text) for b in parse_html(text).blocks if b.type == "heading"]


def test_banners_bars_and_footers_that_are_divs_are_no_text() -> None:
    assert _read("boiler.html") == (
        "# Holiday rules\n\nEvery employee has thirty days of holiday in a year.\n\n"
        "## Apply for holiday\n\nApply in the portal two weeks before the first day at the latest.\n"
    )


def test_a_page_of_confluence_is_its_content_below_its_title() -> None:
    assert _read("confluence.html") == (
        "# Ops : Restart the queue\n\n"
        "## When to restart\n\nRestart the queue when its depth stays above ten thousand for an hour.\n\n"
        "## How to restart\n\n1. Drain the consumers.\n2. Run the command:\n\n"
        "```\nsystemctl restart queue\njournalctl -fu queue\n```\n\n"
        "Messages in flight are sent twice.\n\nDepth | Action\n> 10000 | Restart\n"
    )


def test_a_page_of_docbook_has_its_title_at_the_root_and_no_rows_of_ways() -> None:
    assert _read("start-pump.html") == (
        "# START PUMP\n\nSTART PUMP — work on a pump of the hall\n\n"
        "## Parameters\n\nThe number of the pump as it stands on the plate beside the door.\n\n"
        "## Notes\n\nOnly the engineer on duty may use the command start pump during the night.\n"
    )


def test_all_articles_are_read_below_the_heading_that_stands_before_them() -> None:
    assert _headings((PAGES / "articles.html").read_text()) == [
        (1, "News of the plant"), (2, "New boiler"), (2, "Road closed"), (2, "Canteen"),
    ]  # fmt: skip


def test_a_teaser_that_is_an_article_does_not_hide_the_page() -> None:
    text = _read("role_main_twice.html")
    assert "# Valve types\n\nBall valves close within a quarter of a turn" in text
    assert "## Gate valves\n\nGate valves need many turns" in text


@pytest.mark.parametrize(
    "page",
    [
        f"<main><h1>A</h1><p>{PROSE}</p></main><main><h2>B</h2><p>{MORE}</p></main>",
        f"<div role=main><h1>A</h1><p>{PROSE}</p></div><section><h2>B</h2><p>{MORE}</p></section>",
        f"<form id=aspnet action=/x><h1>A</h1><input name=q><p>{PROSE}</p><p>{MORE}</p></form>",
        f"<body class='has-sidebar nav-open'><div class='page-with-toc'><h1>A</h1><p>{PROSE}</p><p>{MORE}</p></div>",
        f"<main><h1>A</h1><div class=social><p>{PROSE}</p></div><div class='meta noprint'>{MORE}</div></main>",
        f"<main><h1>A</h1><aside class='admonition tip'><p>{PROSE}</p></aside><aside role=note>{MORE}</aside></main>",
        f"<main><h1>A</h1><p>{PROSE}</p></main><div class=wrapper><article><p>{MORE}</p></article></div>",
        f"<article><header><h1>A</h1>{PROSE}</header><section id=cookie-banner><h2>B</h2>{MORE}</section></article>",
        f"<a href=/x><div><h1>A</h1><p>{PROSE}</p></div></a><my-part><div><p>{MORE}</p></div></my-part>",
        f"<table><tr><td class=sidebar><a href=/>Home</a><td><h1>A</h1><p>{PROSE}</p><p>{MORE}</p></table>",
        f"<article><h1>A</h1><p>{PROSE}</p><article class=comment><p>{MORE}</p></article></article>",
    ],
    ids=[
        "two mains", "beside main", "one form", "names of the whole", "misleading names", "asides",
        "article beside main", "id of a section", "blocks in words", "layout", "nested articles",
    ],
)  # fmt: skip
def test_nothing_of_the_content_is_lost(page: str) -> None:
    text = parse_html(f"<html><head><title>A</title></head>{page}</html>").text
    assert text.count(PROSE) == 1
    assert text.count(MORE) == 1


@pytest.mark.parametrize(
    "furniture",
    [
        "<div class=related role=navigation><ul><li><a href=i.html>index</a><li><a href=n.html>next</a> |</ul></div>",
        "<div class=header><p>Next: <a href=b.html>The closure and its use</a>, Previous: <a href=a.html>Types</a>, "
        "Up: <a href=i.html>Top of the book</a> [<a href=t.html>Contents</a>][<a href=x.html>Index</a>]</p></div>",
        "<ul class=navList><li><a href=o.html>Overview</a><li><a href=p.html>Prev</a><li><a href=q.html>Next</a></ul>",
        "<table summary='Navigation'><tr><td><a href=p.html>Prev</a></td><td>Part II. Machines of the long hall</td>"
        "<td><a href=n.html>Next</a></td></tr></table>",
        "<div class='cc-window' id='cookieConsent'><p>This website uses cookies. They help us to see what is read. "
        "Read more in our policy, or choose which ones you allow.</p><button>OK</button></div>",
        "<ol class=breadcrumb><li><a href=/>Docs</a></li><li>Valves</li></ol>",
        "<div role=contentinfo><p>© 2024 Example Ltd</p></div>",
        "<p>Generated by <a href=x>Doxygen</a> 1.9.1</p>",
        "<p>Last updated on March 3, 2024</p>",
        "<p>Edit this page on GitHub</p>",
        "<p>Built with MkDocs using a theme provided by Read the Docs.</p>",
        "<div class=toc><p>Table of Contents</p><ul><li><a href=#a>One</a></li><li><a href=#b>Two</a></li></ul></div>",
        "<ul><li><a href=#a>One</a><ul><li><a href=#c>Three</a></li></ul></li><li><a href=#b>Two</a></li></ul>",
        "<div class=share-buttons><a href=x>Tweet</a> <a href=y>Share</a></div>",
        "<nav><a href=x>Everything else</a></nav>",
        "<div class=summary><a href=#m>Members</a> | <a href=l.html>List of all</a></div>",
        "<p class=MsoToc1><a href=#a>1 One 2</a></p><p class=MsoToc1><a href=#b>2 Two</a> 7</p>",
        "<p>Posted on October 1, 2024 by Kari</p>",
        "<div id=respond><h3>Leave a Reply</h3><form><p>Your address will not be published. Fields are marked.</p>"
        "<label>Comment</label><textarea></textarea></form></div>",
        "<aside class=sidebar><h3>Related</h3><ul><li><a href=x>Sick leave</a></li></ul></aside>",
        "<form role=search><label>Find</label><input></form>",
        "<div hidden><p>Not to be seen by anybody at all.</p></div>",
        "<a class=skip-link href=#main>Skip to content</a>",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["before", "inside"])
def test_what_is_the_sites_is_no_text(furniture: str, place: str) -> None:
    inner = f"<h1>Valves</h1><p>{PROSE}</p>"
    page = f"{furniture}<main>{inner}</main>" if place == "before" else f"<main>{inner}{furniture}</main>"
    assert parse_html(page).text == f"# Valves\n\n{PROSE}\n"


def test_a_sentence_that_begins_like_a_note_of_the_site_is_text() -> None:
    lines = [
        "Generated by the boiler, steam flows into the turbine and from there to the condenser.",
        "Back to top speed the pump goes only when the operator has confirmed the alarm.",
        "Next, press the button at home or up in the hall, and wait for the previous lamp.",
        "Skip to step 5 if the lamp is lit.",
        "Last updated values are shown in bold type on the screen of the operator.",
    ]
    text = parse_html("<main>" + "".join(f"<p>{line}</p>" for line in lines) + "</main>").text
    assert text == "\n\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("title", "body", "headings"),
    [
        ("Pumps", f"<p>{PROSE}</p>", [(1, "Pumps")]),
        ("Pumps", f"<h2>Start</h2><p>{PROSE}</p><h2>Stop</h2>", [(1, "Pumps"), (2, "Start"), (2, "Stop")]),
        ("Pumps", f"<h1>Start</h1><p>{PROSE}</p><h1>Stop</h1>", [(1, "Pumps"), (2, "Start"), (2, "Stop")]),
        ("Pumps", f"<h2>Pumps</h2><p>{PROSE}</p><h2>Stop</h2>", [(1, "Pumps"), (2, "Stop")]),
        ("Pumps — Hall 1.2 documentation", f"<h1>Pumps</h1><p>{PROSE}</p><h2>Stop</h2>", [(1, "Pumps"), (2, "Stop")]),
        ("Hall | Pumps", f"<h1>Pumps</h1><p>{PROSE}</p><h1>Stop</h1>", [(1, "Pumps"), (2, "Stop")]),
        ("Intranet", f"<h2>Hint</h2><h1>Pumps</h1><p>{PROSE}</p>", [(2, "Hint"), (1, "Pumps")]),
        ("Untitled Document", f"<p>{PROSE}</p>", []),
        ("", f"<h2>Start</h2><p>{PROSE}</p><h2>Stop</h2>", [(2, "Start"), (2, "Stop")]),
    ],
)
def test_a_page_without_a_heading_above_all_others_has_its_title_as_one(
    title: str, body: str, headings: list[tuple[int, str]]
) -> None:
    page = f"<html><head><title>{title}</title></head><body>{body}</body></html>"
    assert _headings(page) == headings


def test_the_title_of_the_document_is_that_of_the_page_and_not_of_the_site() -> None:
    page = f"<title>Holiday rules - Intranet</title><h1>Holiday rules</h1><p>{PROSE}</p>"
    assert parse_html(page).metadata == {"title": "Holiday rules"}


@pytest.mark.parametrize(
    "page",
    [
        (PAGES / "list.html").read_text(),
        "<h1>{{ title }}</h1>{% for p in pumps %}<p>{{ p.name }} is on</p>{% endfor %}",
        "<ul>{{#each pumps}}<li>{{name}} of the hall</li>{{/each}}</ul>",
        "<h1><%= @title %></h1><% @pumps.each do |p| %><p><%= p.name %></p><% end %>",
        '{{ define "main" }}<h1>{{ .Title }}</h1>{{ .Content }}{{ end }}',
        '<div *ngFor="let p of pumps"><h2>{{ p.name }}</h2></div>',
        '<html xmlns:th="http://www.thymeleaf.org"><body><p th:text="${pump.name}">A pump</p></body></html>',
        '<%@ page language="java" %><h1>Pumps of the hall</h1><p>They are many and old.</p>',
        "{# the head #}<title>{% block title %}{% endblock %}</title>",
        '<p><a href="{{ url_for(\'pumps\') }}">All pumps</a> and <a href="{{ home }}">home</a></p>',
    ],
    ids=["django", "jinja", "handlebars", "erb", "go", "angular", "thymeleaf", "jsp", "comment", "attributes"],
)
def test_a_template_is_no_document(page: str) -> None:
    with pytest.raises(Unreadable) as error:
        parse_html(page)
    assert (error.value.reason, error.value.broken) == ("template", False)


def test_a_page_about_templates_is_a_document() -> None:
    page = (
        "<h1>Loops</h1><p>A loop stands between <code>{% for x in y %}</code> and <code>{% endfor %}</code>.</p>"
        "<pre>{% extends 'a.html' %}\n{% block b %}{{ c }}{% endblock %}</pre>"
        f"<p>{PROSE} {MORE} The name in {{{{ braces }}}} is filled in by the engine.</p>"
    )
    assert "{{ braces }}" in parse_html(page).text
