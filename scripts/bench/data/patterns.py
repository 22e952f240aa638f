"""Every regular expression of the package, texts made to slow each of them down, and how long it takes over them.

The texts come from the expression itself: whatever it may repeat is repeated thousands of times, behind what leads to
it and in front of what fails.
"""

import ast
import importlib
import pkgutil
import random
import re
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

import ray_ft

CALLS = ("compile", "sub", "subn", "match", "search", "split", "findall", "fullmatch", "finditer")
WAYS = ("finditer", "fullmatch", "match", "search")
ALIKE = {"sub": "finditer", "subn": "finditer", "split": "finditer", "findall": "finditer"}
REPEATS = tuple(getattr(codes, name) for name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"))
MANY = 12  # an expression that repeats less often takes the same time at every length
TAILS = ("", "\0", "!", "\n", " ", "\n\n!", "a", "-", " a!", "\0a\0")
CHARACTERS = "\n aA1_-.!\"'`<>()[]{}#*/:;,=+@$%&|~^\\\té\0"
SECONDS = 1.0  # for one text, before it is given up
TRIES = 6
LEAST_SECONDS, MORE = 0.004, 2.7  # what no linear expression takes, and how much longer for twice the text


@dataclass(frozen=True)
class Expression:
    """An expression of the package, and how it is asked."""

    pattern: re.Pattern[Any]
    asked: tuple[str, ...]  # of WAYS

    def ask(self, text: Any) -> None:
        """Look through the whole text in every way that the package does."""
        for way in self.asked:
            if way == "finditer":
                for _ in self.pattern.finditer(text):
                    pass
            else:
                getattr(self.pattern, way)(text)


def patterns_of_package() -> tuple[dict[str, Expression], list[str]]:
    """Expressions by the place where they stand, and the places of those that are made of what is read."""
    found: dict[str, Expression] = {}
    open_places: list[str] = []
    modules = list(_modules())
    sources = {m.__name__: Path(str(m.__file__)).read_text(encoding="utf-8") for m in modules}
    named = {m.__name__: vars(m) for m in modules}
    for module in modules:
        name = module.__name__
        for key, value in vars(module).items():
            for i, pattern in enumerate(_patterns_in(value)):
                if all(pattern != e.pattern for e in found.values()):
                    users = [text for other, text in sources.items() if named[other].get(key) is value]
                    calls = re.findall(rf"\b{key}\.({'|'.join(CALLS)})\b", "\n".join(users))
                    asked = {ALIKE.get(way, way) for way in calls}
                    found[f"{name}.{key}{f'[{i}]' if i else ''}"] = Expression(pattern, tuple(sorted(asked)) or WAYS)
        for call in ast.walk(ast.parse(sources[name])):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in CALLS):
                continue
            if not (isinstance(call.func.value, ast.Name) and call.func.value.id == "re"):
                continue
            place = f"{name}:{call.lineno}"
            flags = next((k.value for k in call.keywords if k.arg == "flags"), None)
            if call.func.attr == "compile" and len(call.args) > 1:
                flags = call.args[1]
            try:
                written, flag = (eval(ast.unparse(e), vars(module).copy()) if e else 0 for e in (call.args[0], flags))
            except NameError:
                open_places.append(place)
                continue
            pattern = re.compile(written, flag)
            if call.func.attr != "compile":
                found[place] = Expression(pattern, (ALIKE.get(call.func.attr, call.func.attr),))
            elif all(pattern != e.pattern for e in found.values()):
                found[place] = Expression(pattern, WAYS)
    return found, open_places


def _modules() -> Iterator[ModuleType]:
    for info in pkgutil.walk_packages(ray_ft.__path__, "ray_ft."):
        if ".kernels." not in info.name and not info.name.endswith("__main__"):
            yield importlib.import_module(info.name)


def _patterns_in(value: Any) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, Mapping):
        yield from _patterns_in(tuple(value.values()))
    elif isinstance(value, (tuple, list, frozenset, set)):
        for one in value:
            yield from _patterns_in(one)


def attacks(pattern: re.Pattern[Any], length: int, lot: random.Random) -> Iterator[str]:
    """Texts of about `length` characters."""
    tree = parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
    for before, body in _repeats(tree, ""):
        for _ in range(3):
            pump = "".join(_sample(body, lot) for _ in range(lot.choice((1, 1, 2, 3)))) or "a"
            times = max(1, length // len(pump))
            start = before if lot.random() < 0.7 else _sample(tree, lot)
            yield start + pump * times + lot.choice(TAILS)
            yield pump * times + lot.choice(TAILS)
            again = start + pump
            yield again * max(1, length // len(again)) + lot.choice(TAILS)
    pieces = [_sample([node], lot) for node in _nodes(tree)] or ["a"]
    for _ in range(6):
        some = [lot.choice(pieces) for _ in range(lot.choice((1, 2, 3)))] + [
            lot.choice(("", "", lot.choice(CHARACTERS)))
        ]
        pump = "".join(some) or "a"
        yield pump * max(1, length // len(pump)) + lot.choice(TAILS)


def _nodes(tree: Any) -> Iterator[Any]:
    for node in tree:
        yield node
        for part in _parts(node):
            yield from _nodes(part)


def _parts(node: Any) -> list[Any]:
    """The sequences that a node holds."""
    code, about = node
    if code in REPEATS:
        return [about[2]]
    if code is codes.SUBPATTERN:
        return [about[3]]
    if code is codes.BRANCH:
        return list(about[1])
    if code in (codes.ASSERT, codes.ASSERT_NOT):
        return [about[1]]
    if code is codes.ATOMIC_GROUP:
        return [about]
    return []


def _repeats(tree: Any, before: str) -> Iterator[tuple[str, Any]]:
    """What may be repeated often, and a text that leads to it."""
    lot = random.Random(0)
    for node in tree:
        if node[0] in REPEATS and node[1][1] >= MANY:
            yield before, node[1][2]
        for part in _parts(node):
            yield from _repeats(part, before)
        if node[0] not in (codes.ASSERT, codes.ASSERT_NOT):
            before += _sample([node], lot)


def _sample(tree: Any, lot: random.Random) -> str:
    """A text that the sequence takes, as far as is told without looking around."""
    made = ""
    for code, about in tree:
        if code is codes.LITERAL:
            made += chr(about)
        elif code is codes.NOT_LITERAL:
            made += next(c for c in lot.sample(CHARACTERS, len(CHARACTERS)) if ord(c) != about)
        elif code is codes.ANY:
            made += lot.choice("a \"'<-*")
        elif code is codes.IN:
            made += _member(about, lot)
        elif code in REPEATS:
            least, most, body = about
            made += "".join(_sample(body, lot) for _ in range(min(most, max(least, lot.choice((0, 1, 1, 2))))))
        elif code is codes.BRANCH:
            made += _sample(lot.choice(about[1]), lot)
        elif code is codes.SUBPATTERN:
            made += _sample(about[3], lot)
        elif code is codes.ATOMIC_GROUP:
            made += _sample(about, lot)
        elif code is codes.GROUPREF:
            made += lot.choice("\"'`")
    return made


def _member(about: Any, lot: random.Random) -> str:
    """A character of a class."""
    inverted = bool(about) and about[0][0] is codes.NEGATE
    pool = [*CHARACTERS, *(chr(value) for code, value in about if code is codes.LITERAL)]
    pool += [chr(c) for code, value in about if code is codes.RANGE for c in (value[0], value[1])]
    taken = [c for c in pool if any(_takes(item, c) for item in about) != inverted]
    return lot.choice(taken or ["a"])


def _takes(item: Any, c: str) -> bool:
    code, value = item
    if code is codes.LITERAL:
        return ord(c) == value
    if code is codes.RANGE:
        return bool(value[0] <= ord(c) <= value[1])
    if code is codes.CATEGORY:
        kind = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}[str(value).split("_")[-1]]
        return (re.match(kind, c) is None) == ("NOT" in str(value))
    return False


class TooSlow(BaseException):
    """Given up."""


def seconds_of(expression: Expression, text: str) -> float:
    """This thread's time with the expression, asked as the package asks it; SECONDS where it would take longer."""
    given: Any = text.encode("latin-1", "replace") if isinstance(expression.pattern.pattern, bytes) else text
    before = signal.signal(signal.SIGPROF, _give_up)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    started = time.thread_time()
    try:
        expression.ask(given)
        return time.thread_time() - started
    except TooSlow:
        return SECONDS
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _give_up(number: int, frame: Any) -> None:
    raise TooSlow


def first_slow(expression: Expression, *, length: int = 4000, seed: int = 0) -> str:
    """The beginning of a text that takes clearly more than twice as long as half of it does; "" where there is none."""
    texts = attacks(expression.pattern, length, random.Random(seed))
    for number, text in enumerate(texts):
        if (took := seconds_of(expression, text)) < LEAST_SECONDS:
            continue
        if took >= SECONDS and seconds_of(expression, text) >= SECONDS:
            return text[:60]
        half = next(islice(attacks(expression.pattern, length // 2, random.Random(seed)), number, None))
        took_half = seconds_of(expression, half)
        for _ in range(TRIES):  # what else runs here only ever adds time, so the least of each is the expression's own
            if took < max(LEAST_SECONDS, MORE * took_half):
                break
            took = min(took, seconds_of(expression, text))
            took_half = min(took_half, seconds_of(expression, half))
        else:
            return text[:60]
    return ""
