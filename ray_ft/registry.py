"""A registry maps the `name` in a config slot to the frozen dataclass that answers for it."""

import difflib
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from ray_ft.errors import ConfigError

T = TypeVar("T")


class Registry(Generic[T]):
    """Choices of one kind by name; a choice enrols itself with `@REGISTRY.register` and brings its config fields."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._classes: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Class decorator that enrols a choice under `name`."""

        def enrol(cls: type[T]) -> type[T]:
            assert name not in self._classes, f"{self.kind} {name!r} is registered twice"
            self._classes[name] = cls
            return cls

        return enrol

    def __getitem__(self, name: str) -> type[T]:
        """The class registered under `name`; ConfigError with the choices when there is none."""
        if name not in self._classes:
            near = difflib.get_close_matches(name, self._classes, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"no such {self.kind} {name!r}; choose one of {', '.join(self)}.{hint}")
        return self._classes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._classes))

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __len__(self) -> int:
        return len(self._classes)
