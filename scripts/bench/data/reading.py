"""Pages and megabytes of a second of one core: ray_ft's parsers beside others, in turns, on the files of a folder.

Every contender reads the same files in this process, whose processor time counts, so that other work on the machine
disturbs less. Contenders take turns for some rounds; the best round of each stands in the table. `--earlier FOLDER`
reads with an earlier version instead, in turns with this one.
"""

import argparse
import ast
import io
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.data.earlier import compare
from ray_ft.data.formats import Format, format_of
from ray_ft.data.formats.code import parse_code
from ray_ft.data.formats.pdf import parse_pdf
from ray_ft.data.ingest.reading import decode
from ray_ft.data.run.tasks import rare_collections
from ray_ft.grammars import GRAMMARS
from ray_ft.recipes import CodeMetadata, CodeSummary, Recipe
from ray_ft.rows import Document

Contender = tuple[str, Callable[[], float]]  # name, and a function that reads all and says how much it found
SHOWN = {"pdf": "pages/s", "code": "MB/s", "formats": "MB/s"}


def main(argv: list[str] | None = None) -> int:
    """Measure the parts and print a table of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*SHOWN, "make-pdf"])
    parser.add_argument("path", type=Path, help="folder of files; for make-pdf the file to write")
    parser.add_argument("--rival-site", type=Path, help="folder of packages with other libraries")
    parser.add_argument("--suffix", default=".py", help="of source files, for code")
    parser.add_argument("--max-mb", type=float, default=40.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pages", type=int, default=200, help="about, for make-pdf")
    parser.add_argument("--earlier", type=Path, help="folder of an earlier version of ray_ft to read with in turns")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args(argv)
    if given.rival_site:
        sys.path.append(str(given.rival_site))
    warnings.simplefilter("ignore")
    if given.part == "make-pdf":
        return _make_pdf(given.path, given.pages)
    files = list(_files(given.path, given.part, given.suffix, given.max_mb * 1e6))
    if not files:
        print(f"no files for {given.part} below {given.path}", file=sys.stderr)
        return 1
    if given.earlier:
        return compare(files, given.earlier, given.rounds)
    amount, contenders = PARTS[given.part](files)
    rates = _rates(contenders, amount, given.rounds)
    print(f"{len(files):,} files, {sum(len(d) for _, d in files) / 1e6:.1f} MB, {given.rounds} rounds")
    print(f"| contender | {SHOWN[given.part]} of one core | found |\n|---|---|---|")
    for name, (rate, found) in rates.items():
        print(f"| {name} | {rate:,.1f} | {found:,.0f} |")
    if given.json:
        given.json.write_text(json.dumps({name: rate for name, (rate, _) in rates.items()}, indent=1) + "\n")
    return 0


def _files(folder: Path, part: str, suffix: str, max_bytes: float) -> Iterator[tuple[str, bytes]]:
    """Path and content of the part's files, in the order of paths, until there are enough bytes."""
    wanted = {"pdf": {".pdf"}, "code": {suffix}}.get(part)
    total = 0.0
    for path in sorted(folder.rglob("*")):
        kind = format_of(path.name)
        fits = path.suffix in wanted if wanted else kind is not None and not kind.is_binary
        if fits and path.is_file() and total < max_bytes:
            data = path.read_bytes()
            total += len(data)
            yield str(path), data


def _rates(contenders: list[Contender], amount: Callable[[str], float], rounds: int) -> dict[str, tuple[float, float]]:
    """Best rate of each contender, and how much it found."""
    best: dict[str, tuple[float, float]] = {}
    for _ in range(rounds):
        for name, read in contenders:
            with rare_collections():  # as in a worker of prepare
                started = time.process_time()
                found = read()
                rate = amount(name) / (time.process_time() - started)
            best[name] = max(best.get(name, (0.0, found)), (rate, found))
    return best


def _pdf(files: list[tuple[str, bytes]]) -> tuple[Callable[[str], float], list[Contender]]:
    """Pages; found are the characters."""
    num_pages = sum(int(parse_pdf(data).metadata["pages"]) for _, data in files)

    def each(read: Callable[[bytes], str]) -> Callable[[], float]:
        return lambda: float(sum(len(read(data)) for _, data in files))

    contenders: list[Contender] = [("ray_ft: headings, outline, tables", each(lambda data: parse_pdf(data).text))]
    for name, make in PDF_RIVALS.items():
        try:
            contenders.append((name, each(make())))
        except ImportError:
            print(f"{name}: not installed")
    return lambda name: float(num_pages), contenders


def _pypdf() -> Callable[[bytes], str]:
    from pypdf import PdfReader

    return lambda data: "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages)


def _pdfminer() -> Callable[[bytes], str]:
    from pdfminer.high_level import extract_text

    return lambda data: extract_text(io.BytesIO(data))  # type: ignore[no-any-return]


def _pdfplumber() -> Callable[[bytes], str]:
    import pdfplumber

    def read(data: bytes) -> str:
        with pdfplumber.open(io.BytesIO(data)) as document:
            parts = []
            for page in document.pages:
                parts.append(page.extract_text() or "")
                parts += ["\n".join(" | ".join(c or "" for c in row) for row in t) for t in page.extract_tables()]
                page.close()
            return "\n".join(parts)

    return read


def _pymupdf() -> Callable[[bytes], str]:
    import pymupdf

    return lambda data: "\n".join(page.get_text() for page in pymupdf.open(stream=data))


def _pymupdf_sizes() -> Callable[[bytes], str]:
    import pymupdf

    def read(data: bytes) -> str:
        spans = (
            span
            for page in pymupdf.open(stream=data)
            for block in page.get_text("dict")["blocks"]
            for line in block.get("lines", ())
            for span in line["spans"]
        )
        return "\n".join(f"{span['text']}" for span in spans if span["size"])

    return read


PDF_RIVALS: dict[str, Callable[[], Callable[[bytes], str]]] = {
    "PyMuPDF: text alone": _pymupdf,
    "PyMuPDF: text with sizes": _pymupdf_sizes,
    "pypdf: text alone": _pypdf,
    "pdfminer.six: text alone": _pdfminer,
    "pdfplumber: text and tables": _pdfplumber,
}


def _code(files: list[tuple[str, bytes]]) -> tuple[Callable[[str], float], list[Contender]]:
    """Megabytes; found are definitions, pairs, or files."""
    kind = format_of(files[0][0])
    assert kind is not None
    language = kind.language
    texts = [(path, decode(data).text) for path, data in files]
    num_bytes = sum(len(data) for _, data in files)

    def definitions() -> float:
        return float(sum(len(parse_code(text, language=language).definitions) for _, text in texts))

    def pairs(recipe: Recipe) -> float:
        found = 0
        for path, text in texts:
            parsed = parse_code(text, language=language)
            document = Document(
                path, text, path, language, language, parsed.blocks, parsed.metadata, parsed.definitions
            )
            found += len(recipe.examples(recipe.chunk(document, lambda words: len(words) // 4), None))
        return float(found)

    contenders: list[Contender] = [
        (
            "ray_ft: definitions",
            lambda: float(sum(len(parse_code(t, language=language).definitions) for _, t in texts)),
        ),
        ("ray_ft: pairs by code_summary", lambda: pairs(CodeSummary())),
        ("ray_ft: pairs by code_metadata", lambda: pairs(CodeMetadata())),
        ("tree-sitter: parse alone", lambda: float(sum(_parsed_alone(t, language) for _, t in texts))),
    ]
    if language == "python":
        contenders.append(("ast: parse and docstrings", lambda: float(sum(_by_ast(text) for _, text in texts))))
    return lambda name: num_bytes / 1e6, contenders


def _parsed_alone(text: str, language: str) -> bool:
    return GRAMMARS[language].parser().parse(text.encode()) is not None


def _by_ast(text: str) -> int:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return 0
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    return len(
        [
            (ast.get_docstring(node), ast.unparse(node.args) if not isinstance(node, ast.ClassDef) else "")
            for node in found
        ]
    )


def _formats(files: list[tuple[str, bytes]]) -> tuple[Callable[[str], float], list[Contender]]:
    """Megabytes of each format; found are blocks."""
    by_format: dict[str, list[tuple[Format, str]]] = {}
    sizes: dict[str, int] = {}
    for path, data in files:
        kind = format_of(path)
        if kind is not None and (text := decode(data).text):
            by_format.setdefault(kind.name, []).append((kind, text))
            sizes[kind.name] = sizes.get(kind.name, 0) + len(data)

    def blocks(texts: list[tuple[Format, str]]) -> float:
        found = 0
        for kind, text in texts:
            try:
                found += len(kind.parse(text).blocks)
            except Exception:  # as reading does, which takes it as plain lines then
                continue
        return float(found)

    def contender(name: str) -> Contender:
        return name, lambda: blocks(by_format[name])

    return lambda name: sizes[name] / 1e6, [contender(name) for name in sorted(by_format)]


PARTS: dict[str, Callable[[list[tuple[str, bytes]]], tuple[Callable[[str], float], list[Contender]]]] = {
    "pdf": _pdf,
    "code": _code,
    "formats": _formats,
}


def _make_pdf(path: Path, num_pages: int) -> int:
    """A manual of chapters, sections, paragraphs and ruled tables, by ReportLab; always the same."""
    import random

    from reportlab.lib import colors
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Table, TableStyle

    rng, styles = random.Random(0), getSampleStyleSheet()
    words = "ferry ramp harbour vessel crew operator checks valve report route cargo deck".split()  # noqa: SIM905
    ruled = TableStyle([("GRID", (0, 0), (-1, -1), 0.5, colors.black)])
    story: list[Any] = []
    for chapter in range(1, num_pages // 3 + 1):
        story.append(Paragraph(f"{chapter} Chapter about the {rng.choice(words)}", styles["Heading1"]))
        for section in range(1, 4):
            story.append(Paragraph(f"{chapter}.{section} Section on the {rng.choice(words)}", styles["Heading2"]))
            for _ in range(5):
                text = " ".join(rng.choice(words) for _ in range(120))
                story.append(Paragraph(text.capitalize() + ".", styles["BodyText"]))
        story.append(Table([[f"{rng.choice(words)} {i}" for i in range(4)] for _ in range(6)], style=ruled))
    SimpleDocTemplate(str(path), invariant=True).build(story)
    return 0
