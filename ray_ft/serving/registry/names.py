"""How a request names a model: `base`, `adapter`, `adapter@version`, `base:adapter`, `exp:name`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ray_ft.errors import ConfigError
from ray_ft.serving.refusals import ApiError, Refusal
from ray_ft.serving.registry.versions import Version

AT = "@"
EXPERIMENT = "exp:"
LATEST = "latest"
STEP = "step-"
FEWEST_DIGITS = 4
"""Of a hash that names a version."""
_NAME = re.compile(r"[^\s@\x00-\x1f\x7f]{1,200}")
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGITS = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True)
class Adapter:
    """What stands behind one name: versions, the oldest first, and words that point at them."""

    versions: tuple[Version, ...] = ()
    aliases: dict[str, str] = field(default_factory=dict)  # alias to a version's id; `latest` is one

    def find(self, reference: str) -> Version | None:
        """The version that an alias, `step-N` or the beginning of a hash names; None where none or several do."""
        if (known := self.aliases.get(reference)) is not None:
            return self.version(known)
        if reference.startswith(STEP):
            return next((v for v in reversed(self.versions) if f"{STEP}{v.step}" == reference), None)
        digits = reference.removeprefix("sha256:")
        found = [v for v in self.versions if v.id.startswith(digits)]
        return found[0] if len(found) == 1 and len(digits) >= FEWEST_DIGITS else None

    def version(self, id: str) -> Version | None:
        """The version with this id."""
        return next((v for v in self.versions if v.id == id), None)

    def aliases_of(self, id: str) -> list[str]:
        """The words that point at a version."""
        return sorted(alias for alias, target in self.aliases.items() if target == id)

    def beyond(self, keep: int) -> list[Version]:
        """Versions that are neither among the newest `keep` nor pointed at; failed ones count like others."""
        pointed_at = set(self.aliases.values())
        return [v for v in self.versions[: max(0, len(self.versions) - keep)] if v.id not in pointed_at]


def check_name(name: str, base: str) -> None:
    """Raise ConfigError where a name cannot be an adapter's."""
    if name == base:
        raise ConfigError(f"{name!r} cannot name an adapter; the base has this name")
    if not (_NAME.fullmatch(name) and name.isprintable()) or name.startswith((EXPERIMENT, f"{base}:")):
        raise ConfigError(f"{name!r} cannot name an adapter: up to 200 characters, no spaces, no @, no {EXPERIMENT}")


def check_alias(alias: str) -> None:
    """Raise ApiError where a word cannot point at a version: it would be taken for a hash or a step."""
    looks_like_a_hash = len(alias) >= FEWEST_DIGITS and _DIGITS.fullmatch(alias) is not None
    if not _ALIAS.fullmatch(alias) or alias.startswith(STEP) or looks_like_a_hash:
        raise ApiError(
            Refusal(
                400,
                f"alias: {alias!r} cannot be one: letters, digits, . _ -, up to 64, no {STEP}N, and not like a hash",
                param="alias",
            )
        )


def split(name: str, adapters: Mapping[str, Adapter]) -> tuple[str, str] | None:
    """A name and what stands behind its @; None where no adapter has that name."""
    adapter, _, reference = name.partition(AT)
    return (adapter, reference or LATEST) if adapter in adapters and not name.endswith(AT) else None


def draw(weights: Mapping[str, float], point: float) -> str:
    """The arm at a point in [0, 1), each as wide as its weight."""
    arms: Sequence[str] = sorted(weights)
    total, reached = sum(weights.values()), 0.0
    for arm in arms:
        reached += weights[arm] / total
        if point < reached:
            return arm
    return arms[-1]
