"""Python source: the module's docstring, its imports, and one block per top-level statement or run of them."""

import ast
import warnings

from ray_ft.data.formats.base import Lines, Parsed
from ray_ft.rows import Block


def parse_python(text: str) -> Parsed:
    """Blocks of top-level code with the comments above them. Raises SyntaxError for what is no Python 3."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in other people's strings
        tree = ast.parse(text)
    lines = Lines(text)
    blocks: list[Block | None] = []
    docstring = ast.get_docstring(tree, clean=True)
    body = tree.body
    position = 0
    if docstring is not None:
        last = body[0].end_lineno or 1
        blocks.append(lines.block("paragraph", body[0].lineno - 1, last))
        body, position = body[1:], last
    run = position
    for node in body:
        end = node.end_lineno or node.lineno
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            first = _first_line(node, lines, position)
            blocks += [lines.block("code", run, first), lines.block("code", first, end)]
            run = end
        position = max(position, end)
    blocks.append(lines.block("code", run, len(lines)))
    return Parsed(text, tuple(b for b in blocks if b is not None))


def _first_line(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, lines: Lines, floor: int) -> int:
    """0-based line where a definition begins, its decorators and the comments right above them included."""
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1
    while first > floor and lines.lines[first - 1].startswith("#"):
        first -= 1
    return first
