"""LaTeX by pylatexenc: sections, environments and words as light Markdown; formulas stay as they are written."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from ray_ft.data.formats.assemble import Piece, assemble
from ray_ft.data.formats.base import Parsed

SECTIONS = {
    "part": 1, "chapter": 1, "section": 2, "subsection": 3, "subsubsection": 4, "paragraph": 5, "subparagraph": 6,
    "frametitle": 3,
}  # fmt: skip
CODE = frozenset({"verbatim", "Verbatim", "lstlisting", "minted", "alltt", "verbatim*", "semiverbatim"})
LISTS = frozenset({"itemize", "enumerate", "description", "compactitem", "compactenum"})
TABLES = frozenset({"tabular", "tabular*", "tabularx", "longtable", "tabulary", "array"})
FORMULAS = frozenset({
    "equation", "equation*", "align", "align*", "gather", "gather*", "displaymath", "eqnarray", "multline", "math",
    "eqnarray*", "multline*",
})  # fmt: skip
HIDDEN = frozenset(
    {"tikzpicture", "thebibliography", "comment", "filecontents", "filecontents*", "picture", "pgfpicture"}
)
SILENT = frozenset({
    "label", "index", "vspace", "hspace", "includegraphics", "bibliography", "bibliographystyle", "input", "include",
    "usepackage", "documentclass", "newcommand", "renewcommand", "providecommand", "tableofcontents", "maketitle",
    "setlength", "addtolength", "pagestyle", "thispagestyle", "cite", "citep", "citet", "nocite", "author", "date",
    "title", "thanks", "newpage", "clearpage", "centering", "hline", "toprule", "midrule", "bottomrule", "cline",
    "newtheorem", "definecolor", "hypersetup", "graphicspath", "def", "noindent", "listoffigures", "listoftables",
    "cmidrule", "bigskip", "medskip", "smallskip", "appendix", "item", "vfill", "hfill", "lstset", "addcontentsline",
})  # fmt: skip
SHOWN_ARGUMENT = {"href": 1, "textcolor": 1, "colorbox": 1, "parbox": -1, "hyperref": -1, "multicolumn": 2}
QUOTED_CODE = frozenset({"texttt", "verb", "lstinline", "code", "mintinline"})
SPECIALS = {"~": " ", "``": "“", "''": "”", "--": "–", "---": "—", "\n\n": "\n\n"}
BODY = re.compile(r"\\begin\{document\}")
TITLE = re.compile(r"\\title(?:\[[^\]]*+\])?\{")
LABELLED = re.compile(r"\\(?:sub){0,2}(?:section|chapter)\*?\{([^{}\\]++)\}\s*+\\label\{([^{}]++)\}")
REFERENCE = re.compile(r"\\(?:ref|eqref|[cC]ref|autoref|pageref|nameref)\*?\{([^{}\\]++)\}")
CITED = re.compile(r"(?<![~ \t\n])[~ \t\n]*+\\cite[a-z]*+\*?(?:\[[^\]]*+\])*+\{[^{}]*+\}")
CLOSING = {"{": "}", "[": "]", "(": ")", "<": ">"}
SPACES = re.compile(r"[ \t\n]++")


def parse_latex(text: str) -> Parsed:
    """Blocks of the document's body, below its title; the preamble, labels, citations and pictures are left out."""
    titles: dict[str, str] = {label: title for title, label in LABELLED.findall(text)}
    text = REFERENCE.sub(lambda match: titles.get(str(match.group(1)), str(match.group(1))), CITED.sub("", text))
    head = BODY.search(text)
    nodes, _, _ = _walker()(text, tolerant_parsing=True, latex_context=_context()).get_latex_nodes(pos=0)
    title = _title(text, nodes)
    pieces = [Piece("heading", title, 1)] if title else []
    body = next((n.nodelist for n in nodes if head and _is_environment(n, "document")), nodes)
    pieces += _pieces(body)
    whole, blocks = assemble(pieces)
    return Parsed(whole, blocks, {"title": title} if title else {})


@cache
def _walker() -> Any:
    """pylatexenc's parser, reading each group once.

    Where a macro's arguments end in mid-air, it reads on behind the macro's name, so that a group is read anew, and
    those in it twice for each that they stand in.
    """
    from pylatexenc.latexwalker import LatexGroupNode, LatexWalker

    class Walker(LatexWalker):  # type: ignore[misc]
        def get_latex_braced_group(self, pos: int, brace_type: str = "{", parsing_state: Any = None) -> Any:
            state = parsing_state if parsing_state is not None else self.make_parsing_state()
            read = self.__dict__.setdefault("groups_read", {})
            key = (pos, brace_type, state.in_math_mode, state.math_mode_delimiter)
            if key in read and read[key][0] is state.latex_context:
                return read[key][1]
            pair = (brace_type, CLOSING.get(brace_type, ""))
            token = self.get_token(pos, include_brace_chars=None if brace_type == "{" else [pair], parsing_state=state)
            if not pair[1] or token.tok != "brace_open" or token.arg != brace_type:
                return super().get_latex_braced_group(pos, brace_type, state)  # which says what is wrong
            # No call of the base class: one more for each group would let fewer stand in each other.
            place = token.pos + token.len
            nodes, start, size = self.get_latex_nodes(place, stop_upon_closing_brace=pair, parsing_state=state)
            size += start - token.pos
            group = self.make_node(
                LatexGroupNode, nodelist=nodes, parsing_state=state, delimiters=pair, pos=token.pos, len=size
            )
            read[key] = (state.latex_context, (group, token.pos, size))
            return read[key][1]

    return Walker


@cache
def _context() -> Any:
    """What macros take as arguments: pylatexenc's own table, and what it does not know."""
    from pylatexenc.latexwalker import get_default_latex_context_db
    from pylatexenc.macrospec import MacroSpec, VerbatimArgsParser, std_macro

    context = get_default_latex_context_db()
    more = [std_macro("frametitle", False, 1), std_macro("caption", True, 1), std_macro("multicolumn", False, 3)]
    more += [std_macro("cmidrule", True, 1), std_macro("lstset", False, 1), std_macro("hyperref", True, 1)]
    more += [std_macro("href", False, 2), std_macro("textcolor", False, 2), std_macro("colorbox", False, 2)]
    more += [std_macro("parbox", True, 2), std_macro("url", False, 1)]
    more += [std_macro("graphicspath", False, 1), std_macro("hypersetup", False, 1), std_macro("definecolor", False, 3)]
    more += [std_macro(name, True, 1) for name in ("gls", "Gls", "acrshort")]
    more += [MacroSpec("lstinline", args_parser=VerbatimArgsParser(verbatim_arg_type="verb-macro"))]
    context.add_context_category("ray_ft", macros=more, prepend=True)
    return context


def _title(text: str, nodes: Any) -> str:
    """What `\\title` holds, wherever it stands."""
    for node in nodes:
        if getattr(node, "macroname", "") == "title" and TITLE.match(text, node.pos):
            return _words([a for a in node.nodeargd.argnlist if a is not None][-1:])
        if _is_environment(node, "document") and (found := _title(text, node.nodelist)):
            return found
    return ""


def _is_environment(node: Any, *names: str) -> bool:
    return getattr(node, "environmentname", None) in names


def _pieces(nodes: Any) -> Iterator[Piece]:
    """Blocks of a list of nodes; inline ones make paragraphs, which end at an empty line."""
    inline: list[Any] = []

    def flush() -> Iterator[Piece]:
        for words in _words(inline, keep_breaks=True).split("\n\n"):
            if words.strip():
                yield Piece("paragraph", SPACES.sub(" ", words).strip())
        inline.clear()

    for node in nodes:
        macro, environment = getattr(node, "macroname", ""), getattr(node, "environmentname", "")
        if macro in SECTIONS:
            yield from flush()
            given = [a for a in (node.nodeargd.argnlist if node.nodeargd else []) if a is not None]
            if title := _words(given[-1:]):
                yield Piece("heading", title, SECTIONS[macro])
        elif macro == "caption":
            yield from flush()
            yield Piece("paragraph", _words([a for a in node.nodeargd.argnlist if a is not None][-1:]))
        elif environment:
            if environment in FORMULAS:
                inline.append(node)
                continue
            yield from flush()
            yield from _environment(node, environment)
        else:
            inline.append(node)
    yield from flush()


def _environment(node: Any, name: str) -> Iterator[Piece]:
    if name in HIDDEN:
        return
    if name in CODE:
        yield Piece("code", f"```\n{_inside(node)}\n```")
    elif name in LISTS:
        yield Piece("list", "\n".join(_items(node.nodelist, depth=0)))
    elif name in TABLES:
        yield Piece("table", "\n".join(_rows(node.nodelist)))
    else:
        yield from _pieces(node.nodelist)


def _inside(node: Any) -> str:
    """The source between `\\begin{...}[...]` and `\\end{...}`, as it stands."""
    source = node.latex_verbatim()
    start = re.match(r"\\begin\{[^}]*+\}(?:\[[^\]]*+\])?(?:\{[^}\n]*+\})?", source)
    inner = source[start.end() if start else 0 :]
    return str(inner[: inner.rfind("\\end")]).strip("\n").rstrip()


def _items(nodes: Any, depth: int) -> Iterator[str]:
    """Items as `- words`, those of lists inside them indented below."""
    inline: list[Any] = []
    nested: list[str] = []
    label, begun = "", False

    def item() -> Iterator[str]:
        words = _words(inline)
        if begun and (words or label):
            yield "  " * depth + "- " + (f"{label}: {words}" if label and words else label or words)
        yield from nested
        inline.clear()
        nested.clear()

    for node in nodes:
        if getattr(node, "macroname", "") == "item":
            yield from item()
            begun = True
            given = [a for a in (node.nodeargd.argnlist if node.nodeargd else []) if a is not None]
            label = _words(given).strip("[]")
        elif _is_environment(node, *LISTS):
            nested += list(_items(node.nodelist, depth + 1)) if depth < 8 else []
        elif _is_environment(node, *CODE):
            nested += ["  " * (depth + 1) + row for row in _inside(node).split("\n")]
        else:
            inline.append(node)
    yield from item()


def _rows(nodes: Any) -> Iterator[str]:
    """Rows as `a | b`: `&` ends a cell, `\\\\` a row."""
    cells: list[list[Any]] = [[]]
    for node in nodes:
        if getattr(node, "specials_chars", "") == "&":
            cells.append([])
        elif getattr(node, "macroname", "") in ("\\", "tabularnewline"):
            yield " | ".join(_words(cell) for cell in cells).rstrip(" |")
            cells = [[]]
        else:
            cells[-1].append(node)
    if row := " | ".join(_words(cell) for cell in cells).strip(" |"):
        yield row


def _words(nodes: Any, *, keep_breaks: bool = False) -> str:
    """What nodes show; formulas as they are written. Empty lines stay where `keep_breaks`."""
    words = "".join(_shown(node) for node in nodes)
    return words if keep_breaks else SPACES.sub(" ", words).strip()


def _shown(node: Any) -> str:
    kind = type(node).__name__
    if kind == "LatexCharsNode":
        return str(node.chars).replace("``", "“").replace("''", "”")
    if kind == "LatexMathNode" or _is_environment(node, *FORMULAS):
        return str(node.latex_verbatim())
    if kind == "LatexGroupNode":
        return "".join(_shown(inner) for inner in node.nodelist)
    if kind == "LatexSpecialsNode":
        return SPECIALS.get(node.specials_chars, "")
    if kind == "LatexEnvironmentNode":
        return "\n\n".join(piece.text for piece in _environment(node, node.environmentname))
    return _macro(node) if kind == "LatexMacroNode" else ""


def _macro(node: Any) -> str:
    name = node.macroname
    given = [a for a in (node.nodeargd.argnlist if node.nodeargd else []) if a is not None]
    after = node.macro_post_space if not given else ""
    if name in SILENT:
        return ""
    if name in QUOTED_CODE:
        inner = str(getattr(node.nodeargd, "verbatim_text", None) or "".join(_shown(a) for a in given[-1:]))
        return f"`{inner.strip()}`" if inner.strip() else ""
    if name == "footnote":
        return f" ({_words(given[-1:])})"
    if name in ("\\", "newline", "par", "linebreak"):
        return "\n\n" if name == "par" else " "
    if name == "url":
        return _words(given[-1:])
    if name in SHOWN_ARGUMENT:
        at = SHOWN_ARGUMENT[name]
        return _words(given[at : at + 1] if at >= 0 else given[-1:])
    symbol = _symbol(node)
    if symbol is not None:
        return symbol + (" " if after.strip(" ") else after)
    return "".join(_shown(a) for a in given)


def _symbol(node: Any) -> str | None:
    """The letter or sign that a macro stands for, such as \\ldots; None for macros that format what they hold."""
    from pylatexenc.latex2text import LatexNodes2Text

    name = node.macroname
    if re.fullmatch(r"[A-Za-z]{3,}", name) and name not in SYMBOLS:
        return None
    text = str(LatexNodes2Text(math_mode="verbatim").nodelist_to_text([node]))
    return text.strip("\n") if text.strip() else None


SYMBOLS = frozenset({
    "ldots", "dots", "textbackslash", "LaTeX", "TeX", "copyright", "textregistered", "texttrademark", "textdegree",
    "textasciitilde", "textasciicircum", "textbar", "textless", "textgreater", "textquotedbl", "euro", "pounds",
    "textendash", "textemdash", "textbullet", "textmu", "quad", "qquad", "slash", "textunderscore", "textdollar",
})  # fmt: skip
