"""The package is laid out in small rooms: few files a folder, short files, and imports that run in no circle."""

import ast
import importlib.util
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import ray_ft

PACKAGE = Path(ray_ft.__file__).parent
MAX_FILES = 14  # that lie side by side; an empty __init__.py is no file to read
MAX_LINES = 350

Graph = dict[str, set[str]]


def test_no_folder_holds_more_files_than_a_reader_takes_in() -> None:
    crowded = crowded_folders({path: path.read_text() for path in python_files()})
    assert not crowded, "\n".join(crowded)


def test_every_folder_with_code_is_a_package() -> None:
    """Else neither a wheel nor the import contract knows it."""
    assert {shown(path.parent) for path in python_files() if not (path.parent / "__init__.py").is_file()} == set()


def test_no_file_is_too_long_to_be_one_story() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in python_files()}
    long = [f"{shown(path)}: {lines} lines" for path, lines in lengths.items() if lines > MAX_LINES]
    assert not long, "\n".join(long)


def test_no_modules_import_each_other_in_a_circle() -> None:
    found = circles(import_graph({module_name(path): path.read_text() for path in python_files()}))
    assert not found, "\n".join(found)


def python_files() -> list[Path]:
    """Every Python file of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def shown(path: Path) -> str:
    """A path as it is written in the repository."""
    return path.relative_to(PACKAGE.parent).as_posix()


def module_name(path: Path) -> str:
    """The name under which a file is imported, with `.__init__` for a package: it tells how `from .` is meant."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def crowded_folders(texts: Mapping[Path, str]) -> list[str]:
    """Folders with too many files, in words."""
    counts = Counter(path.parent for path, text in texts.items() if path.name != "__init__.py" or text.strip())
    return [f"{folder.name}: {number} files" for folder, number in counts.items() if number > MAX_FILES]


def import_graph(texts: Mapping[str, str]) -> Graph:
    """Which modules each module imports, now or when one of its functions is called."""
    names = {name.removesuffix(".__init__") for name in texts}
    graph: Graph = {}
    for name, text in texts.items():
        package = name.rpartition(".")[0]
        imported = imported_names(ast.parse(text), package)
        module = name.removesuffix(".__init__")
        graph[module] = {target for given in imported if (target := home_of(given, names))} - {module}
    return graph


def imported_names(tree: ast.AST, package: str) -> Iterator[str]:
    """Dotted names of what is imported anywhere below, except what only type checkers see."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{source}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for other in node.orelse:
                yield from imported_names(ast.Module([other], []), package)
        else:
            yield from imported_names(node, package)


def home_of(given: str, modules: set[str]) -> str | None:
    """The module that an imported name is or comes from; None for one of another package."""
    while given not in modules:
        given = given.rpartition(".")[0]
        if not given:
            return None
    return given


def circles(graph: Graph) -> list[str]:
    """For every set of modules that reach each other, its shortest circle: `a -> b -> a`."""
    return sorted(" -> ".join(shortest_circle(graph, group)) for group in groups(graph) if len(group) > 1)


def groups(graph: Graph) -> list[set[str]]:
    """Strongly connected components, by Tarjan."""
    found: list[set[str]] = []
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_: list[str] = []

    def visit(name: str) -> None:
        number[name] = lowest[name] = len(number)
        open_.append(name)
        for target in sorted(graph.get(name, ())):
            if target not in number:
                visit(target)
                lowest[name] = min(lowest[name], lowest[target])
            elif target in open_:
                lowest[name] = min(lowest[name], number[target])
        if lowest[name] == number[name]:
            start = open_.index(name)
            found.append(set(open_[start:]))
            del open_[start:]

    for name in sorted(graph):
        if name not in number:
            visit(name)
    return found


def shortest_circle(graph: Graph, group: set[str]) -> list[str]:
    """The shortest way from a module of the group back to itself."""
    return min((way_back(graph, group, start) for start in sorted(group)), key=len)


def way_back(graph: Graph, group: set[str], start: str) -> list[str]:
    """From a module back to itself, by modules of the group."""
    ways = deque([[start]])
    seen: set[str] = set()
    while ways:
        way = ways.popleft()
        for target in sorted((graph[way[-1]] & group) - seen):
            if target == start:
                return [*way, start]
            seen.add(target)
            ways.append([*way, target])
    raise AssertionError(f"{start} does not reach itself")


# --- the checks themselves --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ({"p.a": "import p.b", "p.b": "from p.a import x"}, ["p.a -> p.b -> p.a"]),
        ({"p.a": "def f():\n    from p import b", "p.b": "import p.a as q"}, ["p.a -> p.b -> p.a"]),
        ({"p.a": "from .b import x", "p.b": "from . import a"}, ["p.a -> p.b -> p.a"]),
        ({"p.__init__": "from .a import x", "p.a": "from p import x"}, ["p -> p.a -> p"]),
        (
            {"p.a": "import p.b", "p.b": "import p.c", "p.c": "import p.a\nimport p.d", "p.d": "import p.c"},
            ["p.c -> p.d -> p.c"],
        ),
        ({"p.a": "if TYPE_CHECKING:\n    import p.b", "p.b": "import p.a"}, []),
        ({"p.a": "if TYPE_CHECKING:\n    pass\nelse:\n    import p.b", "p.b": "import p.a"}, ["p.a -> p.b -> p.a"]),
        ({"p.__init__": "from p.a import x", "p.a": "import p.b\nimport os", "p.b": "import json"}, []),
    ],
    ids=["plain", "in-function", "relative", "package", "shortest", "types-only", "else-of-types-only", "none"],
)
def test_a_circle_is_found_and_named(texts: dict[str, str], found: list[str]) -> None:
    assert circles(import_graph(texts)) == found


def test_an_empty_init_is_not_counted() -> None:
    files = {Path("room", f"file_{number}.py"): "" for number in range(MAX_FILES)}
    assert crowded_folders(files | {Path("room", "__init__.py"): ""}) == []
    assert crowded_folders(files | {Path("room", "__init__.py"): '"""A room."""'}) == ["room: 15 files"]
