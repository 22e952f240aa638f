"""What users write against: the names of `import ray_ft`, the keys of a YAML file, and the flags of `ray-ft`.

Everything is reached through `import ray_ft` and `python -m ray_ft`, so that no module's place in the package matters.
`python tests/configs/public_surface.py` freezes what is there now into tests/data/public_surface.json.
"""

import dataclasses
import inspect
import json
import os
import re
import subprocess
import sys
import types
import typing
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

REPOSITORY = Path(__file__).parents[2]
FROZEN = REPOSITORY / "tests" / "data" / "public_surface.json"
REQUIRED = "required"
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def surface() -> dict[str, Any]:
    """All of it, as JSON holds it; every list is a set."""
    return {"names": names(), "keys": keys(), "choices": choices(), "verbs": verbs()}


# --- names ------------------------------------------------------------------------------------------------------------


def names() -> dict[str, Any]:
    """Every public name with its parameters, and the public properties and methods of classes."""
    import ray_ft

    found: dict[str, Any] = {}
    for name in ray_ft.__all__:
        value = getattr(ray_ft, name)
        is_class = inspect.isclass(value)
        kind = "error" if is_class and issubclass(value, Exception) else "class" if is_class else "function"
        found[name] = {"kind": kind}
        if kind == "error":
            found[name] |= {"bases": [base.__name__ for base in value.__mro__], "exit_code": value.exit_code}
            continue
        found[name] |= _call(value)
        for member, method in inspect.getmembers(value, _is_own_member) if is_class else ():
            if not member.startswith("_"):
                found[f"{name}.{member}"] = {"kind": "property"} if isinstance(method, property) else _call(method)
    return found


def _is_own_member(value: object) -> bool:
    return inspect.isfunction(value) or isinstance(value, property)


def _call(function: Callable[..., Any]) -> dict[str, Any]:
    """Parameters by name, each with its place (null for keywords), what it accepts and its default; what comes back."""
    signature, hints = inspect.signature(function), typing.get_type_hints(function)
    return {
        "parameters": {
            name: {
                "position": position if parameter.kind in POSITIONAL else None,
                "accepts": sorted(set(_accepted(hints[name]))),
                "default": REQUIRED if parameter.default is inspect.Parameter.empty else repr(parameter.default),
            }
            for position, (name, parameter) in enumerate(signature.parameters.items())
            if name != "self"
        },
        "returns": sorted(set(_accepted(hints.get("return", type(None))))),
    }


# --- keys -------------------------------------------------------------------------------------------------------------


def keys() -> dict[str, Any]:
    """Every dotted key with its default and what it accepts; a choice's own keys are `train.strategy<lora>.r`."""
    import ray_ft

    return dict(_keys(ray_ft.Config, prefix=""))


def _keys(section: type, *, prefix: str) -> Iterator[tuple[str, Any]]:
    hints = typing.get_type_hints(section)
    for field in dataclasses.fields(section):
        key, hint = f"{prefix}{field.name}", hints[field.name]
        inner = [part for part in _parts(hint) if dataclasses.is_dataclass(part)]
        slots = {part: named for part in inner if (named := _choices_of(part))}
        if inner and hint is inner[0] and not slots:  # a section
            yield from _keys(inner[0], prefix=f"{key}.")
            continue
        yield key, {"default": _default(field), "accepts": sorted(set(_accepted(hint)))}
        for part in inner:
            for name, choice in slots.get(part, {"": part}).items():
                listed = "[]" if typing.get_origin(hint) is tuple else ""
                yield from _keys(choice, prefix=f"{key}<{name}>." if name else f"{key}{listed}.")


def _parts(hint: Any) -> list[Any]:
    arguments = typing.get_args(hint)
    return [part for argument in arguments for part in _parts(argument)] if arguments else [hint]


def _choices_of(base: type) -> dict[str, type]:
    """The classes below a slot's base by the name that a YAML file picks them with; empty for an ordinary section."""
    found: dict[str, type] = {}
    for cls in base.__subclasses__():
        name = next((f.default for f in dataclasses.fields(cls) if f.name == "name"), "")
        if cls.__module__.startswith("ray_ft.") and isinstance(name, str) and name:
            found[name] = cls
        found |= _choices_of(cls)
    return dict(sorted(found.items()))


def _default(field: "dataclasses.Field[Any]") -> str:
    value = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    if value is dataclasses.MISSING or (isinstance(value, str) and value == "???"):  # OmegaConf's word for missing
        return REQUIRED
    return json.dumps(value, default=dataclasses.asdict, sort_keys=True)


def _accepted(hint: Any) -> Iterator[str]:
    """Every kind of value by itself, so that one more is an addition: `int`, `null`, `list of str`, `'near'`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        yield from (repr(value) for value in arguments)
    elif origin in (typing.Union, types.UnionType):
        yield from (text for argument in arguments for text in _accepted(argument))
    elif origin is tuple:
        yield from (f"list of {text}" for text in _accepted(arguments[0]))
    elif origin is dict:
        yield from (f"mapping to {text}" for text in _accepted(arguments[1]))
    else:
        yield "null" if hint is type(None) else getattr(hint, "__name__", str(hint))


# --- command line -----------------------------------------------------------------------------------------------------


def choices() -> dict[str, list[str]]:
    """Names of the recipes, strategies, engines, retrievers and trackers, as `ray-ft show` lists them."""
    return {kind: sorted(named) for kind, named in json.loads(_output("show", "--json")).items()}


def verbs() -> dict[str, Any]:
    """Every verb with the arguments of its usage line: those that must be given, and those that may."""
    found = re.findall(r"^    ([a-z]+)  ", _output("--help"), re.MULTILINE)
    with ThreadPoolExecutor(2) as threads:
        return dict(zip(found, threads.map(_arguments, found), strict=True))


def _arguments(verb: str) -> dict[str, list[str]]:
    usage = _output(verb, "--help").split("\n\n")[0].partition(f"ray-ft {verb} ")[2]
    given = re.findall(r"\[[^\]]*\]|--\S+ \S+|\S+", " ".join(usage.split()))
    return {
        "required": [argument for argument in given if not argument.startswith("[")],
        "optional": [argument.strip("[]") for argument in given if argument.startswith("[")],
    }


def _output(*arguments: str) -> str:
    # Wide, so that a verb and its meaning share a line.
    environment = os.environ | {"COLUMNS": "400", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "ray_ft", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=120).stdout


# --- comparison -------------------------------------------------------------------------------------------------------


def broken(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What was written against `old` and fails with `new`: something gone, changed, or asked for that was not."""
    return [*_lost(old, new, ""), *sorted(_demands(new, old) - _demands(old, old))]


def _lost(old: Any, new: Any, place: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key, value in old.items():
            if key in new:
                yield from _lost(value, new[key], f"{place} / {key}" if place else key)
            else:
                yield f"{place} / {key} is gone"
    elif isinstance(old, list) and isinstance(new, list):
        yield from (f"{place} / {item} is gone" for item in old if item not in new)
    elif old != new:
        yield f"{place}: {old} -> {new}"


def _demands(found: dict[str, Any], known: dict[str, Any]) -> set[str]:
    """What must be given to the functions, sections and verbs that `known` has."""
    sections = {_section(key) for key in known["keys"]}
    return {
        *(f"names / {name} requires {parameter}" for name in known["names"]
          for parameter, about in found["names"].get(name, {}).get("parameters", {}).items()
          if about["default"] == REQUIRED),
        *(f"keys / {key} is required" for key, about in found["keys"].items()
          if about["default"] == REQUIRED and _section(key) in sections),
        *(f"verbs / {verb} requires {argument}" for verb in known["verbs"]
          for argument in found["verbs"].get(verb, {}).get("required", [])),
    }  # fmt: skip


def _section(key: str) -> str:
    return key.rpartition(".")[0]


def _frozen_text(found: dict[str, Any]) -> str:
    """JSON of one line per entry, so that a change shows as one line."""
    groups = [
        f"{json.dumps(group)}: {{\n"
        + ",\n".join(
            f" {json.dumps(key)}: {json.dumps(value, sort_keys=True)}" for key, value in sorted(entries.items())
        )
        + "\n}"
        for group, entries in found.items()
    ]
    return "{" + ",\n".join(groups) + "}\n"


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    FROZEN.write_text(_frozen_text(surface()))
