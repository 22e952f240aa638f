"""Two runs on the questions that both were asked: whether the second's systems answer better than the first's."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_ft.artifacts import Changed, Comparison, Report, load
from ray_ft.errors import DataError
from ray_ft.evaluation.report import findings
from ray_ft.evaluation.report.samples import read_lines
from ray_ft.evaluation.scores.contrasts import contrasts_of
from ray_ft.evaluation.scores.scoring import (
    BITS_PER_BYTE,
    DRIFT,
    OWN_SAMPLES,
    PRIMARY_METRIC,
    SURPRISE,
    UNANSWERABLE,
    Measured,
    main_metric,
    measure,
    scores_of,
    stratum_scored,
)
from ray_ft.rows import STRATA

HELD_APART = ("base model", "decoding", "engine", "system prompt", "retrieval", "versions")
"""What a report says of how it was made that a fair comparison keeps the same."""
WIDTH = 80
NUM_SHOWN = 3
"""Questions that a text names of either kind."""


def compare_runs(run_a: str | Path, run_b: str | Path, *, margin: float, num_bootstrap: int, seed: int) -> Comparison:
    """Compare every system that both runs have.

    Raises MissingArtifactError for a run without a report, DataError where no question is common.
    """
    reports = [load(Report, run, config_path="CONFIG") for run in (run_a, run_b)]
    samples = [_by_question(Path(run)) for run in (run_a, run_b)]
    common = [key for key in samples[0] if key in samples[1]]
    pairs = [(samples[0][key], samples[1][key]) for key in common]
    groups = [
        *_answered(pairs, num_bootstrap=num_bootstrap, seed=seed),
        *_bits(Path(run_a), Path(run_b), HELD_OUT, num_bootstrap=num_bootstrap, seed=seed),
        *_bits(Path(run_a), Path(run_b), SAID, num_bootstrap=num_bootstrap, seed=seed),
    ]
    if not groups:
        raise DataError(f"{run_a} and {run_b} have no question and no held-out document in common")
    systems = [name[2:] for name in dict.fromkeys(s for group in groups for s, _ in group.sums) if name[:2] == "A "]
    contrasts = contrasts_of(
        groups,
        margin=margin,
        num_bootstrap=num_bootstrap,
        seed=seed,
        pairs=[(f"B {system}", f"A {system}") for system in systems],
    )
    changed = sorted(_changed(pairs), key=lambda one: -one.gain)
    return Comparison(
        run_a=str(run_a),
        run_b=str(run_b),
        num_questions=len(common),
        num_only_a=len(samples[0]) - len(common),
        num_only_b=len(samples[1]) - len(common),
        scores=tuple(score for group in groups for score in scores_of(group)),
        contrasts=tuple(contrasts),
        wins=tuple(one for one in changed if one.gain > 0),
        regressions=tuple(one for one in reversed(changed) if one.gain < 0),
        differences=_differences(*reports),
    )


def render_comparison(found: Comparison) -> str:
    """At most 80 columns: what was compared, a sentence for each verdict on key facts, and what changed most.

    A system that scores alike in both, as an untuned base does, has one line.
    """
    lines = [f"A  {found.run_a}", f"B  {found.run_b}", f"{found.num_questions:,} questions that both were asked"]
    if found.num_only_a or found.num_only_b:
        lines[-1] += f" ({found.num_only_a:,} of A alone and {found.num_only_b:,} of B alone are left out)"
    lines += [f"not the same: {name}: {a} / {b}" for name, (a, b) in found.differences.items()]
    moved = {c.treatment for c in found.contrasts if c.difference}
    moved |= {f"B {one.system}" for one in (*found.wins, *found.regressions)}
    shown = [c for c in found.contrasts if c.metric in (main_metric(c.stratum), *SURPRISE) and c.treatment in moved]
    for c in shown:
        sentence = f"- {c.verdict}: {findings.verdict_sentence(c)}"
        lines += ["", *textwrap.wrap(sentence, WIDTH, subsequent_indent="  ", break_on_hyphens=False)]
    if alike := dict.fromkeys(c.treatment[2:] for c in found.contrasts if c.treatment not in moved):
        lines += ["", f"the same scores in both: {', '.join(alike)}"]
    for title, changed in (("B gained most on", found.wins), ("B lost most on", found.regressions)):
        if changed:
            lines += ["", f"{title}:"]
        for one in changed[:NUM_SHOWN]:
            lines += [
                f"- {_line(f'{one.question} ({one.system})')}",
                f"  A: {_line(one.before)}",
                f"  B: {_line(one.after)}",
            ]
    return "\n".join(lines)


def _line(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= WIDTH - 5 else f"{words[: WIDTH - 6]}…"


def _by_question(run: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    """Samples by all that makes two questions the same."""
    rows = read_lines(run / "evaluation" / "samples.jsonl")
    return {(row["question"], row["reference"], row["document_id"], row["stratum"]): row for row in rows}


def _answered(
    pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]], *, num_bootstrap: int, seed: int
) -> list[Measured]:
    groups = []
    by_stratum: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for a, b in pairs:
        by_stratum.setdefault(stratum_scored(a["stratum"], answerable=a["answerable"]), []).append((a, b))
    for stratum in (s for s in (*STRATA, UNANSWERABLE) if s in by_stratum):
        rows = by_stratum[stratum]
        first = rows[0][0]["answers"]
        # Code and lists of steps have metrics that other questions of the stratum lack, and an older report has fewer.
        together: dict[tuple[int, ...], dict[tuple[str, str], list[float]]] = {}
        for system in (s for s in first if all(s in run["answers"] for pair in rows for run in pair)):
            scored = [[run["answers"][system]["scores"] for run in pair] for pair in rows]
            for metric in dict.fromkeys(metric for a, _ in scored for metric in a):
                asked = tuple(i for i, pair in enumerate(scored) if all(metric in scores for scores in pair))
                for side, name in enumerate(("A", "B")):
                    column = [scored[i][side][metric] for i in asked]
                    together.setdefault(asked, {})[f"{name} {system}", metric] = column
        for asked, columns in together.items():
            if asked:
                documents = [rows[i][0]["document_id"] for i in asked]
                groups.append(measure(stratum, columns, documents, num_bootstrap=num_bootstrap, seed=seed))
    return groups


@dataclass(frozen=True)
class _Lines:
    """A file of bits by system: its name, what its figures stand under, and the fields that make two lines the same.

    The first of these is what is drawn anew, the last what the bits are divided by.
    """

    name: str
    stratum: str
    metric: str
    fields: tuple[str, ...]


HELD_OUT = _Lines("bits_per_byte.jsonl", "held_out", BITS_PER_BYTE, ("document_id", "num_bytes"))
SAID = _Lines("own_samples.jsonl", OWN_SAMPLES, DRIFT, ("prompt", "said", "num_tokens"))


def _bits(run_a: Path, run_b: Path, lines: _Lines, *, num_bootstrap: int, seed: int) -> list[Measured]:
    by_run: list[dict[tuple[Any, ...], dict[str, float]]] = []
    for run in (run_a, run_b):
        found: dict[tuple[Any, ...], dict[str, float]] = {}
        path = run / "evaluation" / lines.name
        for row in read_lines(path) if path.is_file() else ():
            found.setdefault(tuple(row[name] for name in lines.fields), {})[row["system"]] = row["bits"]
        by_run.append(found)
    common = [key for key in by_run[0] if key in by_run[1]]
    if not common:
        return []
    systems = [s for s in by_run[0][common[0]] if all(s in run[key] for key in common for run in by_run)]
    if not systems:
        return []
    columns = {
        (f"{name} {system}", lines.metric): [by_run[side][key][system] for key in common]
        for system in systems
        for name, side in (("A", 0), ("B", 1))
    }
    weights = [float(key[-1]) for key in common]
    names = [key[0] for key in common]
    return [measure(lines.stratum, columns, names, weights=weights, num_bootstrap=num_bootstrap, seed=seed)]


def _changed(pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> Iterator[Changed]:
    for a, b in pairs:
        for system, before in a["answers"].items():
            after = b["answers"].get(system)
            if after is None or not a["answerable"]:
                continue
            gain = after["scores"][PRIMARY_METRIC] - before["scores"][PRIMARY_METRIC]
            yield Changed(a["question"], system, before["answer"], after["answer"], gain)


def _differences(a: Report, b: Report) -> dict[str, tuple[str, str]]:
    """What else differs, so that a change is not laid to tuning alone."""
    found = {name: (a.details.get(name, "not said"), b.details.get(name, "not said")) for name in HELD_APART}
    return {name: values for name, values in found.items() if values[0] != values[1]}
