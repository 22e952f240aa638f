"""Which files are read, as what, and by which parser; every parser gives a text and blocks with exact spans of it.

To add a format, write `parse(text) -> Parsed` in a file here (of bytes, with `is_binary`) and name its extensions in
`FORMATS`. Parsers of binary files run in a child process, and so do the others on files that may take them long.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from ray_ft.data.formats.base import Parsed
from ray_ft.data.formats.code import code_parser, parse_plain_code, parse_sql
from ray_ft.data.formats.code.dialect import is_cpp
from ray_ft.data.formats.delimited import parse_csv
from ray_ft.data.formats.exports.epub import parse_epub
from ray_ft.data.formats.exports.interfaces import parse_json, parse_yaml
from ray_ft.data.formats.exports.mail import parse_mail, parse_mbox
from ray_ft.data.formats.exports.wikis import parse_xml
from ray_ft.data.formats.html import parse_html
from ray_ft.data.formats.lightweight.asciidoc import parse_asciidoc
from ray_ft.data.formats.lightweight.latex import parse_latex
from ray_ft.data.formats.lightweight.markdown.parse import parse_markdown
from ray_ft.data.formats.lightweight.mdx import parse_mdx
from ray_ft.data.formats.lightweight.mediawiki import parse_mediawiki
from ray_ft.data.formats.lightweight.org import parse_org
from ray_ft.data.formats.notebook import parse_notebook
from ray_ft.data.formats.office.slides import parse_pptx
from ray_ft.data.formats.office.word import parse_docx
from ray_ft.data.formats.office.workbook import parse_xlsx
from ray_ft.data.formats.pdf import parse_pdf
from ray_ft.data.formats.rst import parse_rst
from ray_ft.data.formats.text import parse_text

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
    packed: str = ""  # by what: a name of PACKED


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
MDX = Format("mdx", parse_mdx, max_here=2**20)
ASCIIDOC = Format("asciidoc", parse_asciidoc, max_here=2**20)
ORG = Format("org", parse_org, max_here=2**20)
MEDIAWIKI = Format("mediawiki", parse_mediawiki, max_here=2**18)
LATEX = Format("latex", parse_latex, max_here=2**17)
EPUB = Format("epub", parse_epub, is_binary=True, is_text=False)
MAIL = Format("mail", parse_mail, is_binary=True, is_text=False)
MBOX = Format("mail", parse_mbox, is_binary=True, is_text=False)
XML = Format("wiki export", parse_xml, is_binary=True, is_text=False)
JSON = Format("json", parse_json, max_here=2**20)
YAML = Format("yaml", parse_yaml, max_here=2**20)


def _code(language: str) -> Format:
    """Code that a tree-sitter grammar reads."""
    return Format(language, code_parser(language), language, max_here=2**19)


def _lines(language: str) -> Format:
    """Code without a grammar: `code_raw` and the retrieval index take its lines, other recipes do not."""
    return Format("code", parse_plain_code, language)


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
    ".kt": _code("kotlin"),
    ".scala": _code("scala"),
    ".sql": Format("sql", parse_sql, "sql", max_here=2**20),
    ".toml": _lines("toml"),
    ".yaml": YAML,
    ".yml": YAML,
    ".json": JSON,
    ".mdx": MDX,
    ".adoc": ASCIIDOC,
    ".asciidoc": ASCIIDOC,
    ".asc": ASCIIDOC,
    ".org": ORG,
    ".wiki": MEDIAWIKI,
    ".mediawiki": MEDIAWIKI,
    ".tex": LATEX,
    ".latex": LATEX,
    ".epub": EPUB,
    ".eml": MAIL,
    ".mbox": MBOX,
    ".xml": XML,
    ".xhtml": HTML,
    ".tf": _code("terraform"),
    ".hcl": _code("terraform"),
    ".dockerfile": _lines("dockerfile"),
    ".swift": _code("swift"),
    ".sc": _code("scala"),
    ".kts": _code("kotlin"),
    ".lua": _code("lua"),
    ".pl": _lines("perl"),
    ".pm": _lines("perl"),
    ".r": _lines("r"),
    ".cmake": _lines("cmake"),
    ".mk": _lines("make"),
    ".gradle": _lines("groovy"),
    ".groovy": _lines("groovy"),
    ".proto": _lines("protobuf"),
    ".graphql": _lines("graphql"),
    ".ps1": _lines("powershell"),
    ".zsh": _code("bash"),
}

FORMATS_BY_NAME = {
    **dict.fromkeys(("README", "CHANGELOG", "CHANGES", "CONTRIBUTING", "HISTORY", "NEWS"), TEXT),
    **dict.fromkeys(("Dockerfile", "Containerfile"), _lines("dockerfile")),
    **dict.fromkeys(("Makefile", "GNUmakefile", "makefile"), _lines("make")),
    **dict.fromkeys(("Gemfile", "Rakefile", "Vagrantfile", "Podfile", "Brewfile"), _code("ruby")),
    "CMakeLists.txt": _lines("cmake"),
    "Jenkinsfile": _lines("groovy"),
}

SHEBANG = re.compile(rb"#![ \t]*+\S*?/(?:env[ \t]++(?:-S[ \t]++)?)?([a-zA-Z]++)[\d.]*+(?=\s|$)")
INTERPRETERS = {
    **dict.fromkeys(("sh", "bash", "dash", "ksh", "zsh", "ash"), FORMATS[".sh"]),
    **{"python": FORMATS[".py"], "node": FORMATS[".js"], "ruby": FORMATS[".rb"], "php": FORMATS[".php"]},
    **{"perl": FORMATS[".pl"], "lua": FORMATS[".lua"], "Rscript": FORMATS[".r"], "groovy": FORMATS[".groovy"]},
}
HEAD_BYTES = 256  # of a file without a suffix, which tell what it is

PACKED = (".gz", ".bz2", ".xz")


def format_of(path: str, head: bytes = b"") -> Format | None:
    """The format of a file by its name, or by how one without a suffix begins; None for what ray_ft does not read."""
    name = path.rpartition("/")[2]
    suffix = _suffix(name)
    if suffix in PACKED:
        inner = format_of(name[: -len(suffix)])
        return replace(inner, packed=suffix) if inner is not None else None
    found = FORMATS_BY_NAME.get(name) or FORMATS.get(suffix)
    if found is None and name.startswith(("Dockerfile.", "Containerfile.")):
        found = FORMATS_BY_NAME["Dockerfile"]
    if found is None and not suffix and (shebang := SHEBANG.match(head)) is not None:
        return INTERPRETERS.get(shebang.group(1).decode())
    return found


def may_be_script(path: str) -> bool:
    """Whether only a file's beginning tells what it is."""
    return not _suffix(path.rpartition("/")[2]) and format_of(path) is None


def _suffix(name: str) -> str:
    """As `PurePosixPath.suffix`, which takes as long as all else that a name tells, in lower case."""
    place = name.rfind(".")
    return name[place:].lower() if 0 < place < len(name) - 1 else ""


def format_by_text(kind: Format, path: str, text: str) -> Format:
    """The format of a file whose name leaves it open; `kind` is what its name tells."""
    suffix = PurePosixPath(path.removesuffix(kind.packed)).suffix.lower()
    return replace(FORMATS[".hpp"], packed=kind.packed) if suffix == ".h" and is_cpp(text) else kind
