"""A corpus of any size from Python's standard library: its files, and pages of its docstrings, with changed words.

Every copy exchanges half of the longer words for others of the library, so that no two copies are near to each other
and all of them are kept; what the parsers find, and how long tokens and lines are, stays about the same.
"""

import ast
import keyword
import re
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path

import numpy as np

SHARE_OF_PAGES = 0.25  # of a corpus, in bytes; the rest is code
MIN_USES = 5  # of a word that stands for others
MAX_FILE_BYTES = 300_000
WORD = re.compile(r"(?<![\w\\'\"])[A-Za-z_]{4,}(?![\w'\"])")


def write_corpus(folder: Path, num_parts: int, part_bytes: int) -> None:
    """Folders part_00, part_01 ... of `part_bytes` each, all different, on all processors."""
    vocabulary()  # once, for the processes that are forked from this one
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(write_part, folder, part_bytes), range(num_parts)))


def write_part(folder: Path, part_bytes: int, number: int) -> None:
    """One part: files and pages of copies that no other part has, until it has its bytes."""
    target = folder / f"part_{number:02d}"
    target.mkdir(parents=True)
    code, pages = standard_library()
    for kind, texts, num_bytes in (
        ("code", code, (1 - SHARE_OF_PAGES) * part_bytes),
        ("pages", pages, SHARE_OF_PAGES * part_bytes),
    ):
        total, copy = 0, 0
        while total < num_bytes:
            words = exchange(seed=1000 * number + copy)
            for name, text in texts:
                path = target / kind / f"copy_{copy}" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                changed = WORD.sub(lambda match, words=words: words.get(match[0], match[0]), text)  # type: ignore[misc]
                total += path.write_bytes(changed.encode("utf-8", "replace"))
                if total >= num_bytes:
                    break
            copy += 1


def exchange(seed: int) -> dict[str, str]:
    """For half of the library's words, drawn by the seed, another one that is about as long."""
    words = np.array(vocabulary())
    random = np.random.default_rng(seed)
    chosen = np.flatnonzero(random.random(len(words)) < 0.5)
    # Words are in order of length; drawn neighbours, some dozens apart, take each other's place.
    other = chosen[np.clip(np.arange(len(chosen)) + random.integers(-40, 41, len(chosen)), 0, len(chosen) - 1)]
    return dict(zip(words[chosen].tolist(), words[other].tolist(), strict=True))


@cache
def vocabulary() -> list[str]:
    """Words of the library that stand in several places, by length; none that Python itself gives a meaning."""
    counts = Counter(match[0] for _, text in standard_library()[0] for match in WORD.finditer(text))
    reserved = {*keyword.kwlist, *keyword.softkwlist, "self"}
    return sorted((w for w, n in counts.items() if n >= MIN_USES and w not in reserved), key=lambda w: (len(w), w))


@cache
def standard_library() -> tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]]]:
    """(name, text) of the modules, tests left out, and of a Markdown page for each that has docstrings."""
    root = Path(sysconfig.get_paths()["stdlib"])
    code, pages = [], []
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if {"site-packages", "dist-packages", "test", "tests", "idlelib"} & set(relative.parts):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if 200 < len(text) < MAX_FILE_BYTES:
            code.append((relative.as_posix(), text))
            if page := page_of(relative.stem, text):
                pages.append((relative.with_suffix(".md").as_posix(), page))
    return code, pages


def page_of(title: str, source: str) -> str:
    """A Markdown page of a module's docstrings; empty where there is little to say."""
    try:
        parts = list(_parts(ast.parse(source), 2))
    except (SyntaxError, ValueError, RecursionError):
        return ""
    page = "\n".join([f"# {title}\n", *parts])
    return page if len(page) > 1000 else ""


def _parts(node: ast.AST, level: int) -> Iterator[str]:
    if isinstance(node, ast.Module) and (text := ast.get_docstring(node)):
        yield f"{text}\n"
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            if text := ast.get_docstring(child):
                yield f"{'#' * min(level, 6)} {child.name}\n\n{text}\n"
            yield from _parts(child, level + 1)


def num_bytes_of(folder: Path) -> int:
    """Of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    write_corpus(Path(sys.argv[1]), int(sys.argv[2]), int(float(sys.argv[3]) * 1e6))
