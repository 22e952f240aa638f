"""What a key of a configuration is: its slot's registry, its type and its meaning, read off the dataclasses.

`load` fills sections by it, and the reference page is written from it.
"""

import dataclasses
import types
import typing
from typing import Any, Literal

from ray_ft.engines import ENGINES, Engine
from ray_ft.recipes import RECIPES, Recipe
from ray_ft.registry import Registry
from ray_ft.retrievers import RETRIEVERS, Retriever
from ray_ft.strategies import STRATEGIES, Strategy
from ray_ft.trackers import TRACKERS, Tracker

SLOTS: dict[type, Registry[Any]] = {
    Recipe: RECIPES,
    Strategy: STRATEGIES,
    Engine: ENGINES,
    Retriever: RETRIEVERS,
    Tracker: TRACKERS,
}


def slot_of(annotation: Any) -> tuple[Registry[Any], bool] | None:
    """The registry behind a field's type, and whether it is a list of slots; None for ordinary fields."""
    if isinstance(annotation, type) and annotation in SLOTS:
        return SLOTS[annotation], False
    arguments = typing.get_args(annotation)
    for base, registry in SLOTS.items():
        if base in arguments:
            return registry, typing.get_origin(annotation) is tuple
    return None


def section_of(annotation: Any) -> type | None:
    """The dataclass that a field holds or, as in `RehearsalConfig | None`, may hold; None for all other fields."""
    if slot_of(annotation) is not None:
        return None
    is_choice = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    candidates = typing.get_args(annotation) if is_choice else (annotation,)
    return next((one for one in candidates if isinstance(one, type) and dataclasses.is_dataclass(one)), None)


def section_list_of(annotation: Any) -> type | None:
    """The dataclass that a field lists, as in `tuple[DatasetConfig, ...]`; None for slots and ordinary fields."""
    item = next(iter(typing.get_args(annotation)), None)
    is_list = typing.get_origin(annotation) is tuple and slot_of(annotation) is None
    return item if is_list and isinstance(item, type) and dataclasses.is_dataclass(item) else None


def field_docs(cls: type) -> dict[str, str]:
    """The one-line docstring beneath each field, of the class and its bases; the reference page is made from it."""
    import ast
    import inspect
    import textwrap

    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for node, following in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(node, ast.AnnAssign)
                and isinstance(node.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
                and isinstance(following.value.value, str)
            ):
                docs[node.target.id] = " ".join(following.value.value.split())
    return docs


def type_name(annotation: Any) -> str:
    """A field's type as a user reads it: `int | null`, `one of a, b`, `list of str`."""
    if typing.get_origin(annotation) is Literal:
        return "one of " + ", ".join(str(v) for v in typing.get_args(annotation))
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " | ".join("null" if a is type(None) else type_name(a) for a in typing.get_args(annotation))
    if typing.get_origin(annotation) is tuple:
        return f"list of {type_name(typing.get_args(annotation)[0])}"
    if typing.get_origin(annotation) is dict:
        return "mapping of " + " to ".join(type_name(a) for a in typing.get_args(annotation))
    return str(getattr(annotation, "__name__", annotation))
