"""What reading LaTeX costs grows with the text, whatever is left open in it; work is counted, and not timed."""

import random

import pytest
from pylatexenc.latexwalker import LatexWalker

from ray_ft.data.formats.lightweight import latex
from ray_ft.data.formats.lightweight.latex import parse_latex


def _tokens(text: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Tokens that the parser takes from a text, those counted again that it reads again."""
    number = 0
    plain = LatexWalker.get_token

    def get_token(*given: object, **named: object) -> object:
        nonlocal number
        number += 1
        return plain(*given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(LatexWalker, "get_token", get_token)
        parse_latex(text)
    return number


@pytest.mark.parametrize(
    "unit",
    [r"\href{a", r"\href{a\end{b} ", r"\sqrt[\end{b}", r"\multicolumn{a ", r"\begin{c}\href{a\end{b}", r"\sqrt[a"],
)
def test_groups_that_are_left_open_within_each_other_are_read_once(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = _tokens(unit * 6, monkeypatch), _tokens(unit * 12, monkeypatch)
    assert many < 2.5 * few  # 64 times as many, where each is read twice for all that it stands in


def test_groups_that_are_read_once_are_those_of_the_parser_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [
        r"\href{a", r"\href{a}{b}", r"\sqrt[", "]", "}", "{", "$", "$$", r"\(", r"\)", r"\begin{c}", r"\end{c}", "a",
        " ", "\n\n", r"\item[x]", r"\begin{itemize}", r"\end{itemize}", r"\section{", r"\textbf{", r"\verb|a|",
        r"\'", "%a\n", r"\begin{tabular}{l}", "&", r"\end{tabular}", r"\footnote{", r"\parbox[t]{", "[", "``",
        r"\caption[a]{", r"\title{T}",
    ]  # fmt: skip
    lot = random.Random(2)
    for _ in range(600):
        text = "".join(lot.choices(parts, k=lot.randint(1, 14)))
        read = _read(text)
        with monkeypatch.context() as patched:
            patched.setattr(latex, "_walker", lambda: LatexWalker)
            assert _read(text) == read, text


def _read(text: str) -> object:
    """What is read, or which error says that a text is damaged."""
    try:
        return parse_latex(text)
    except Exception as error:
        return type(error)
