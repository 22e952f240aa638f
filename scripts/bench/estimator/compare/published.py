"""Runs that others measured and published, as docs/benchmarks/published-memory.csv holds them."""

import csv
from dataclasses import dataclass, replace
from pathlib import Path

from ray_ft.strategies import STRATEGIES, Strategy

PATH = Path(__file__).resolve().parents[4] / "docs/benchmarks/published-memory.csv"
UNITS = {"GiB": 2**30, "GB": 10**9}


@dataclass(frozen=True)
class Published:
    """One run; `sequence` and `micro_batch` are 0 where they are not told."""

    id: str
    stack: str
    model: str
    method: str
    rank: int
    targets: tuple[str, ...]
    dropout: float
    sequence: int
    micro_batch: int
    gpus: int
    checkpointing: bool
    options: frozenset[str]
    metric: str
    """active and allocated: of tensors; reserved: by PyTorch; device: what nvidia-smi shows."""
    measured: float
    unit: str
    source: str
    unpredictable: str
    """Why no estimate can be held against it; empty where one can."""

    @property
    def measured_bytes(self) -> float:
        return self.measured * UNITS[self.unit]

    def strategy(self) -> Strategy:
        """As ray_ft has it, with ZeRO-3 where the run shards weights."""
        found = replace(STRATEGIES[self.method](), zero_stage=3 if self.gpus > 1 else 0, offload="none")
        if found.is_adapter:
            targets = tuple(name for name in self.targets if name != "lm_head") or ("all-linear",)
            found = replace(found, r=self.rank or 8, lora_dropout=self.dropout, target_modules=targets)  # type: ignore[call-arg]
        if found.is_quantised:
            found = replace(found, double_quant="double_quant" in self.options)  # type: ignore[call-arg]
        return found


def read_published(path: Path = PATH) -> list[Published]:
    """All rows, in the file's order."""
    with path.open(newline="", encoding="utf-8") as file:
        return [_published(row) for row in csv.DictReader(file)]


def _published(row: dict[str, str]) -> Published:
    return Published(
        id=row["id"],
        stack=row["stack"],
        model=row["model"],
        method=row["method"],
        rank=int(row["rank"] or 0),
        targets=tuple(row["targets"].split()),
        dropout=float(row["dropout"] or 0),
        sequence=int(row["sequence"] or 0),
        micro_batch=int(row["micro_batch"] or 0),
        gpus=int(row["gpus"]),
        checkpointing=row["checkpointing"] == "yes",
        options=frozenset(row["options"].split()),
        metric=row["metric"],
        measured=float(row["measured"]),
        unit=row["unit"],
        source=row["source"],
        unpredictable=row["unpredictable"],
    )
