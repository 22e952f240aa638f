"""What a kept result depends on beside its content: settings, and the code and libraries of the step that made it.

Each step counts its own code alone. So another report or dataset card reads nothing again and writes nothing again,
another recipe reads nothing again, and another parser does both.
"""

import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from ray_ft.artifacts import to_json

Step = Literal["read", "write"]

PACKAGE = Path(__file__).parents[2]
READ_CODE = (
    "data/dedup/decontamination.py", "data/dedup/edges.py", "data/dedup/heads.py", "data/dedup/minhash.py",
    "data/dedup/shingles.py", "data/dedup/splits.py", "data/documents.py", "data/filters", "data/formats",
    "data/ingest", "data/run/typed.py", "data/sources", "grammars.py", "overlap.py", "rows.py", "source_folders.py",
    "words.py",
)  # fmt: skip
WRITE_CODE = (
    *READ_CODE, "data/build", "data/generation", "data/schemas.py", "data/tokenization", "models/added_tokens.py",
    "models/chat_text.py", "models/tokenizer.py", "recipes",
)  # fmt: skip
READ_LIBRARIES = (
    "ray_ft", "charset-normalizer", "datasets", "docutils", "lxml", "markdown-it-py", "mwparserfromhell", "nbformat",
    "numpy", "openpyxl", "pathspec", "py3langid", "pyarrow", "pylatexenc", "pypdf", "pypdfium2", "python-docx",
    "python-pptx", "pyyaml", "rensa", "selectolax", "tree-sitter",
    *(f"tree-sitter-{language}" for language in (
        "bash", "c", "c-sharp", "cpp", "go", "hcl", "java", "javascript", "kotlin", "lua", "php", "python", "ruby",
        "rust", "scala", "swift", "typescript",
    )),
)  # fmt: skip
WRITE_LIBRARIES = (*READ_LIBRARIES, "rapidfuzz", "tokenizers", "transformers")
PARTS: Mapping[Step, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "read": (READ_CODE, READ_LIBRARIES),
    "write": (WRITE_CODE, WRITE_LIBRARIES),
}


def parse_digest(settings: Any) -> str:
    """Of all that parsing depends on beside the item."""
    return digest_of({"settings": settings, "code": code_digest("read")})


def digest_of(value: Any) -> str:
    """Of the JSON form of a value."""
    text = json.dumps(to_json(value), sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@cache
def code_digest(step: Step, package: Path = PACKAGE) -> str:
    """Of the code and the libraries that decide what a step makes: what other code kept is not taken over."""
    code, libraries = PARTS[step]
    hasher = hashlib.sha256()
    for file in files_of(code, package):
        hasher.update(file.read_bytes())
    hasher.update(json.dumps(_versions(libraries)).encode())
    return hasher.hexdigest()[:32]


def files_of(code: Iterable[str], package: Path = PACKAGE) -> list[Path]:
    """The modules that parts of the package name."""
    paths = [package / part for part in code]
    return [file for path in paths for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]


def source_of(value: Any) -> str:
    """The code of a recipe or an engine, which may stand outside this package; its name where it cannot be read."""
    try:
        return inspect.getsource(type(value))
    except (OSError, TypeError):
        return f"{type(value).__module__}.{type(value).__qualname__}"


def _versions(libraries: Iterable[str]) -> Mapping[str, str]:
    found = {}
    for name in libraries:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found
