"""Train, validation or test by hashing a document's content, before any recipe runs."""

import hashlib
import math
from dataclasses import dataclass

from ray_ft.rows import Split

MIN_DOCUMENTS_FOR_TEST = 3


@dataclass(frozen=True)
class Bounds:
    """Positions below `test` are test, below `validation` validation, the rest train."""

    test: float
    validation: float

    @staticmethod
    def of(*, validation_fraction: float, test_fraction: float) -> "Bounds":
        """The bounds that give these fractions of many documents."""
        return Bounds(test_fraction, test_fraction + validation_fraction)

    def split(self, position: float) -> Split:
        """The split of a document at `position`."""
        return "test" if position < self.test else "validation" if position < self.validation else "train"

    def fitted(self, *, lowest: float, highest: float, num_documents: int) -> "Bounds":
        """Bounds for a corpus whose documents lie between two positions: never without one to train on, nor without

        one to test on when there are at least three documents and a test split is wanted. Many documents need neither.
        """
        test, validation = min(self.test, highest), min(self.validation, highest)
        wanted = self.test > 0 and num_documents >= MIN_DOCUMENTS_FOR_TEST and lowest < highest
        if wanted and lowest >= test:
            test = math.nextafter(lowest, 1.0)
        return Bounds(test, max(test, validation))


def content_key(text: str) -> str:
    """Equal for texts that differ only in white space, so that duplicates land in one split."""
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()


def position(key: str, *, seed: int) -> float:
    """A number in [0, 1) from the key alone, so that adding a document never moves another between splits."""
    return int(hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()[:13], 16) / 16**13
