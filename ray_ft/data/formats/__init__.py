"""Which files are read, as what, and by which parser; every parser gives a text and blocks with exact spans of it.

To add a format, write `parse(text) -> Parsed` in a file here and name its extensions in `FORMATS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from ray_ft.data.formats.base import Parsed
from ray_ft.data.formats.code import code_parser
from ray_ft.data.formats.html import parse_html
from ray_ft.data.formats.markdown import parse_markdown
from ray_ft.data.formats.rst import parse_rst
from ray_ft.data.formats.text import parse_lines, parse_text

__all__ = ["FORMATS", "Format", "Parsed", "format_of", "parse"]


@dataclass(frozen=True)
class Format:
    """How a kind of file is read; `language` is the programming language of code, "" for documents."""

    name: str
    parse: Callable[[str], Parsed]
    language: str = ""


MARKDOWN = Format("markdown", parse_markdown)
RST = Format("rst", parse_rst)
HTML = Format("html", parse_html)
TEXT = Format("text", parse_text)


def _code(language: str) -> Format:
    """Code that a tree-sitter grammar reads."""
    return Format(language, code_parser(language), language)


def _lines(language: str) -> Format:
    """Code without a grammar: `code_raw` and the retrieval index take its lines, other recipes do not."""
    return Format("code", parse_lines, language)


FORMATS: dict[str, Format] = {
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".rst": RST,
    ".html": HTML,
    ".htm": HTML,
    ".txt": TEXT,
    ".text": TEXT,
    ".py": _code("python"),
    ".pyi": _code("python"),
    ".pyw": _code("python"),
    ".js": _code("javascript"),
    ".mjs": _code("javascript"),
    ".cjs": _code("javascript"),
    ".jsx": _code("javascript"),
    ".ts": _code("typescript"),
    ".mts": _code("typescript"),
    ".cts": _code("typescript"),
    ".tsx": _code("tsx"),
    ".java": _code("java"),
    ".go": _code("go"),
    ".c": _code("c"),
    ".h": _code("c"),
    ".cc": _code("cpp"),
    ".cpp": _code("cpp"),
    ".cxx": _code("cpp"),
    ".hpp": _code("cpp"),
    ".hh": _code("cpp"),
    ".hxx": _code("cpp"),
    ".cs": _code("csharp"),
    ".rs": _code("rust"),
    ".rb": _code("ruby"),
    ".php": _code("php"),
    ".sh": _code("bash"),
    ".bash": _code("bash"),
    ".kt": _lines("kotlin"),
    ".scala": _lines("scala"),
    ".sql": _lines("sql"),
    ".toml": _lines("toml"),
    ".yaml": _lines("yaml"),
    ".yml": _lines("yaml"),
}

FORMATS_BY_NAME = {"README": TEXT, "CHANGELOG": TEXT, "CHANGES": TEXT, "CONTRIBUTING": TEXT}


def format_of(path: str) -> Format | None:
    """The format of a file by its name; None for what ray_ft does not read."""
    name = PurePosixPath(path)
    return FORMATS.get(name.suffix.lower()) or FORMATS_BY_NAME.get(name.name)


def parse(text: str, kind: Format) -> tuple[Parsed, str]:
    """Parse a text; what its parser cannot take is read as plain lines, and the note says why (else it is "")."""
    try:
        parsed = kind.parse(text)
        return parsed, f"{kind.name}: parts do not parse" if "syntax" in parsed.metadata else ""
    except SyntaxError as error:
        return parse_lines(text), f"read as text: not {kind.name}: {error.msg} (line {error.lineno})"
    except (RecursionError, ValueError, LookupError, AttributeError, TypeError, AssertionError) as error:
        # Parsers of others fail in ways of their own on odd input; one file must not end the job or be lost.
        return parse_lines(text), f"read as text: {kind.name} parser: {type(error).__name__}"
