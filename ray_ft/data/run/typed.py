"""Dataclasses as JSON, and back as the types that were asked for: reading what others may have written runs nothing.

A dataclass is a list of its name and its fields, in their order; a named tuple the list of its fields; bytes are
base64. Reading checks every value against the annotations, so that a forged journal or a parser that was taken over can
at worst give other words, and an older version's rows are known by their shape.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

Kind = TypeVar("Kind")
Read = Callable[[Any], Any]
SCALARS = (str, int, bool, NoneType)


class Malformed(ValueError):
    """What was read is not of the type that was asked for."""


def dump(value: Any) -> bytes:
    """The value as JSON, in UTF-8; a lone surrogate, as names of files may hold, is three bytes."""
    return _encode(value).encode("utf-8", "surrogatepass")


def load(kind: type[Kind], data: bytes) -> Kind:
    """Inverse of `dump` for values of a type. Raises Malformed for all others."""
    try:
        value: Kind = _reader(cast(Any, kind))(json.loads(data.decode("utf-8", "surrogatepass")))
        return value
    except (ValueError, RecursionError) as error:  # not JSON, or of another shape
        raise Malformed(f"not {getattr(kind, '__name__', kind)}: {str(error)[:200]}") from None


def _plain(value: Any) -> Any:
    """What of a value JSON knows."""
    if isinstance(value, bytes):
        return b64encode(value).decode()
    cls: Any = type(value)
    return _fields(cls)(value)


@cache
def _fields(cls: Any) -> Callable[[Any], list[Any]]:
    name = cls.__name__
    if not is_dataclass(cls):
        raise TypeError(f"{name} cannot be written")
    names = [f.name for f in fields(cls)]
    get = attrgetter(*names)
    return (lambda value: [name, *get(value)]) if len(names) > 1 else lambda value: [name, get(value)]


_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"), default=_plain).encode


@cache
def _reader(kind: Any) -> Read:
    """What makes a value of a type from its JSON."""
    origin, args = get_origin(kind), get_args(kind)
    if kind in SCALARS:
        return _of_type(kind)
    if kind is float:
        return lambda raw: float(raw) if type(raw) in (float, int) else _refuse(kind, raw)
    if kind is bytes:
        return lambda raw: b64decode(raw, validate=True) if type(raw) is str else _refuse(kind, raw)
    if origin is Literal:
        return lambda raw: raw if raw in args else _refuse(kind, raw)
    if origin in (Union, UnionType):
        return _union_reader(args)
    if origin is tuple and args[1:] != (...,):
        return _sequence_reader(tuple, args)
    if origin in (tuple, list):
        each, make = _reader(args[0]), origin
        return lambda raw: make(map(each, raw)) if type(raw) is list else _refuse(kind, raw)
    if origin in (dict, Mapping):
        each = _reader(args[1])
        return lambda raw: {k: each(v) for k, v in raw.items()} if type(raw) is dict else _refuse(kind, raw)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return _sequence_reader(_maker(kind), [hints[f.name] for f in fields(kind)], str(kind.__name__))  # type: ignore[union-attr]
    if isinstance(kind, type) and issubclass(kind, tuple):
        return _sequence_reader(_maker(kind), list(get_type_hints(kind).values()))
    raise TypeError(f"{kind} cannot be read")


def _maker(kind: Any) -> Callable[[list[Any]], Any]:
    return lambda values: kind(*values)


def _of_type(kind: Any) -> Read:
    return lambda raw: raw if type(raw) is kind else _refuse(kind, raw)


def _union_reader(args: tuple[Any, ...]) -> Read:
    """Of several dataclasses the one that is named; of others the one that the value is of."""
    named: dict[str, Read] = {
        getattr(arg, "__name__", ""): _reader(cast(Any, arg)) for arg in args if is_dataclass(arg)
    }
    plain = {arg: _reader(arg) for arg in args if arg in SCALARS}
    rest = [_reader(arg) for arg in args if arg not in plain and not is_dataclass(arg)]

    def read(raw: Any) -> Any:
        if type(raw) is list and raw and type(raw[0]) is str and raw[0] in named:
            return named[raw[0]](raw)
        found = plain.get(type(raw)) or (rest[0] if rest else None)
        return found(raw) if found else _refuse(args, raw)

    return read


def _sequence_reader(make: Callable[[list[Any]], Any], kinds: Any, name: str = "") -> Read:
    """A row of values of different types, behind their class's name where it has one."""
    first = 1 if name else 0
    size = len(kinds) + first
    # Nearly all values of most rows are text and numbers, and looking at the types of all at once is fast.
    types = [str if get_origin(kind) is Literal else kind for kind in kinds]
    others = [(i, _reader(kind)) for i, kind in enumerate(kinds) if kind not in SCALARS]
    is_other = [type_ not in SCALARS for type_ in types]
    expected = [NoneType if other else type_ for type_, other in zip(types, is_other, strict=True)]

    def read(raw: Any) -> Any:
        if type(raw) is not list or len(raw) != size or (name and raw[0] != name):
            _refuse(name or kinds, raw)
        values = raw[first:]
        if any(is_other):
            found = [NoneType if other else type(v) for v, other in zip(values, is_other, strict=True)]
        else:
            found = list(map(type, values))
        if found != expected:
            _refuse(name or kinds, raw)
        for i, read_one in others:
            values[i] = read_one(values[i])
        return make(values)

    return read


def _refuse(kind: Any, raw: Any) -> Any:
    raise Malformed(f"{str(raw)[:60]!r} is no {kind}")
