"""Which files are read, as what, and by which parser; every parser gives a text and blocks with exact spans of it.

To add a format, write `parse(text) -> Parsed` in a file here and name its extensions in `FORMATS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from ray_ft.data.formats.base import Parsed
from ray_ft.data.formats.html import parse_html
from ray_ft.data.formats.markdown import parse_markdown
from ray_ft.data.formats.python import parse_python
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
PYTHON = Format("python", parse_python, "python")


def _code(language: str) -> Format:
    """Code without a parser of its own: `code_raw` and the retrieval index take its lines, other recipes do not."""
    return Format("code", parse_lines, language)


FORMATS: dict[str, Format] = {
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".rst": RST,
    ".html": HTML,
    ".htm": HTML,
    ".txt": TEXT,
    ".text": TEXT,
    ".py": PYTHON,
    ".pyi": PYTHON,
    ".c": _code("c"),
    ".cc": _code("cpp"),
    ".cpp": _code("cpp"),
    ".cs": _code("csharp"),
    ".go": _code("go"),
    ".h": _code("c"),
    ".hpp": _code("cpp"),
    ".java": _code("java"),
    ".js": _code("javascript"),
    ".kt": _code("kotlin"),
    ".php": _code("php"),
    ".rb": _code("ruby"),
    ".rs": _code("rust"),
    ".scala": _code("scala"),
    ".sh": _code("bash"),
    ".sql": _code("sql"),
    ".toml": _code("toml"),
    ".ts": _code("typescript"),
    ".yaml": _code("yaml"),
    ".yml": _code("yaml"),
}

FORMATS_BY_NAME = {"README": TEXT, "CHANGELOG": TEXT, "CHANGES": TEXT, "CONTRIBUTING": TEXT}


def format_of(path: str) -> Format | None:
    """The format of a file by its name; None for what ray_ft does not read."""
    name = PurePosixPath(path)
    return FORMATS.get(name.suffix.lower()) or FORMATS_BY_NAME.get(name.name)


def parse(text: str, kind: Format) -> tuple[Parsed, str]:
    """Parse a text; what its parser cannot take is read as plain lines, and the note says why (else it is "")."""
    try:
        return kind.parse(text), ""
    except SyntaxError as error:
        return parse_lines(text), f"read as text: not {kind.name}: {error.msg} (line {error.lineno})"
    except (RecursionError, ValueError, LookupError, AttributeError, TypeError, AssertionError) as error:
        # Parsers of others fail in ways of their own on odd input; one file must not end the job or be lost.
        return parse_lines(text), f"read as text: {kind.name} parser: {type(error).__name__}"
