"""Which files are read, as what, and by which parser; every parser gives a text and blocks with exact spans of it.

To add a format, write `parse(text) -> Parsed` in a file here (of bytes, with `is_binary`) and name its extensions in
`FORMATS`. Parsers of binary files run in a child process, and so do the others on files that may take them long.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ray_ft.data.formats.base import Parsed
from ray_ft.data.formats.code import code_parser
from ray_ft.data.formats.delimited import parse_csv
from ray_ft.data.formats.html import parse_html
from ray_ft.data.formats.markdown import parse_markdown
from ray_ft.data.formats.notebook import parse_notebook
from ray_ft.data.formats.office.slides import parse_pptx
from ray_ft.data.formats.office.word import parse_docx
from ray_ft.data.formats.office.workbook import parse_xlsx
from ray_ft.data.formats.pdf import parse_pdf
from ray_ft.data.formats.rst import parse_rst
from ray_ft.data.formats.text import parse_lines, parse_text

__all__ = ["FORMATS", "Format", "Parsed", "format_of"]


@dataclass(frozen=True)
class Format:
    """How a kind of file is read; `language` is the programming language of code, "" for documents."""

    name: str
    parse: Callable[[Any], Parsed]  # of a text, or of bytes where the format is binary
    language: str = ""
    is_binary: bool = False
    max_here: int = 10**12  # characters; longer texts are parsed in a child process
    max_tags_here: int = 10**12  # signs "<": trees of markup take time by the square of their depth
    is_text: bool = True  # reads as plain lines where its parser fails; else the file is put aside


MARKDOWN = Format("markdown", parse_markdown, max_here=2**20)
RST = Format("rst", parse_rst, max_here=2**17)
HTML = Format("html", parse_html, max_here=2**18, max_tags_here=20_000)
TEXT = Format("text", parse_text)
CSV = Format("csv", parse_csv)
NOTEBOOK = Format("notebook", parse_notebook, max_here=2**20, is_text=False)
PDF = Format("pdf", parse_pdf, is_binary=True, is_text=False)
DOCX = Format("docx", parse_docx, is_binary=True, is_text=False)
PPTX = Format("pptx", parse_pptx, is_binary=True, is_text=False)
XLSX = Format("xlsx", parse_xlsx, is_binary=True, is_text=False)


def _code(language: str) -> Format:
    """Code that a tree-sitter grammar reads."""
    return Format(language, code_parser(language), language, max_here=2**19)


def _lines(language: str) -> Format:
    """Code without a grammar: `code_raw` and the retrieval index take its lines, other recipes do not."""
    return Format("code", parse_lines, language)


FORMATS: dict[str, Format] = {
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".rst": RST,
    ".html": HTML,
    ".htm": HTML,
    ".pdf": PDF,
    ".docx": DOCX,
    ".pptx": PPTX,
    ".xlsx": XLSX,
    ".xlsm": XLSX,
    ".ipynb": NOTEBOOK,
    ".csv": CSV,
    ".tsv": CSV,
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
