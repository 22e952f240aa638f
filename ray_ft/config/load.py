"""From a YAML file and overrides to a `Config`, or one line on the key that is wrong; and back to the plain form.

Slots and sections are built here, plain keys are checked against their types by OmegaConf; `checks` has the ranges.
"""

import dataclasses
import difflib
import functools
import hashlib
import logging
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ray_ft.config.checks import check_values
from ray_ft.config.describe import field_docs, section_list_of, section_of, slot_of
from ray_ft.config.keys import Config
from ray_ft.errors import ConfigError, first_line
from ray_ft.registry import Registry

log = logging.getLogger("ray_ft")

Section = TypeVar("Section")

LEAST_SECRET = 8  # characters
URI_PASSWORD = re.compile(r"(?<=://)[^/\s@:]{0,100}:[^/\s@]{1,200}@")
ASSIGNED_SECRET = re.compile(
    r"\b((?:\w{0,40}[_.-])?(?:token|secret|password|passwd|api_?key|access_?key)=)[^\s'\",\]}]++", re.IGNORECASE
)


class Interpolated(str):
    """A text that an interpolation such as ${oc.env:TOKEN} gave.

    The program gets what it stands for; files of a run and messages get what was written.
    """

    written: str

    def __new__(cls, value: str, written: str) -> "Interpolated":
        """What it stands for, and how the configuration has it."""
        made = super().__new__(cls, value)
        made.written = written
        return made

    def __repr__(self) -> str:
        return repr(self.written)

    def __reduce__(self) -> tuple[Any, ...]:
        return Interpolated, (str(self), self.written)


def load_config(path: str | Path, overrides: Sequence[str] = (), *, draft: bool = False) -> Config:
    """Read a YAML file, apply `key=value` overrides, fill the slots and check every key and value.

    A draft, for `advise`, may leave out data.recipes. Raises ConfigError naming the file, the key, what was given and
    what would work.
    """
    source = str(path)
    try:
        raw = OmegaConf.load(path)
    except FileNotFoundError:
        raise ConfigError(f"{source}: no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{source}: is a folder; give a YAML file") from None
    except Exception as error:  # yaml's scanner and parser errors share no base with OmegaConf's
        raise ConfigError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from None
    return parse_config(raw, overrides, source=source, draft=draft)


def parse_config(raw: Any, overrides: Iterable[str] = (), *, source: str = "config", draft: bool = False) -> Config:
    """As `load_config`, for a mapping that is already in memory."""
    try:
        tree = OmegaConf.create(raw) if not OmegaConf.is_config(raw) else raw
        if not OmegaConf.is_dict(tree):
            raise ConfigError(f"{source}: a configuration is a mapping of keys, e.g. `run_name: handbook`")
        overrides = list(overrides)
        for override in overrides:
            if "=" not in override:
                raise ConfigError(f"{override!r} is no override; write key=value, e.g. train.num_epochs=2")
        given = OmegaConf.from_dotlist(overrides)
        _drop_replaced_slots(Config, tree, given)
        merged = OmegaConf.merge(tree, given)
        plain, written = (OmegaConf.to_container(merged, resolve=resolve) for resolve in (True, False))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{source}: {first_line(error)}") from None
    interpolated = _interpolated(plain, written)
    try:
        config = _parsed(typing.cast(dict[str, Any], plain), source, draft)
        _restored(config, written, interpolated)
        return config
    except ConfigError as error:  # which says what was given
        raise ConfigError(_hidden(str(error), interpolated)) from None


def _parsed(plain: dict[str, Any], source: str, draft: bool) -> Config:
    sweep = plain.get("sweep")
    if isinstance(sweep, dict) and sweep.get("stratum") == "own":
        log.warning("%s: sweep.stratum: own is called user now", source)
        sweep["stratum"] = "user"
    config: Config = _build(Config, plain, key="", source=source)
    _require_all(config, key="", source=source)
    check_values(config, source, draft=draft)
    return config


def to_plain(value: Any) -> Any:
    """The YAML form of a config or a section: dicts, lists and scalars, interpolations as they were written."""
    return _plain(value, lambda text: text.written)


def to_identity(value: Any) -> Any:
    """The form by which two runs are told apart: as `to_plain`, with a hash of what an interpolation stands for."""
    return _plain(value, lambda text: f"{text.written} #{hashlib.sha256(text.encode()).hexdigest()[:8]}")


def _plain(value: Any, shown: Callable[[Interpolated], str]) -> Any:
    if isinstance(value, Interpolated):
        return shown(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name), shown) for f in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [_plain(v, shown) for v in value]
    if isinstance(value, Mapping):
        return {k: _plain(v, shown) for k, v in value.items()}
    return value


def _interpolated(value: Any, written: Any) -> dict[str, str]:
    """Texts and numbers that interpolations stand for -> as they were written."""
    if isinstance(written, str):
        return {str(value): written} if "${" in written and not isinstance(value, (dict, list)) else {}
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(written, dict):
        pairs = ((value[key], one) for key, one in written.items())
    elif isinstance(written, list):
        pairs = zip(value, written, strict=True)
    return {text: raw for pair in pairs for text, raw in _interpolated(*pair).items()}


def _restored(value: Any, written: Any, interpolated: Mapping[str, str]) -> Any:
    """A config or a value of it in which every text that an interpolation gave knows how it was written.

    Where a whole section is one, or is written as a bare text, its texts are known by what they stand for.
    """
    if isinstance(value, str) and isinstance(written, str) and "${" in written:
        return Interpolated(value, interpolated.get(value, written))
    if dataclasses.is_dataclass(value) and written is not None:
        for f in dataclasses.fields(value):
            old = getattr(value, f.name)
            new = _restored(old, written.get(f.name) if isinstance(written, dict) else written, interpolated)
            if new is not old and (isinstance(written, dict) or str(old) in interpolated):
                object.__setattr__(value, f.name, new)  # frozen, and nobody else has it yet
    elif isinstance(value, tuple) and isinstance(written, list):
        parts = [_restored(v, w, interpolated) for v, w in zip(value, written, strict=True)]
        return value if all(new is old for new, old in zip(parts, value, strict=True)) else tuple(parts)
    elif isinstance(value, dict) and isinstance(written, dict):
        return {key: _restored(v, written.get(key), interpolated) for key, v in value.items()}
    return value


def _hidden(message: str, interpolated: Mapping[str, str]) -> str:
    """A message without what the environment gave, which may be secret."""
    for text, written in sorted(interpolated.items(), key=lambda pair: -len(pair[0])):
        message = message.replace(text, "***") if "oc.env" in written and len(text) >= LEAST_SECRET else message
    return message


def mask(text: str) -> str:
    """A text to be printed, with `***` for passwords in URIs and for what is assigned to the name of a secret."""
    return ASSIGNED_SECRET.sub(r"\1***", URI_PASSWORD.sub("***@", text))


def _drop_replaced_slots(cls: type, tree: Any, given: Any) -> None:
    """An override that picks another choice for a slot takes none of the keys that belonged to the old one."""
    for name, hint in typing.get_type_hints(cls).items():
        if not (OmegaConf.is_dict(tree) and OmegaConf.is_dict(given) and name in tree and name in given):
            continue
        old, new = tree[name], given[name]
        if slot_of(hint) is None:
            if isinstance(hint, type) and dataclasses.is_dataclass(hint):
                _drop_replaced_slots(hint, old, new)
        elif OmegaConf.is_dict(old) and OmegaConf.is_dict(new) and new.get("name", old.get("name")) != old.get("name"):
            del tree[name]


def _build(cls: type[Section], raw: Any, *, key: str, source: str) -> Section:
    """One section: its slots and sub-sections are built on their own, its plain keys are checked by OmegaConf."""
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise ConfigError(f"{source}: {key}: expected a mapping of keys, got {raw!r}")
    hints = typing.get_type_hints(cls)
    slots = {name: slot for name, hint in hints.items() if (slot := slot_of(hint)) is not None}
    sections = {name: section for name, hint in hints.items() if (section := section_of(hint)) is not None}
    lists = {name: item for name, hint in hints.items() if (item := section_list_of(hint)) is not None}
    apart = {*slots, *sections, *lists}
    ordinary = {k: v for k, v in raw.items() if k not in apart}
    names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for name in (n for n in raw if n not in names):
        raise ConfigError(f"{source}: {f'{key}.{name}' if key else name}: no such key.{_hint(str(name), names, key)}")
    built = _checked(cls, ordinary, hints, skip=frozenset(apart), key=key, source=source)
    for name, slot in slots.items():
        if name in raw:
            here = f"{key}.{name}" if key else name
            built[name] = _fill_slot(slot, raw[name], hints[name], key=here, source=source)
    for name, section in sections.items():
        if raw.get(name) is not None or section is hints[name]:  # one that may be null is so unless it is given
            built[name] = _build(section, raw.get(name), key=f"{key}.{name}" if key else name, source=source)
    for name in lists.keys() & raw.keys():
        built[name] = _build_list(lists[name], raw[name], key=f"{key}.{name}" if key else name, source=source)
    return cls(**built)


def _hint(name: str, names: Sequence[str], key: str) -> str:
    """What a mistyped or misplaced key may have meant; else the keys there are."""
    if near := difflib.get_close_matches(name, names, n=1):
        return f" Did you mean {near[0]!r}?"
    sections = {n: h for n, h in typing.get_type_hints(Config).items() if dataclasses.is_dataclass(h)}
    if places := [f"{n}.{name}" for n, h in sections.items() if name in typing.get_type_hints(h)]:
        return f" Did you mean {' or '.join(places)}?"
    return f" {key or 'A configuration'} takes {', '.join(names)}."


def _checked(
    cls: type, given: dict[str, Any], hints: dict[str, Any], *, skip: frozenset[str], key: str, source: str
) -> dict[str, Any]:
    """The given plain keys of a section, checked against their fields' types; unnamed ones keep their defaults."""
    if not given:
        return {}
    try:
        merged: Any = OmegaConf.merge(_schema(cls, skip), given)
        values = {name: merged[name] for name in given}
    except (OmegaConfBaseException, TypeError) as error:  # a TypeError for a list in place of a mapping
        name, said = getattr(error, "full_key", None) or "", first_line(error)
        if "$VALUE" in said:  # OmegaConf names neither the list nor which of its words is none of the choices
            name, wrong = next(_no_choice(given, hints), (name, "$VALUE"))
            said = said.replace("$VALUE", wrong)
        where = ".".join(part for part in (key, name) if part)
        raise ConfigError(f"{source}: {where}: {_no_list(given.get(name), hints.get(name)) or said}") from None
    plain = {n: OmegaConf.to_object(v) if OmegaConf.is_config(v) else v for n, v in values.items()}
    return {name: _tuples(value, hints[name]) for name, value in plain.items()}


def _no_choice(given: Mapping[str, Any], hints: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Key and word of what is in a list and among none of its choices."""
    for name, values in given.items():
        choices = typing.get_args(next(iter(typing.get_args(hints[name])), None))
        if isinstance(values, list) and choices:
            yield from ((name, str(value)) for value in values if value not in choices)


def _no_list(value: Any, annotation: Any) -> str:
    """What is wrong with one value where a list belongs, as many write it: OmegaConf tells of its own classes."""
    if typing.get_origin(annotation) is not tuple or isinstance(value, list):
        return ""
    return f"{value!r} must be a list" + (f", such as [{value}]" if isinstance(value, str | int | float) else "")


@functools.cache  # a sweep reads one configuration per trial; `merge` copies what it merges into
def _schema(cls: type, skip: frozenset[str]) -> Any:
    """A section's plain fields alone: OmegaConf would build every sub-section of the real class again."""
    hints = typing.get_type_hints(cls)
    fields = [(f.name, hints[f.name], _default(f)) for f in dataclasses.fields(cls) if f.name not in skip]
    return OmegaConf.structured(dataclasses.make_dataclass(cls.__name__, fields))


def _default(f: dataclasses.Field[Any]) -> Any:
    """A field's default in the form that OmegaConf takes: no bare tuples, "???" where a value is required."""
    if f.default_factory is not dataclasses.MISSING:
        return field(default_factory=f.default_factory)
    if isinstance(f.default, tuple):
        items = list(f.default)
        return field(default_factory=lambda: list(items))
    return MISSING if f.default is dataclasses.MISSING else f.default


def _tuples(value: Any, annotation: Any) -> Any:
    """OmegaConf hands lists back for tuple fields; frozen sections hold tuples."""
    if isinstance(value, list) and typing.get_origin(annotation) is tuple:
        return tuple(value)
    return value


def _fill_slot(slot: tuple[Registry[Any], bool], raw: Any, annotation: Any, *, key: str, source: str) -> Any:
    registry, is_list = slot
    if is_list:
        if not isinstance(raw, list):
            raise ConfigError(f"{source}: {key}: expected a list, e.g. [{{name: {next(iter(registry))}}}], got {raw!r}")
        return tuple(
            _fill_slot((registry, False), item, annotation, key=f"{key}[{i}]", source=source)
            for i, item in enumerate(raw)
        )
    if raw is None and type(None) in typing.get_args(annotation):
        return None
    if isinstance(raw, str):
        raw = {"name": raw}  # `strategy: lora` is short for `strategy: {name: lora}`
    if not isinstance(raw, dict) or not isinstance(raw.get("name"), str):
        raise ConfigError(f"{source}: {key}.name is required; choose one of {', '.join(registry)}")
    try:
        cls = registry[raw["name"]]
    except ConfigError as error:
        raise ConfigError(f"{source}: {key}.name: {error}") from None
    return _build(cls, raw, key=key, source=source)


def _build_list(cls: type[Section], raw: Any, *, key: str, source: str) -> tuple[Section, ...]:
    """A list of sections; a bare text stands for a section's first key."""
    first = dataclasses.fields(cls)[0].name  # type: ignore[arg-type]
    if not isinstance(raw, list):
        raise ConfigError(f"{source}: {key}: expected a list, e.g. [{{{first}: ...}}], got {raw!r}")
    items = [{first: item} if isinstance(item, str) else item for item in raw]
    return tuple(_build(cls, item, key=f"{key}.{i}", source=source) for i, item in enumerate(items))


def _require_all(section: Any, *, key: str, source: str) -> None:
    """Required values, asked for last so that a mistyped key is named before the one it left empty."""
    hints = typing.get_type_hints(type(section))
    for f in dataclasses.fields(section):
        value = getattr(section, f.name)
        here = f"{key}.{f.name}" if key else f.name
        if isinstance(value, str) and value == MISSING:
            doc = field_docs(type(section)).get(f.name, "")
            raise ConfigError(f"{source}: {here} is required: {doc}")
        if dataclasses.is_dataclass(value):
            _require_all(value, key=here, source=source)
        for i, item in enumerate(value if section_list_of(hints[f.name]) is not None else ()):
            _require_all(item, key=f"{here}.{i}", source=source)
