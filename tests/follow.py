"""Follows a value through the package: which files are shown it, and which make its next form and hand that on.

Every call of a function of the package is looked at, in this process, and so is what it returns.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import ray_ft

PACKAGE = Path(ray_ft.__file__).parent
PLAIN = (int, float, bool, str, bytes, type(None))
NUMBERS = {int, float, bool, type(None)}
DEEPEST = 5
MANY = 500  # parts; what has more is a table or a vocabulary


@dataclass
class Followed:
    """What was seen, by files as docs/concepts/architecture.md writes them; numbers say in which order of calls."""

    called: dict[str, int] = field(default_factory=dict)
    shown: dict[str, int] = field(default_factory=dict)  # a function of it got or returned the value
    made: set[str] = field(default_factory=set)  # a function of it returned a form that it was not given


class Follower:
    """Looks at calls: `holds` says of anything but a container whether the value is in it, `is_form` whether it is one
    of the forms that the value takes. The value is looked for in containers down to `depth`, forms always."""

    def __init__(self, holds: Callable[[Any], bool], is_form: Callable[[Any], bool], *, depth: int = 5) -> None:
        self.holds, self.is_form, self.depth = holds, is_form, depth
        self.followed = Followed()
        self._number = 0
        self._open: dict[FrameType, tuple[int, set[int]]] = {}  # frames under way: their number, forms they were given

    def __call__(self, frame: FrameType, event: str, given: Any) -> None:
        """The profile function."""
        if event not in ("call", "return") or not (name := file_of(frame.f_code)):
            return
        if event == "call":
            self._number += 1
            self.followed.called.setdefault(name, self._number)
            if name in self.followed.made:
                return  # all is known
            forms: set[int] = set()
            found = [self._look(value, forms) for value in arguments(frame)]
            self._open[frame] = self._number, forms
            number = self._number
        else:
            number, before = self._open.pop(frame, (0, None))
            if before is None:
                return
            forms = set()
            found = [self._look(given, forms)]
            if forms - before:
                self.followed.made.add(name)
        if any(found):
            self.followed.shown[name] = min(number, self.followed.shown.get(name, number))

    def _look(self, value: Any, forms: set[int]) -> bool:
        """Whether the value is anywhere in this; its forms are added to `forms`."""
        found = False
        seen: set[int] = set()
        left = [(value, 0)]
        while left:
            one, depth = left.pop()
            if id(one) in seen:
                continue
            seen.add(id(one))
            found = found or (depth <= self.depth and self.holds(one))
            if self.is_form(one):
                forms.add(id(one))
            if depth < DEEPEST:
                left += [(part, depth + 1) for part in parts(one)]
        return found


def file_of(code: CodeType) -> str:
    """The file of the package that code stands in, as architecture.md writes it; "" for others' code."""
    return _file_of(code.co_filename)


@cache
def _file_of(path: str) -> str:
    return Path(path).relative_to(PACKAGE).as_posix() if path.startswith(f"{PACKAGE}/") else ""


def arguments(frame: FrameType) -> list[Any]:
    """What a function was called with."""
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    return [frame.f_locals[name] for name in code.co_varnames[:count] if name in frame.f_locals]


def parts(value: Any) -> list[Any]:
    """What a container or an object of the package holds."""
    if isinstance(value, PLAIN):
        return []
    if isinstance(value, dict):
        inside = value.values()
    elif isinstance(value, (list, tuple, set, frozenset)):
        inside = value
    elif type(value).__module__.startswith("ray_ft."):
        inside = getattr(value, "__dict__", {}).values()
    else:
        return []
    return [] if len(inside) > MANY else [one for one in inside if type(one) not in NUMBERS]


@contextmanager
def following(follower: Follower) -> Iterator[Followed]:
    """Follow what happens inside."""
    before = sys.getprofile()
    threading.setprofile(follower)
    sys.setprofile(follower)
    try:
        yield follower.followed
    finally:
        sys.setprofile(before)
        threading.setprofile(None)  # type: ignore[arg-type]
