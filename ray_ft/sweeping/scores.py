"""A trial's figure: its validation loss, or its evaluation's scores by document."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_ft.config import SweepConfig
from ray_ft.errors import DataError
from ray_ft.evaluation.exam.tasks import TUNED
from ray_ft.evaluation.report.samples import read_lines
from ray_ft.evaluation.scores.scoring import BITS_PER_BYTE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
else:
    Floats = Any

LOWER_IS_BETTER = ("validation_loss", BITS_PER_BYTE)


@dataclass(frozen=True)
class Items:
    """What one trial was scored on: sums by document; its figure is their sum over that of the weights."""

    sums: Mapping[str, float]  # score summed over a document's questions, or its bits
    weights: Mapping[str, float]  # its questions, or its bytes

    @property
    def value(self) -> float:
        """Mean over questions, or bits per byte."""
        return sum(self.sums.values()) / sum(self.weights.values())


def read_items(run_path: str | Path, sweep: SweepConfig) -> Items:
    """The scores that evaluate wrote for the tuned model. Raises DataError where there are none of that kind."""
    folder = Path(run_path) / "evaluation"
    if sweep.metric == BITS_PER_BYTE:
        rows = [row for row in _lines(folder / "bits_per_byte.jsonl") if row["system"] == TUNED]
        found = [(row["document_id"], row["bits"], row["num_bytes"]) for row in rows]
    else:
        rows = [
            row for row in _lines(folder / "samples.jsonl") if row["stratum"] == sweep.stratum and row["answerable"]
        ]
        found = [(row["document_id"], row["answers"][TUNED]["scores"][sweep.metric], 1) for row in rows]
    if not found:
        raise DataError(
            f"{run_path} has no {sweep.metric} on {sweep.stratum} questions; see evaluation and sweep.stratum"
        )
    sums: dict[str, float] = {}
    weights: dict[str, float] = {}
    for document, value, weight in found:
        sums[document] = sums.get(document, 0.0) + value
        weights[document] = weights.get(document, 0.0) + weight
    return Items(sums, weights)


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    return read_lines(path) if path.is_file() else ()


def table_of(items: Sequence[Sequence[Items]]) -> "tuple[Floats, Floats]":
    """Sums [documents, settings], averaged over the seeds of each setting, and weights [documents].

    Raises DataError when trials were not asked the same.
    """
    import numpy as np

    first = items[0][0]
    if any(one.weights != first.weights for of_setting in items for one in of_setting):
        raise DataError("the trials were not asked the same questions; run the sweep again with `--force`")
    documents = sorted(first.weights)
    columns = [[np.mean([one.sums[d] for one in of_setting]) for d in documents] for of_setting in items]
    return np.asarray(columns, dtype=float).T, np.asarray([first.weights[d] for d in documents], dtype=float)
