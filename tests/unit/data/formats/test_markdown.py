"""Markdown as repositories and generators of sites have it: what is no content is taken out of its lines."""

from pathlib import Path

import pytest

from ray_ft.data.formats.base import Unreadable
from ray_ft.data.formats.lightweight.markdown.parse import parse_markdown

PAGES = Path(__file__).parents[3] / "data" / "markup"
URI = "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAA" * 40


def _blocks(text: str) -> list[tuple[str, str]]:
    parsed = parse_markdown(text)
    lines = parsed.text.split("\n")
    assert len(lines) == len(text.split("\n"))
    for block in parsed.blocks:
        assert block.text == parsed.text[block.start : block.end]
        assert block.text in "\n".join(lines[block.line_start - 1 : block.line_end])
    return [(f"h{b.level}" if b.type == "heading" else b.type, b.text) for b in parsed.blocks]


def test_an_image_that_is_written_out_is_not_in_the_text() -> None:
    parsed = parse_markdown((PAGES / "embedded.md").read_text())
    assert "iVBOR" not in parsed.text
    assert "base64" not in parsed.text
    assert [b.text for b in parsed.blocks if b.type == "heading"] == [
        "Mail gateway", "Overview of the parts", "Limits of the gateway",
    ]  # fmt: skip


def test_a_readme_that_begins_in_html_has_its_title_and_no_contents() -> None:
    assert _blocks((PAGES / "readme_html.md").read_text())[:5] == [
        ("h1", "Freight Router"),
        ("paragraph", "Finds the cheapest way for a container through the ports."),
        ("h2", "Install"),
        ("paragraph", "Install the router with the package manager of your distribution and start the service."),
        ("paragraph", "On an old kernel"),
    ]
    assert "Contents" not in parse_markdown((PAGES / "readme_html.md").read_text()).text


def test_shortcodes_imports_and_tags_of_components_are_no_text() -> None:
    assert _blocks((PAGES / "hugo.md").read_text()) == [
        ("paragraph", "Keys are rotated every ninety days by the platform team."),
        ("h2", "Rotate by hand"),
        ("paragraph", "Tell the on-call person before you begin."),
        ("paragraph", "Run `keytool rotate` on the bastion and confirm with the code from your phone."),
        ("paragraph", "Use the small key for tests."),
    ]


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        (f"a ![b]({URI}) c", [("paragraph", "a  c")]),
        (f"[the sheet]({URI})", [("paragraph", "the sheet")]),
        (f"![][i]\n\nword\n\n[i]: {URI}\n", [("paragraph", "word")]),
        (f'<img src="{URI}">\n\nword', [("paragraph", "word")]),
        (f"- a ![b]({URI})\n- c", [("list", "- a \n- c")]),
        (f"| a |\n|---|\n| ![b]({URI}) |", [("table", "| a |\n|---|\n|  |")]),
        ("see `![b](data:x;base64,AAAA)`", [("paragraph", "see `![b](data:x;base64,AAAA)`")]),
        ("<h1>A</h1>\n<p>b</p>", [("h1", "A"), ("paragraph", "b")]),
        ('<h2 id="a">\n  <img src="a.png">\n  Long\n  title\n</h2>\n\nb', [("h2", "Long title"), ("paragraph", "b")]),
        ("<div><h1>A</h1></div>\n\n## B", [("h1", "A"), ("h2", "B")]),
        ("<h1>A</h1><p>b</p>", [("paragraph", "A b")]),
        ("<h1>\ue000A</h1>\n<i>\ue000u\ue001</i>", [("h1", "A"), ("paragraph", "u")]),
        ("<table><tr><td>a</td><td>b</td></tr></table>", [("paragraph", "a | b")]),
        ("<ul><li>a</li><li>b</li></ul>", [("paragraph", "a b")]),
        ("# <img src='x.svg'> Title <a name='t'></a>\n\na", [("h1", "Title"), ("paragraph", "a")]),
        ("a<br>b <b>c</b>", [("paragraph", "a b c")]),
        ("10<sup>3</sup> m of H<sub>2</sub>O, `x<sup>`", [("paragraph", "10³ m of H2O, `x<sup>`")]),
        ("if a <b and c> d", [("paragraph", "if a <b and c> d")]),
        ("List<String> x", [("paragraph", "List<String> x")]),
        ("<!-- a\n\nb -->\n\nc", [("paragraph", "c")]),
        ("<script>\nlet a\n</script>\n\nc", [("paragraph", "c")]),
        ("a {{< ref \"b\" >}} c", [("paragraph", "a  c")]),
        ("{% include note.html content='x' %}\n\nNo template, as there are so many other words here.", [
            ("paragraph", "No template, as there are so many other words here.")]),
        ("`{{< toc >}}` makes contents", [("paragraph", "`{{< toc >}}` makes contents")]),
        ("```\n{{< toc >}}\n<b>\n```", [("code", "```\n{{< toc >}}\n<b>\n```")]),
        ("- a\n\n  ```\n  <b>x</b>\n  ```\n", [("list", "- a\n\n  ```\n  <b>x</b>\n  ```")]),
        ("import A from './a';\nimport \"b\"\n\nWords", [("paragraph", "Words")]),
        ("import from abroad is \"free\" of duty", [("paragraph", "import from abroad is \"free\" of duty")]),
        (":::note\nMind it.\n:::", [("paragraph", "Mind it.")]),
        ("# A\n\n## Contents\n\n1. [B](#b)\n2. [C](#c)\n\n## B\n\nb", [("h1", "A"), ("h2", "B"), ("paragraph", "b")]),
        ("# A\n\n**Table of Contents**\n\n- [B](#b)\n- [C](#c)\n\nb\n\n([back to top](#a))", [
            ("h1", "A"), ("paragraph", "b")]),
        ("**Contents of the box**\n\nb", [("paragraph", "**Contents of the box**"), ("paragraph", "b")]),
        ("## Contents\n\nA box of ten.\n", [("h2", "Contents"), ("paragraph", "A box of ten.")]),
        ("- [B](#b): how to start the pump by hand\n- [C](#c): how to stop it again", [
            ("list", "- [B](#b): how to start the pump by hand\n- [C](#c): how to stop it again")]),
        ("- [B](b.md)\n- [C](#c)", [("list", "- [B](b.md)\n- [C](#c)")]),
        ("# A\n\n[x]: http://y 'z'\n\nb [x]", [("h1", "A"), ("paragraph", "b [x]")]),
    ],
)  # fmt: skip
def test_what_is_no_content_goes_and_lines_keep_their_numbers(text: str, blocks: list[tuple[str, str]]) -> None:
    assert _blocks(text) == blocks


@pytest.mark.parametrize(
    "dump",
    [
        "\n".join(" ".join(f"{i * j % 97 / 7:.3f}" for j in range(8)) for i in range(30)),
        "\n".join(f"{i:08x}: " + " ".join(f"{i * 7 % 256:02x}{i * 3 % 256:02x}" for _ in range(8)) for i in range(30)),
        "\n".join(["MIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQGEwJJ"] * 12),
        "[" + ", ".join(str(i * 17 % 1000) for i in range(300)) + "]",
    ],
    ids=["numbers", "bytes", "encoded", "one line"],
)
def test_a_dump_is_no_text_and_a_short_one_is_an_example(dump: str) -> None:
    words = "It prints what was measured in the hall."
    assert _blocks(f"{words}\n\n```\n{dump}\n```\n") == [("paragraph", words)]
    short = "```\n1.0 2.0\n3.0 4.0\n```"
    assert _blocks(short) == [("code", short)]
    code = "```c\n" + 'int table[] = {1, 2, 3}; /* the table of the hall */\nprintf("%d", table[0]);\n' * 12 + "```"
    assert _blocks(code) == [("code", code)]


@pytest.mark.parametrize(
    "text",
    [
        "# {{ cookiecutter.name }}\n\n{{ cookiecutter.description }}\n\n{% if cookiecutter.docs %}Docs{% endif %}\n",
        '{% extends "base.md" %}\n{% block body %}\nWords of the page\n{% endblock %}\n',
    ],
)
def test_a_template_is_no_document(text: str) -> None:
    with pytest.raises(Unreadable) as error:
        parse_markdown(text)
    assert (error.value.reason, error.value.broken) == ("template", False)


def test_the_text_of_a_plain_page_is_the_source_itself() -> None:
    text = "# A\n\nb\n\n---\n\n- c\n"
    assert parse_markdown(text).text is text


def test_badges_by_reference_and_lists_of_accounts_are_no_content() -> None:
    text = (
        "# Pump\n\n[![Build][build-image]][build-url]\n[![npm][npm-image]][npm-url]\n\n## Team\n\n"
        "It has two authors:\n\n"
        "* [ann](https://github.com/ann) - **Ann Li** (she/her)\n* [bo](https://github.com/bo)\n\nMore:\n\n"
        "* [Guide](https://github.com/p/guide) for users\n* [bo](https://github.com/bo)\n\n[build-image]: https://a/b.svg\n"
    )
    assert [(b.type, b.text) for b in parse_markdown(text).blocks] == [
        ("heading", "Pump"),
        ("heading", "Team"),
        ("paragraph", "It has two authors:"),
        ("paragraph", "More:"),
        ("list", "* [Guide](https://github.com/p/guide) for users\n* [bo](https://github.com/bo)"),
    ]


def test_whether_a_list_leads_here_is_told_without_a_copy_of_what_follows() -> None:
    from markdown_it import MarkdownIt

    from ray_ft.data.formats.lightweight.markdown.page import Page

    class Uncopied(list):  # type: ignore[type-arg]
        def __getitem__(self, place: object) -> object:
            assert not isinstance(place, slice)
            return super().__getitem__(place)  # type: ignore[call-overload]

    text = "- [A](#a)\n- [B](#b)\n\nWords\n\n- one\n- two\n"
    tokens = Uncopied(MarkdownIt().parse(text))
    page = Page(text, tokens, 0)
    starts = [i for i, token in enumerate(tokens) if token.type == "bullet_list_open"]
    assert [page.leads_here(start) for start in starts] == [True, False]


def test_a_page_in_a_script_without_spaces_that_shows_a_sign_of_templates_is_a_document() -> None:
    text = "启动之前请确认阀门已经关闭，并且按住红色按钮五秒钟，等待指示灯变成绿色。{{ name }} 代表名称。\n"
    assert parse_markdown(text).blocks
