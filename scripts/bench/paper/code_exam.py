"""An exam of functions: what stands in the sources is the reference."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

LINES = range(4, 15)
"""Of a function that is asked for: more would be longer than the answers may be."""


def write_exam(sources: Path, path: Path) -> int:
    """One question for each function with a docstring below `sources`, in other words than the recipes' prompts."""
    questions = [
        {
            "id": f"{file.relative_to(sources).as_posix()}:{name}",
            "question": f"What is the source code of `{name}` in {file.as_posix()}? It should: {summary}",
            "reference": source,
            "document_id": file.as_posix(),
            "kind": "implement",
            "language": "python",
        }
        for file in sorted(sources.rglob("*.py"))
        for name, summary, source in functions(file.read_text(encoding="utf-8"))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(question) + "\n" for question in questions), encoding="utf-8")
    return len(questions)


def functions(text: str) -> Iterator[tuple[str, str, str]]:
    """Name, first line of the docstring and source, indented as a function by itself, of those that are short."""
    lines = text.splitlines()
    tree = ast.parse(text)
    members = [("", node) for node in tree.body]
    members += [(f"{c.name}.", node) for c in tree.body if isinstance(c, ast.ClassDef) for node in c.body]
    for prefix, node in members:
        if not isinstance(node, ast.FunctionDef) or not (docstring := ast.get_docstring(node)):
            continue
        begin = min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1
        body = lines[begin : node.end_lineno]
        if len(body) in LINES:
            source = "\n".join(line[node.col_offset :] for line in body)
            yield prefix + node.name, " ".join(docstring.split("\n\n")[0].split()), source
