"""Code that changes undoes what it made and no more, and nothing that decides is forgotten."""

import ast
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from ray_ft.data.run.digests import PACKAGE, PARTS, Step, code_digest, files_of

STAGES: dict[Step, str] = {"read": "data/ingest/stage.py", "write": "data/build/stage.py"}
# What the stages import and no document depends on: what drives the work, and what is in a key by its value.
DECIDES_NOTHING = (
    "artifacts", "config", "engines", "errors.py", "kernels", "locks.py", "progress.py", "quiet.py", "registry.py",
    "storage", "strategies", "__init__.py", "data/run", "models", "data/__init__.py",
    # Placements are part of a group's name.
    "data/dedup/clusters.py", "data/dedup/columns.py", "data/dedup/containment.py", "data/dedup/file_share.py",
    "data/dedup/placements.py", "data/dedup/__init__.py",
    "data/dedup/leakage.py",  # It keeps a set or none, and changes nothing in it.
)  # fmt: skip


def _imports(path: Path) -> Iterator[str]:
    """Full names that a module imports, also within functions; not what only types need."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    blocks = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test)]
    typing_only = {id(node) for block in blocks for node in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _file(name: str) -> Path | None:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def _needed(start: Path) -> set[Path]:
    """The package's modules that one needs, but for those that decide nothing."""
    seen: set[Path] = set()
    left = [start]
    while left:
        path = left.pop()
        relative = path.relative_to(PACKAGE)
        if path in seen or any(relative.is_relative_to(part) for part in DECIDES_NOTHING):
            continue
        seen.add(path)
        left += [found for name in _imports(path) if name.startswith("ray_ft") and (found := _file(name))]
    return seen


@pytest.mark.parametrize("step", STAGES)
def test_all_that_a_step_needs_counts_for_it(step: Step) -> None:
    needed = _needed(PACKAGE / STAGES[step])
    assert len(needed) > 80
    assert {str(path.relative_to(PACKAGE)) for path in needed - set(files_of(PARTS[step][0]))} == set()


@pytest.mark.parametrize("step", STAGES)
def test_the_libraries_that_a_step_imports_count_for_it(step: Step) -> None:
    code = [path for path in files_of(PARTS[step][0]) if not path.is_relative_to(PACKAGE / "data" / "generation")]
    tops = {name.split(".")[0] for path in code for name in _imports(path)} - set(sys.stdlib_module_names)
    named = {one.lower().replace("_", "-") for one in PARTS[step][1]}
    driving = {"ray-ft", "ray", "fsspec", "torch", "safetensors"}  # they move bytes and run the work
    for top in sorted(tops - {"ray_ft"}):
        distributions = {name.lower().replace("_", "-") for name in packages_distributions().get(top, ())}
        assert not distributions or distributions & (named | driving), top


@pytest.mark.parametrize(
    ("changed", "steps"),
    [
        ("data/report/summary.py", set()),
        ("training/export/model_card.py", set()),
        ("data/dedup/clusters.py", set()),
        ("recipes/heading.py", {"write"}),
        ("data/build/packing.py", {"write"}),
        ("data/formats/notebook.py", {"read", "write"}),
        ("words.py", {"read", "write"}),
    ],
)
def test_a_change_counts_where_it_may_matter(tmp_path: Path, changed: str, steps: set[Step]) -> None:
    package = tmp_path / "ray_ft"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    with (package / changed).open("a", encoding="utf-8") as stream:
        stream.write("# Another line.\n")
    assert {step for step in STAGES if code_digest(step, package) != code_digest(step)} == steps
