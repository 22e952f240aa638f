"""What is served under which name: the base and its adapters, each with a version made from its content."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ray_ft.serving.refusals import ApiError, Refusal

RESERVED = ":"
"""Separates base and adapter in `base:adapter`, the long form of an adapter's name."""


@dataclass(frozen=True)
class ServedModel:
    """One name a request may ask for; `adapter` is None for the base."""

    id: str
    adapter: str | None  # what the copies of the model are asked for: `id@version`
    parent: str | None
    version: str  # first 12 hex digits of the content's SHA-256: a retrained adapter is another version
    created: int  # when its files were written, Unix seconds
    about: Mapping[str, Any] = field(default_factory=dict)  # what else its row in GET /v1/models says


class Models(Protocol):
    """What the routes ask of whoever knows the names."""

    @property
    def base(self) -> ServedModel:
        """The base model."""
        ...

    @property
    def models(self) -> tuple[ServedModel, ...]:
        """Every name, the base first."""
        ...

    @property
    def ids(self) -> tuple[str, ...]:
        """All names."""
        ...

    def find(self, name: str, *, user: str | None = None) -> ServedModel:
        """The model a request names; `user` draws the arm of an experiment. Raises ApiError 404."""
        ...


@dataclass(frozen=True)
class Restricted:
    """The models of somebody who may not know of every adapter: what is hidden is not found."""

    all: Models
    allows: Callable[[str], bool]  # given an adapter's name

    @property
    def base(self) -> ServedModel:
        """The base model."""
        return self.all.base

    @property
    def models(self) -> tuple[ServedModel, ...]:
        """Every name that may be known, the base first."""
        return tuple(model for model in self.all.models if model.adapter is None or self.allows(model.id))

    @property
    def ids(self) -> tuple[str, ...]:
        """All names that may be known."""
        return tuple(model.id for model in self.models)

    def find(self, name: str, *, user: str | None = None) -> ServedModel:
        """As the others; an arm of an experiment must be allowed too. Raises ApiError 404."""
        try:
            found = self.all.find(name, user=user)
        except ApiError:
            raise unknown_model(name, self.ids) from None
        if found.adapter is not None and not self.allows(found.id):
            raise unknown_model(name, self.ids)
        return found


def short_name(name: str, base: str) -> str:
    """An adapter's name without the base's before it."""
    return name if name == base else name.removeprefix(base + RESERVED)


def unknown_model(name: str, known: tuple[str, ...]) -> ApiError:
    """Nobody has this name."""
    message = f"The model {name!r} does not exist; served are: {', '.join(known)}"
    return ApiError(Refusal(404, message, code="model_not_found", param="model"))
