"""From rows of trials to figures: means and paired differences with the package's own statistics.

The answers of several seeds to a question are averaged first: intervals are over documents, and what training by
another seed gives stands beside them as the least and the most of the seeds.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ray_ft.artifacts import Score
from ray_ft.evaluation.scores.scoring import Measured, measure, scores_of
from ray_ft.evaluation.scores.statistics import adjusted, decide, sign_flip_p

DRAWS, SEED, MARGIN = 10_000, 0, 0.02
Values = dict[int, list[float]]
"""By seed, one number for each question."""


@dataclass(frozen=True)
class Column:
    """One run (or one system of it) on one stratum and metric."""

    score: Score
    least: float  # of the seeds' means
    most: float
    num_seeds: int


@dataclass(frozen=True)
class Difference:
    """Treatment less control on the same questions."""

    treatment: str
    control: str
    difference: float
    low: float
    high: float
    p_value: float  # after Holm's adjustment over the table's pairs
    verdict: str


@dataclass
class Results:
    """What a file of rows holds."""

    goes: list[Mapping[str, Any]] = field(default_factory=list)  # the machine, its versions and processes, of each
    scores: dict[tuple[str, str], dict[tuple[str, str], Values]] = field(default_factory=dict)
    """By experiment and run, or `run: system`, then by stratum and metric."""
    documents: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # by config and stratum
    seconds: dict[str, list[dict[str, float]]] = field(default_factory=dict)  # by experiment
    metrics: dict[tuple[str, str], list[dict[str, float]]] = field(default_factory=dict)
    configs: dict[str, str] = field(default_factory=dict)  # by experiment


def gathered(rows: Iterable[Mapping[str, Any]]) -> Results:
    """Rows by what they are of; a trial that was made twice counts once, the last one."""
    found = Results()
    found.scores = defaultdict(lambda: defaultdict(dict))
    found.seconds, found.metrics = defaultdict(list), defaultdict(list)
    for row in rows:
        if "machine" in row:
            found.goes.append(row)
        elif "exam" in row:
            for stratum, asked in row["strata"].items():
                found.documents[row["exam"], stratum] = asked["documents"]
        elif row.get("outcome") == "ok":
            found.configs[row["experiment"]] = row["config"]
            found.seconds[row["experiment"]].append(row["seconds"])
            found.metrics[row["experiment"], row["run"]].append(row["metrics"])
            alone = len(row["scores"]) == 1
            for system, strata in row["scores"].items():
                name = row["run"] if alone else f"{row['run']}: {system}"
                for stratum, metrics in strata.items():
                    for metric, values in metrics.items():
                        found.scores[row["experiment"], name][stratum, metric][row["seed"]] = values
    return found


def measured(results: Results, experiment: str, stratum: str, metric: str) -> Measured | None:
    """All runs of an experiment on the same questions; None where none was asked."""
    columns = {
        (run, metric): _mean_over_seeds(values[stratum, metric])
        for (of, run), values in results.scores.items()
        if of == experiment and (stratum, metric) in values
    }
    if not columns:
        return None
    documents = results.documents[results.configs[experiment], stratum]
    return measure(stratum, columns, documents, num_bootstrap=DRAWS, seed=SEED)


def columns(results: Results, experiment: str, stratum: str, metric: str) -> dict[str, Column]:
    """By run, its mean with an interval over documents, and the spread of its seeds."""
    group = measured(results, experiment, stratum, metric)
    found = {}
    for score in scores_of(group) if group is not None else ():
        by_seed = results.scores[experiment, score.system][stratum, metric]
        means = [sum(values) / len(values) for values in by_seed.values()]
        found[score.system] = Column(score, min(means), max(means), len(means))
    return found


def differences(
    results: Results, experiment: str, pairs: Sequence[tuple[str, str]], *, stratum: str, metric: str
) -> list[Difference]:
    """Every pair that was measured, judged together as the reports judge theirs."""
    group = measured(results, experiment, stratum, metric)
    if group is None:
        return []
    there = [pair for pair in pairs if all((run, metric) in group.sums for run in pair)]
    by_document = [group.sums[t, metric] - group.sums[c, metric] for t, c in there]
    draws = [group.draws[t, metric] - group.draws[c, metric] for t, c in there]
    raw = [
        (sign_flip_p(one, num_draws=DRAWS, seed=SEED), drawn.equivalence_p(margin=MARGIN, worst=1.0))
        for one, drawn in zip(by_document, draws, strict=True)
    ]
    found = []
    for (treatment, control), drawn, (p_value, p_equivalence) in zip(there, draws, adjusted(raw), strict=True):
        spread = drawn.interval(-1.0, 1.0)
        difference = group.mean(treatment, metric) - group.mean(control, metric)
        verdict = decide(
            difference=difference, low=spread.low, high=spread.high, p_value=p_value, p_equivalence=p_equivalence,
            margin=MARGIN, num_documents=group.num_documents,
        )  # fmt: skip
        found.append(Difference(treatment, control, difference, spread.low, spread.high, p_value, verdict))
    return found


def _mean_over_seeds(by_seed: Values) -> list[float]:
    return [sum(values) / len(values) for values in zip(*by_seed.values(), strict=True)]
