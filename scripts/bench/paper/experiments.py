"""The tables of the paper as YAML: a configuration, what each run changes in it, and the paper's own words."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
FOLDER = REPOSITORY / "configs" / "paper"
ORDER = ("t06", "t03", "t10", "t04", "t05", "t11")
"""Of worth, for a go that is cut short: every experiment's first seed comes before any second one."""


@dataclass(frozen=True)
class Experiment:
    """One file of configs/paper that trains: its runs differ in a few keys of one configuration."""

    name: str  # of the file
    tables: tuple[str, ...]  # of the paper
    title: str
    config: str
    runs: dict[str, list[str]]  # overrides by the run's name
    common: list[str] = field(default_factory=list)  # overrides of all runs
    seeds: int = 1
    systems: tuple[str, ...] = ("tuned",)
    keep_answers: bool = False
    pairs: tuple[tuple[str, str], ...] = ()  # treatment and control
    paper: dict[str, str] = field(default_factory=dict)  # its words by run or system


@dataclass(frozen=True)
class Trial:
    """One training and what is asked of it."""

    experiment: str
    run: str
    seed: int
    config: str
    overrides: tuple[str, ...]
    systems: tuple[str, ...]
    keep_answers: bool

    @property
    def name(self) -> str:
        """Of its run folder."""
        digest = hashlib.sha256(json.dumps([self.run, *self.overrides]).encode()).hexdigest()[:8]
        return f"{self.experiment}-{digest}-{self.seed}"

    def values(self) -> dict[str, Any]:
        return asdict(self)


def read_experiments() -> list[Experiment]:
    """All files of configs/paper that name tables and runs, in the order of worth."""
    found = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.yaml"))}
    return [experiment(name, found[name]) for name in ORDER]


def experiment(name: str, values: dict[str, Any]) -> Experiment:
    sequences = {key: tuple(values.get(key, ())) for key in ("tables", "systems")}
    pairs = tuple((treatment, control) for treatment, control in values.get("pairs", ()))
    return Experiment(**{**values, **{k: v for k, v in sequences.items() if v}, "name": name, "pairs": pairs})


def trials_of(experiments: Sequence[Experiment], *, seeds: int | None = None) -> list[Trial]:
    """Every run with its first seed, then every one with its second, as far as an experiment has one."""
    most = max(e.seeds for e in experiments)
    return [
        Trial(e.name, run, seed, e.config, (*e.common, *overrides), e.systems, e.keep_answers)
        for seed in range(min(most, seeds or most))
        for e in experiments
        if seed < e.seeds
        for run, overrides in e.runs.items()
    ]


def wanted(experiments: Sequence[Experiment], only: str) -> list[Experiment]:
    """Those that a table of `only`, such as T3,T10, stands in; SystemExit for a name that none has."""
    names = [name.strip().upper() for name in only.split(",") if name.strip()]
    unknown = [name for name in names if all(name not in e.tables for e in experiments)]
    if unknown:
        known = sorted({t for e in experiments for t in e.tables}, key=lambda t: int(t[1:]))
        raise SystemExit(f"--only: {unknown[0]!r} is trained for by no experiment; there are {', '.join(known)}")
    return [e for e in experiments if not names or set(names) & set(e.tables)]
