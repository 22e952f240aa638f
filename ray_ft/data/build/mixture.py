"""How often an epoch shows each example: the weights of recipes and datasets, drawn by hash, and their account."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ray_ft.artifacts import Share
from ray_ft.data.dedup.splits import position

COUNTS = tuple(f.name for f in fields(Share) if f.name != "weight")


def num_repeats(weight: float, key: str, *, seed: int) -> int:
    """How often an epoch shows the example of this key: weight rounded down or up by lot, so that its mean is weight.

    The lot is the key's own hash: it does not depend on the other examples, nor on the order in which they come.
    """
    whole = int(weight)
    return whole + (position(f"weight:{key}", seed=seed) < weight - whole)


@dataclass
class Mixture:
    """What each recipe and each dataset gives to an epoch, by name."""

    shares: dict[str, Share] = field(default_factory=dict)

    def count(self, name: str, *, weight: float, repeats: int, num_tokens: int, num_target_tokens: int) -> None:
        """Count one example of the train split, shown `repeats` times."""
        self._add(name, Share(weight, 1, repeats, repeats * num_tokens, repeats * num_target_tokens))

    def add(self, other: "Mixture") -> None:
        """Add another group's counts to these."""
        for name, share in other.shares.items():
            self._add(name, share)

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> "Mixture":
        """Inverse of `to_json`."""
        return Mixture({name: Share(**share) for name, share in raw["shares"].items()})

    def _add(self, name: str, share: Share) -> None:
        old = self.shares.get(name, Share(share.weight))
        self.shares[name] = Share(share.weight, *(getattr(old, k) + getattr(share, k) for k in COUNTS))
