"""The pages whose content is marked by hand: what the command says of them holds."""

import pytest


def test_words_of_the_content_are_kept_and_those_of_the_furniture_are_not(
    scripts: None, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.data.rivals.content import main

    assert main([]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) > 10
    assert rows[-1].startswith("| all |")


def test_words_that_stand_in_both_count_as_content(scripts: None) -> None:
    from bench.data.rivals.content import shares, words_of

    page = "<body><!--[--><div>Home valve</div><!--]--><p>The valve opens.</p></body>"
    content, furniture = words_of(page)
    assert (content, furniture) == ({"the": 1, "valve": 1, "opens": 1}, {"home": 1, "valve": 1})
    assert shares(page, "The valve opens") == (3, 3, 0, 2)
    assert shares(page, "Home The valve") == (2, 3, 1, 2)
