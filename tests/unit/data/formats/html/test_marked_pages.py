"""The pages and documents whose content is marked by hand: what the command says of them holds."""

from pathlib import Path

import pytest


def test_words_of_the_content_are_kept_and_those_of_the_furniture_are_not(
    scripts: None, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.data.rivals.content import main

    assert main([]) == 0
    totals = [row for row in capsys.readouterr().out.splitlines() if row.startswith("| all ")]
    assert [row.split()[3] for row in totals] == ["pages", "documents"]
    assert sum(int(row.split()[2]) for row in totals) >= 40


def test_words_that_stand_in_both_count_as_content(scripts: None) -> None:
    from bench.data.rivals.content import Marked, words_of

    page = Marked(
        Path("a.html"), *words_of("<body><!--[--><div>Home valve</div><!--]--><p>The valve opens.</p></body>")
    )
    assert page.content == {"the": 1, "valve": 1, "opens": 1}
    assert page.furniture == {"home": 1, "valve": 1}
    assert page.shares("The valve opens") == (3, 3, 0, 2)
    assert page.shares("Home The valve") == (2, 3, 1, 2)


def test_a_document_is_marked_line_by_line_in_a_file_beside_it(scripts: None, tmp_path: Path) -> None:
    from bench.data.rivals.content import marked_document

    (tmp_path / "a.pdf.marks").write_text("+ The valve opens.\n- Page 3\n")
    document = marked_document(tmp_path / "a.pdf.marks")
    assert document.path == tmp_path / "a.pdf"
    assert document.shares("The valve opens.\n\nPage 3") == (3, 3, 2, 2)
    (tmp_path / "b.pdf.marks").write_text("The valve opens.\n")
    with pytest.raises(ValueError, match=r"b\.pdf\.marks:1: a line begins with `\+ ` or `- `"):
        marked_document(tmp_path / "b.pdf.marks")


def test_figures_count_however_they_are_raised_and_numbers_of_items_do_not(scripts: None) -> None:
    from bench.data.rivals.content import Marked, words_of

    page = Marked(
        Path("a.html"), *words_of("<ol><li>10<sup>5</sup> drops of H<sub>2</sub>O</ol><!--[--><i>1</i><!--]-->")
    )
    assert page.shares("1. 10⁵ drops of H2O") == (7, 7, 0, 1)
    assert page.shares("1. 105 drops of H2O") == (5, 7, 0, 1)
