"""Reading before and after a change, in turns in one process: both versions of ray_ft decode and parse the same files.

A version is its own set of modules, put in place while it reads, since parsers import some of them when they run. The
least time of each file over the rounds counts, so that other work on the machine disturbs less.
"""

import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from ray_ft.data.run.tasks import rare_collections

PACKAGE = "ray_ft"
DECODERS = ("ray_ft.data.ingest.encodings", "ray_ft.data.decode")  # where `decode` stands, and stood
Read = Callable[[str, bytes], Any]


@dataclass(frozen=True)
class Version:
    """One version of the package: its modules, and how it reads a file."""

    modules: dict[str, ModuleType]
    read: Read
    knows: Callable[[str], Any]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let `import` find this version."""
        outer = _taken()
        sys.modules.update(self.modules)
        try:
            yield
        finally:
            self.modules.update(_taken())
            sys.modules.update(outer)


def compare(files: Sequence[tuple[str, bytes]], folder: Path, rounds: int) -> int:
    """Print the megabytes a second of each kind of file, before and after; 1 where the folder holds no version."""
    warnings.simplefilter("ignore")
    if not (folder / PACKAGE / "__init__.py").is_file():
        print(f"no version of ray_ft in {folder}: it has no {PACKAGE}/__init__.py", file=sys.stderr)
        return 1
    now = _version(Path(__file__).parents[3])
    before = _version(folder)
    kinds: dict[str, list[tuple[str, bytes]]] = {}
    for path, data in files:
        if before.knows(Path(path).name) is not None:
            kinds.setdefault(Path(path).suffix or Path(path).name, []).append((path, data))
    print(f"{sum(map(len, kinds.values())):,} files, {rounds} rounds, least time of each file")
    print("| files | | MB | before, MB/s of one core | after | bytes a second |\n|---|---|---|---|---|---|")
    for kind, some in sorted(kinds.items()):
        size = sum(len(data) for _, data in some) / 1e6
        seconds = _least(some, [before, now], rounds)
        rates = [size / taken for taken in seconds]
        change = f"{rates[1] / rates[0] - 1:+.1%}"
        print(f"| {kind} | {len(some):,} | {size:.2f} | {rates[0]:.2f} | {rates[1]:.2f} | {change} |", flush=True)
    return 0


def _least(files: Sequence[tuple[str, bytes]], versions: Sequence[Version], rounds: int) -> list[float]:
    """Processor seconds of each version: the sum over the files of the least of all rounds, which begin by turns."""
    least = [[float("inf")] * len(files) for _ in versions]
    for number in range(rounds):
        order = list(enumerate(versions))
        for i, version in order if number % 2 else reversed(order):
            with version.in_place(), rare_collections():  # as in a worker of prepare
                for j, (path, data) in enumerate(files):
                    started = time.process_time()
                    version.read(path, data)
                    least[i][j] = min(least[i][j], time.process_time() - started)
    return [sum(row) for row in least]


def _version(folder: Path) -> Version:
    """Import a version, and leave the one that was there in place."""
    outer = _taken()
    sys.path.insert(0, str(folder))
    try:
        formats = import_module("ray_ft.data.formats")
        decode = next(found for name in DECODERS if (found := _found(name)) is not None).decode
        choose = getattr(formats, "format_by_text", lambda kind, path, text: kind)
        made = Version(_taken(), _reader(formats.format_of, decode, choose), formats.format_of)
    finally:
        sys.path.remove(str(folder))
        sys.modules.update(outer)
    assert str(folder.resolve()) in str(Path(formats.__file__ or "").resolve()), "another version was imported"
    return made


def _reader(format_of: Callable[[str], Any], decode: Callable[[bytes], Any], choose: Callable[..., Any]) -> Read:
    def read(path: str, data: bytes) -> Any:
        kind = format_of(Path(path).name)
        try:
            if kind.is_binary:
                return kind.parse(data)
            text = decode(data).text
            return choose(kind, path, text).parse(text)
        except Exception:  # as reading does, which takes it as plain lines then, or puts it aside
            return None

    return read


def _found(name: str) -> ModuleType | None:
    try:
        return import_module(name)
    except ModuleNotFoundError:
        return None


def _taken() -> dict[str, ModuleType]:
    """Take the modules of the package out of place."""
    names = [name for name in sys.modules if name == PACKAGE or name.startswith(f"{PACKAGE}.")]
    return {name: sys.modules.pop(name) for name in names}
