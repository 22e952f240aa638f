"""Notebooks by nbformat: Markdown and code of the cells, and the short texts that they printed; a page is a cell."""

import json
import re
from collections.abc import Iterator
from typing import Any

from ray_ft.data.formats.assemble import Piece, assemble, pieces_of
from ray_ft.data.formats.base import Parsed, Unreadable
from ray_ft.data.formats.lightweight.markdown.parse import read_markdown

MAX_OUTPUT = 4096  # characters of what a cell printed; longer ones are data
ENCODED = re.compile(r"[A-Za-z0-9+/=]{200,}")  # images and the like
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")  # colours of a terminal


def parse_notebook(text: str) -> Parsed:
    """Blocks cell by cell. Raises Unreadable for what is no notebook."""
    import nbformat

    try:
        notebook = nbformat.reads(text, as_version=4)
    except (nbformat.validator.NotebookValidationError, json.JSONDecodeError, RecursionError) as error:
        raise Unreadable("damaged", str(error).split("\n")[0][:200], broken=True) from None
    except Exception as error:  # of many kinds, where keys are missing
        raise Unreadable("damaged", f"{type(error).__name__}: {error}"[:200], broken=True) from None
    language = str(notebook.get("metadata", {}).get("kernelspec", {}).get("language", "") or "python")
    pieces = [piece for number, cell in enumerate(notebook.cells, start=1) for piece in _cell(cell, number, language)]
    whole, blocks = assemble(pieces)
    return Parsed(whole, blocks, {"pages": str(len(notebook.cells)), "kernel": language})


def _cell(cell: Any, page: int, language: str) -> Iterator[Piece]:
    source = cell.source.strip("\n")
    if cell.cell_type == "markdown":
        yield from pieces_of(read_markdown(ENCODED.sub("", source)).blocks, page=page)
    elif cell.cell_type == "code" and source.strip():
        yield Piece("code", f"```{language}\n{source.rstrip()}\n```", page=page)
        printed = "".join(_printed(output) for output in cell.get("outputs", []))
        printed = ESCAPES.sub("", printed).strip("\n").rstrip()
        if printed and len(printed) <= MAX_OUTPUT and not ENCODED.search(printed):
            yield Piece("code", f"```text\n{printed}\n```", page=page)


def _printed(output: Any) -> str:
    """The text of an output: what was printed, or the plain form of a result; errors and pictures have none."""
    if output.output_type == "stream":
        return str(output.get("text", ""))
    if output.output_type in ("execute_result", "display_data"):
        plain = output.get("data", {}).get("text/plain", "")
        return ("".join(plain) if isinstance(plain, list) else str(plain)) + "\n"
    return ""
