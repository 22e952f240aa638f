"""The JSON form of dataclasses, tuples, paths and strategies, and the way back from it."""

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any

from ray_ft.strategies import STRATEGIES, Strategy


def to_json(value: Any) -> Any:
    """JSON form of dataclasses, tuples and paths."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_json(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    return value


def from_json(annotation: Any, value: Any) -> Any:
    """Inverse of `to_json` for a type: rebuilds dataclasses, tuples and strategies."""
    origin = typing.get_origin(annotation)
    if annotation is Strategy:
        annotation = STRATEGIES[value["name"]]
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        hints = typing.get_type_hints(annotation)
        return annotation(**{k: from_json(hints[k], v) for k, v in value.items()})
    if origin is tuple:
        return tuple(from_json(typing.get_args(annotation)[0], v) for v in value)
    if origin is dict:
        return {k: from_json(typing.get_args(annotation)[1], v) for k, v in value.items()}
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return from_json(next(a for a in typing.get_args(annotation) if a is not type(None)), value)
    return value
