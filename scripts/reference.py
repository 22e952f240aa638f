"""Writes docs/reference/ from the code itself; scripts/reference runs it."""

import argparse
import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from omegaconf import MISSING

import ray_ft
from ray_ft.cli import VERBS, build_parser
from ray_ft.config import SLOTS, Config, field_docs, section_list_of, section_of, slot_of, to_plain, type_name

PAGES = Path(__file__).parents[1] / "docs" / "reference"
CHOICES = {
    "recipe": "Recipes",
    "strategy": "Strategies",
    "engine": "Engines",
    "retriever": "Retrievers",
    "tracker": "Trackers",
}


def main() -> None:
    """Write every page."""
    for name, text in pages().items():
        (PAGES / name).write_text(text)


def pages() -> dict[str, str]:
    """File name and text of every generated page."""
    return {"config.md": config_page(), "cli.md": cli_page(), "api.md": api_page()}


def config_page() -> str:
    """All keys of a configuration, section by section, then each registry's choices with their own keys."""
    lines = [
        "# Configuration",
        "",
        "Every key of a YAML file and of a `key=value` override. A slot (recipe, strategy, engine, retriever, tracker)",
        "is a mapping whose `name` picks one of the choices below, and whose other keys are that choice's own; `lora`",
        "is short for `{name: lora}`. `scripts/reference` writes this page.",
        "",
        *_section(Config, "Run", prefix=""),
    ]
    for base, registry in SLOTS.items():
        lines += [f"## {CHOICES[registry.kind]}", "", _summary(base), ""]
        shared = {f.name for f in dataclasses.fields(base)}
        lines += [*_table(base, prefix="", skip={"name"})] if shared - {"name"} else []
        for name in registry:
            lines += [f"### {name}", "", _summary(registry[name]), ""]
            lines += _table(registry[name], prefix="", skip=_inherited(registry[name], base))
    return "\n".join(lines).rstrip() + "\n"


def cli_page() -> str:
    """The verbs with their arguments and flags."""
    parser = build_parser()
    lines = ["# Command line", "", "`ray-ft VERB CONFIG [key=value ...]`.", str(parser.epilog), ""]
    verbs = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for verb, sub in verbs.choices.items():
        lines += [
            f"## {verb}",
            "",
            VERBS[verb][0].upper() + VERBS[verb][1:] + ".",
            "",
            "| argument | meaning |",
            "|---|---|",
        ]
        lines += [
            f"| {_argument(action)} | {_cell(action.help or '')} |" for action in sub._actions if action.dest != "help"
        ]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def api_page() -> str:
    """Everything that `import ray_ft` offers: functions, what they return, configuration, errors."""
    public = {name: getattr(ray_ft, name) for name in ray_ft.__all__}
    functions = {name: value for name, value in public.items() if inspect.isfunction(value)}
    errors = {name: value for name, value in public.items() if name not in functions and issubclass(value, Exception)}
    configuration = {name: value for name, value in public.items() if name.endswith("Config")}
    lines = [
        "# Python API",
        "",
        "What `import ray_ft` offers. `scripts/reference` writes this page.",
        "",
        "## Functions",
        "",
    ]
    for name, function in functions.items():
        lines += [
            f"### {name}",
            "",
            "```text",
            f"{name}{_signature(function)}",
            "```",
            "",
            _docstring(function),
            "",
        ]
    lines += ["## Results", ""]
    for name, cls in public.items():
        if name not in functions | errors | configuration:
            fields = ", ".join(f"`{f.name}`" for f in dataclasses.fields(cls))
            lines += [f"### {name}", "", _summary(cls), "", f"Fields: {fields}.", ""]
    lines += ["## Configuration", "", "Frozen dataclasses; [config.md](config.md) lists their fields.", ""]
    lines += [f"- `{name}`: {_summary(cls)}" for name, cls in configuration.items()]
    lines += ["", "## Errors", ""]
    lines += [f"- `{name}`: {_summary(cls)}" for name, cls in errors.items()]
    return "\n".join(lines).rstrip() + "\n"


def _section(cls: type, title: str, *, prefix: str) -> Iterator[str]:
    """A section's own keys as a table, then its sub-sections."""
    hints = typing.get_type_hints(cls)
    sections = [
        (name, hint)
        for name, hint in hints.items()
        if slot_of(hint) is None and isinstance(hint, type) and dataclasses.is_dataclass(hint)
    ]
    yield from (f"## {title}", "", _summary(cls), "")
    yield from _table(cls, prefix=prefix, skip={name for name, _ in sections})
    for name, hint in sections:
        yield from _section(hint, name, prefix=f"{prefix}{name}.")
    for name, hint in hints.items():
        if (optional := section_of(hint)) is not None and optional is not hint:
            yield from _section(optional, f"{prefix}{name}", prefix=f"{prefix}{name}.")
    for name, item in ((n, i) for n, h in hints.items() if (i := section_list_of(h)) is not None):
        yield from _section(item, f"{prefix}{name}", prefix=f"{prefix}{name}[].")


def _table(cls: type, *, prefix: str, skip: set[str]) -> Iterator[str]:
    hints, docs = typing.get_type_hints(cls), field_docs(cls)
    fields = [f for f in dataclasses.fields(cls) if f.name not in skip]
    if not fields:
        return
    yield from ("| key | type | default | meaning |", "|---|---|---|---|")
    for field in fields:
        cells = [f"`{prefix}{field.name}`", _type(hints[field.name]), _default(field), docs[field.name]]
        yield "| " + " | ".join(_cell(cell) for cell in cells) + " |"
    yield ""


def _inherited(cls: type, base: type) -> set[str]:
    """Keys that the base's table already tells: those with the same type and default."""
    hints, theirs = typing.get_type_hints(cls), {f.name: f for f in dataclasses.fields(base)}
    same = {
        f.name
        for f in dataclasses.fields(cls)
        if f.name in theirs
        and (_default(f), hints[f.name]) == (_default(theirs[f.name]), typing.get_type_hints(base)[f.name])
    }
    return same | {"name"}


def _type(annotation: Any) -> str:
    slot = slot_of(annotation)
    if slot is None and section_list_of(annotation):
        return "list of mappings, below"
    if slot is None:
        return "mapping, below | null" if section_of(annotation) else type_name(annotation)
    registry, is_list = slot
    link = f"[{registry.kind}](#{CHOICES[registry.kind].lower()})"
    optional = " | null" if type(None) in typing.get_args(annotation) else ""
    return (f"list of {link}" if is_list else link) + optional


def _default(field: "dataclasses.Field[Any]") -> str:
    value = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    if value is dataclasses.MISSING or (isinstance(value, str) and value == MISSING):
        return "required"
    plain = to_plain(value)
    if isinstance(plain, dict) and "name" in plain:
        return f"`{plain['name']}`"
    if isinstance(plain, list):
        return "`[" + ", ".join(map(str, plain)) + "]`"
    words = {None: "null", True: "true", False: "false", "": '""'}
    return f"`{words.get(plain, plain) if isinstance(plain, (str, bool, type(None))) else plain}`"


def _argument(action: argparse.Action) -> str:
    if not action.option_strings:
        name = str(action.metavar or action.dest)
        return f"`{name} ...`" if action.nargs == "*" else f"`[{name}]`" if action.nargs == "?" else f"`{name}`"
    value = f" {action.metavar}" if action.metavar else ""
    return f"`{action.option_strings[0]}{value}`" + (" (required)" if action.required else "")


def _signature(function: Callable[..., Any]) -> str:
    """A function's signature with short type names: `(config: Config, *, force: bool = False) -> TrainingSet`."""
    return re.sub(r"(?<!['\w.])(?:\w+\.)+(\w+)", r"\1", str(inspect.signature(function)))


def _docstring(function: Callable[..., Any]) -> str:
    return inspect.cleandoc(function.__doc__ or "")


def _summary(cls: type) -> str:
    return (cls.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
