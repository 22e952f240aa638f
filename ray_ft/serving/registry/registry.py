"""Which adapters are deployed, in which versions, under which words: one writer, the gateway, and a file.

The file says what every copy of the model should hold, so a copy that starts again, or the gateway itself, goes on with
what was deployed. Each change makes a new state and puts it in place of the old one at once: a request sees the one or
the other.
"""

import hashlib
import json
import random
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ray_ft import artifacts
from ray_ft.errors import ConfigError, ModelError
from ray_ft.models.folder import base_digest
from ray_ft.serving.adapters import ServedModel, short_name, unknown_model
from ray_ft.serving.refusals import ApiError, Refusal
from ray_ft.serving.registry.names import AT, EXPERIMENT, LATEST, Adapter, check_name, draw, split
from ray_ft.serving.registry.versions import ID_DIGITS, VERSIONS, Copied, Version, copy_adapter

FILE = "registry.json"


@dataclass(frozen=True)
class Shadow:
    """Some of the requests for one model are asked again of another, whose answers go to nobody."""

    to: str
    sample: float  # share of the requests


@dataclass(frozen=True)
class State:
    """All that is deployed at one moment."""

    base: str
    base_version: str
    base_created: int
    adapters: dict[str, Adapter] = field(default_factory=dict)
    experiments: dict[str, dict[str, float]] = field(default_factory=dict)  # name to its arms and their weights
    shadows: dict[str, Shadow] = field(default_factory=dict)  # by what a request asks for
    retiring: tuple[str, ...] = ()  # versions without a name whose last answers are still being made

    @property
    def wanted(self) -> set[str]:
        """Versions that a copy of the model should hold."""
        named = {v.id for adapter in self.adapters.values() for v in adapter.versions if v.state != "failed"}
        return named | set(self.retiring)


def read_state(folder: str | Path) -> State:
    """What is deployed, by the file in an endpoint's folder."""
    state: State = artifacts.from_json(State, json.loads((Path(folder) / FILE).read_text()))
    return state


def create(folder: str | Path, *, base_path: str, base_name: str, adapters: Mapping[str, str]) -> "Registry":
    """A new endpoint's registry, with copies of the adapters it begins with, which its start has to find sound.

    Raises ModelError or ConfigError on what cannot be served.
    """
    config = Path(base_path) / "config.json"
    if not config.is_file():
        raise ModelError(f"no model in {base_path}: it has no config.json")
    state = State(base_name, base_digest(base_path)[:ID_DIGITS], int(config.stat().st_mtime))
    for name in adapters:
        try:
            check_name(name, base_name)
        except ConfigError as error:
            raise ConfigError(f"serving.adapters: {error}") from None
    artifacts.write_text(Path(folder) / FILE, json.dumps(artifacts.to_json(state)))
    registry = Registry(folder)
    for name, source in adapters.items():
        version = registry.adopt(name, copy_adapter(name, source, registry.folder), source=source)
        registry.settle(name, version.id, state="ready")
    return registry


class Registry:
    """The names of what is served, live. Any thread may call; nothing waits for a reader."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._lock = threading.RLock()
        self._leases: Counter[str] = Counter()
        self._random = random.Random()
        self._state = read_state(self.folder)
        self.collect()

    # --- asked for each request ---------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """What is deployed now."""
        return self._state

    @property
    def held(self) -> set[str]:
        """Versions whose copies are kept: those that a name has, and those that answers still need."""
        return {v.id for a in self._state.adapters.values() for v in a.versions} | set(self._state.retiring)

    @property
    def base(self) -> ServedModel:
        """The base model."""
        state = self._state
        return ServedModel(state.base, None, None, state.base_version, state.base_created)

    @property
    def models(self) -> tuple[ServedModel, ...]:
        """Every name at its latest version, the base first."""
        state = self._state
        latest = ((name, adapter.find(LATEST)) for name, adapter in state.adapters.items())
        return (self.base, *(self._served(state, name, version) for name, version in latest if version is not None))

    @property
    def ids(self) -> tuple[str, ...]:
        """All names."""
        return (self._state.base, *self._state.adapters)

    def find(self, name: str, *, user: str | None = None) -> ServedModel:
        """The model a request names, in the version that the name means now. Raises ApiError 404.

        `exp:name` draws an arm of an experiment by its weights: the same one for the same `user`.
        """
        state, short = self._state, short_name(name, self._state.base)
        if short.startswith(EXPERIMENT) and (arms := state.experiments.get(short.removeprefix(EXPERIMENT))):
            arm = draw(arms, self._random.random() if not user else _point(f"{short}\0{user}"))
            found = self.find(arm)
            return replace(found, about={**found.about, "experiment": short.removeprefix(EXPERIMENT), "arm": arm})
        if short == state.base:
            return self.base
        found_adapter = split(short, state.adapters)
        version = None if found_adapter is None else state.adapters[found_adapter[0]].find(found_adapter[1])
        if found_adapter is None or version is None:
            raise unknown_model(name, self.ids)
        return self._served(state, found_adapter[0], version)

    def version(self, key: str) -> Version | None:
        """The version of a `ServedModel.adapter`, unless its name has been unloaded meanwhile."""
        name, _, id = key.rpartition(AT)
        adapter = self._state.adapters.get(name)
        return None if adapter is None else adapter.version(id)

    @contextmanager
    def lease(self, key: str | None) -> Iterator[None]:
        """Keep a version while an answer of it is made."""
        id = version_of(key) if key is not None else None
        if id is not None:
            with self._lock:
                self._leases[id] += 1
        try:
            yield
        finally:
            if id is not None:
                with self._lock:
                    self._leases[id] -= 1
                    if not self._leases[id]:
                        del self._leases[id]
                        if id in self._state.retiring:
                            self.collect()

    # --- changes: raise ConfigError where the state cannot be written, and then nothing has changed -------------------

    def adopt(self, name: str, copied: Copied, *, source: str, step: int | None = None, run: str = "") -> Version:
        """Put a copy in its place as a version of `name`; requests get it once `settle` says that it is ready."""
        version = Version(copied.id, source, copied.created, step, run, template=copied.template)
        place = self.folder / VERSIONS / copied.id
        with self._lock:
            if place.is_dir():
                shutil.rmtree(copied.folder, ignore_errors=True)
            else:
                copied.folder.rename(place)
            adapter = self._state.adapters.get(name, Adapter())
            known = adapter.version(copied.id)
            if known is not None and known.state == "ready":  # the same content again, of another step perhaps
                version = replace(known, step=known.step if step is None else step)
            others = tuple(v for v in adapter.versions if v.id != copied.id)
            aliases = {LATEST: copied.id} | adapter.aliases
            self._put_adapter(name, Adapter((*others, version), aliases))
        return version

    def settle(self, name: str, id: str, *, state: Any, reason: str = "", probe: dict[str, Any] | None = None) -> None:
        """Say what came of loading a version; the newest that is ready becomes the latest."""
        with self._lock:
            adapter = self._state.adapters.get(name)
            if adapter is None or (version := adapter.version(id)) is None:
                return  # unloaded meanwhile
            settled = replace(version, state=state, reason=reason, probe=probe)
            versions = tuple(settled if v.id == id else v for v in adapter.versions)
            latest = {LATEST: [v.id for v in versions if v.state == "ready"][-1]} if state == "ready" else {}
            self._put_adapter(name, Adapter(versions, adapter.aliases | latest))

    def point(self, name: str, alias: str, id: str | None) -> None:
        """Let an alias of an adapter mean a version, or nothing any more."""
        with self._lock:
            adapter = self._state.adapters[name]
            rest = {word: target for word, target in adapter.aliases.items() if word != alias}
            self._put_adapter(name, replace(adapter, aliases=rest if id is None else rest | {alias: id}))

    def prune(self, name: str, keep: int) -> None:
        """Let go of versions beyond the newest `keep`, except those that an alias, an arm or a shadow points at."""
        with self._lock:
            if (adapter := self._state.adapters.get(name)) is None:
                return
            used = {self._key_of(model) for model in self._used_elsewhere()}
            gone = {v.id for v in adapter.beyond(keep) if f"{name}{AT}{v.id}" not in used}
            if gone:
                kept = tuple(v for v in adapter.versions if v.id not in gone)
                self._put_adapter(name, replace(adapter, versions=kept), retired=gone)

    def remove(self, name: str) -> None:
        """Forget a name with all its versions; answers that are being made end as they began."""
        with self._lock:
            adapters = dict(self._state.adapters)
            gone = {v.id for v in adapters.pop(name).versions}
            self._put(replace(self._state, adapters=adapters), retired=gone)

    def change(self, edit: Callable[[State], State]) -> None:
        """Change experiments or shadows."""
        with self._lock:
            self._put(edit(self._state))

    def collect(self) -> None:
        """Delete the copies of versions that nobody names and nobody waits for."""
        with self._lock:
            still = tuple(id for id in self._state.retiring if self._leases[id])
            if still != self._state.retiring:
                with suppress(ConfigError):  # a full disk: the next answer that ends tries again
                    self._put(replace(self._state, retiring=still))
            for place in (self.folder / VERSIONS).glob("[0-9a-f]*"):
                if place.name not in self.held:
                    shutil.rmtree(place, ignore_errors=True)

    def _used_elsewhere(self) -> set[str]:
        state = self._state
        arms = {arm for weights in state.experiments.values() for arm in weights}
        return arms | set(state.shadows) | {shadow.to for shadow in state.shadows.values()}

    def _key_of(self, name: str) -> str | None:
        try:
            return self.find(name).adapter
        except ApiError:
            return None

    def _put_adapter(self, name: str, adapter: Adapter, *, retired: Set[str] = frozenset()) -> None:
        self._put(replace(self._state, adapters=self._state.adapters | {name: adapter}), retired=retired)

    def _put(self, state: State, *, retired: Set[str] = frozenset()) -> None:
        """The new state, first on the disk; what has no name any more goes once its last answer has ended."""
        named = {v.id for adapter in state.adapters.values() for v in adapter.versions}
        retiring = tuple(id for id in (*state.retiring, *sorted(retired)) if id not in named)
        state = replace(state, retiring=retiring)
        artifacts.write_text(self.folder / FILE, json.dumps(artifacts.to_json(state)))
        self._state = state
        if retired:
            self.collect()

    def _served(self, state: State, name: str, version: Version) -> ServedModel:
        adapter = state.adapters[name]
        about = {
            "adapter": name,
            "state": version.state,
            "step": version.step,
            "run": version.run or None,
            "chat_template": version.template or None,
            "aliases": adapter.aliases_of(version.id),
            "versions": [v.id for v in adapter.versions],
        }
        key = f"{name}{AT}{version.id}"
        return ServedModel(name, key, state.base, version.id, version.created, about)


def version_of(key: str) -> str:
    """The version's id in a `ServedModel.adapter`, which is `name@id`: what the copies of the model know it by."""
    return key.rpartition(AT)[2]


def not_ready(version: Version, name: str) -> Refusal:
    """A version that failed its gate; trying again changes nothing."""
    return Refusal(
        400, f"The adapter {name!r} cannot answer: {version.reason}", code="adapter_not_ready", param="model"
    )


def _point(text: str) -> float:
    """A point in [0, 1) by a text's hash."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:6]) / 2**48
