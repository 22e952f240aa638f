"""Functions, methods and classes of Python source with what is known about them; other languages give none yet."""

import ast
import io
import tokenize
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from ray_ft.recipes.chunking import Span
from ray_ft.rows import Document

Node = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Definition:
    """One definition; spans cover whole lines of the document's text, decorators included."""

    name: str  # qualified by the enclosing classes
    kind: Literal["function", "method", "class"]
    signature: str
    docstring: str
    enclosing: str  # header of the enclosing class, or ""
    imports: tuple[str, ...]  # the module's imports whose names the definition uses
    comments: tuple[str, ...]
    start: int
    end: int
    head_end: int  # after the docstring, or after the signature without one
    is_trivial: bool  # nothing but pass, ... or a docstring

    def span(self, document: Document, *, head_only: bool = False) -> Span:
        """The span that becomes a chunk, with everything a recipe needs in its metadata."""
        metadata = {
            "kind": self.kind,
            "name": self.name,
            "signature": self.signature,
            "docstring": self.docstring,
            "enclosing": self.enclosing,
            "imports": "\n".join(self.imports),
            "comments": "\n".join(self.comments),
        }
        end = self.head_end if head_only else self.end
        return Span(self.start, end, (document.path, self.name), {k: v for k, v in metadata.items() if v})


def find_definitions(document: Document) -> list[Definition]:
    """Functions and methods (not those nested in functions) and classes, in order; empty for what is no Python 3."""
    return list(_definitions(document.text)) if document.language == "python" else []


@lru_cache(maxsize=2)  # several recipes ask about the document at hand
def _definitions(text: str) -> tuple[Definition, ...]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    source = _Source(text, tree)
    return tuple(_definition(node, parents, source) for node, parents in _walk(tree.body, ()))


class _Source:
    """Line offsets, comments and imports of a module, found once."""

    def __init__(self, text: str, tree: ast.Module) -> None:
        self.lines = text.split("\n")
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line) + 1)
        self.comments = _comments(text)
        self.imports = [
            (line, names)
            for node in tree.body
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for line, names in [_import_line(node)]
        ]

    def line_end(self, number: int) -> int:
        """Offset after the last character of a 1-based line."""
        return self.starts[number - 1] + len(self.lines[number - 1].rstrip())


def _walk(body: list[ast.stmt], parents: tuple[ast.ClassDef, ...]) -> list[tuple[Node, tuple[ast.ClassDef, ...]]]:
    found: list[tuple[Node, tuple[ast.ClassDef, ...]]] = []
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.append((node, parents))
        elif isinstance(node, ast.ClassDef):
            found.append((node, parents))
            found += _walk(node.body, (*parents, node))
        elif isinstance(node, (ast.If, ast.Try, ast.With)):
            found += _walk(node.body, parents)
    return found


def _definition(node: Node, parents: tuple[ast.ClassDef, ...], source: _Source) -> Definition:
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    last = node.end_lineno or node.lineno
    # An escape such as \ud800 in a docstring makes text that cannot be written as UTF-8.
    docstring = (ast.get_docstring(node) or "").encode("utf-8", "replace").decode()
    body = node.body
    if docstring:
        head_end = source.line_end(body[0].end_lineno or body[0].lineno)
    else:
        head_end = source.line_end(max(node.lineno, body[0].lineno - 1) if body else node.lineno)
    rest = body[1:] if docstring else body
    used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return Definition(
        name=".".join([*(p.name for p in parents), node.name]),
        kind="class" if isinstance(node, ast.ClassDef) else "method" if parents else "function",
        signature=_signature(node),
        docstring=docstring,
        enclosing=_signature(parents[-1]) if parents else "",
        imports=tuple(line for line, names in source.imports if names & used),
        comments=tuple(text for line, text in source.comments if first <= line <= last),
        start=source.starts[first - 1],
        end=source.line_end(last),
        head_end=head_end,
        is_trivial=all(isinstance(n, ast.Pass) or _is_ellipsis(n) for n in rest),
    )


def _signature(node: Node) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(b) for b in [*node.bases, *(k.value for k in node.keywords)])
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    keyword = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    return f"{keyword} {node.name}({ast.unparse(node.args)}){returns}"


def _is_ellipsis(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...


def _import_line(node: ast.Import | ast.ImportFrom) -> tuple[str, set[str]]:
    names = {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return ast.unparse(node), names


def _comments(text: str) -> list[tuple[int, str]]:
    """(line, words) of every comment; type and linter directives are not for readers."""
    found: list[tuple[int, str]] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            words = token.string.lstrip("#!: ").strip()
            directive = words.startswith(("type:", "noqa", "pragma", "fmt:", "mypy:", "pylint", "ruff:"))
            if token.type == tokenize.COMMENT and words and not directive and any(c.isalpha() for c in words):
                found.append((token.start[0], words))
    except (tokenize.TokenError, IndentationError, SyntaxError):
        pass
    return found
