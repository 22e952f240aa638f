"""The generated parts of docs/benchmarks/paper.md: tables and sentences between `<!-- NAME -->` and `<!-- end -->`."""

import json
import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from bench.paper import machine
from bench.paper.experiments import REPOSITORY, Experiment, read_experiments
from bench.paper.figures import Column, Difference, Results, columns, differences, gathered
from bench.paper.measure import ANSWERS, ROWS, read

BENCHMARKS = REPOSITORY / "docs" / "benchmarks"
PAGE = BENCHMARKS / "paper.md"
BLOCK = re.compile(r"<!-- ([a-z0-9 ]+) -->\n.*?<!-- end -->", re.DOTALL)
HANDBOOK = {
    "facts in new words": ("seen", "key_fact_recall"),
    "held-out facts": ("held_out", "key_fact_recall"),
    "general questions": ("retention", "key_fact_recall"),
    "declines what has no answer": ("unanswerable", "abstention"),
}
CODE = {
    "edit similarity": ("seen", "edit_similarity"),
    "names (F1)": ("seen", "identifier_f1"),
    "parses": ("seen", "parses"),
    "edit similarity, files not trained on": ("held_out", "edit_similarity"),
}
NOT_YET = "Not measured yet."
SHOWN = (("seen", 4), ("held_out", 1), ("unanswerable", 2), ("retention", 2))
"""Answers of Table 7 by stratum: the first question of so many documents, or so many questions."""


def written(text: str) -> str:
    """The page with its parts made anew. KeyError for a part that nobody makes."""
    made = blocks()
    return BLOCK.sub(lambda match: f"<!-- {match[1]} -->\n{made[match[1]]}\n<!-- end -->", text)


@cache
def blocks() -> dict[str, str]:
    """Every part by its name, of the files beside the page."""
    results, answers = gathered(read(BENCHMARKS / ROWS)), read(BENCHMARKS / ANSWERS)
    experiments = {e.name: e for e in read_experiments()}
    made = {name: "\n".join(quality(results, e)) for name, e in experiments.items()}
    made |= {"machine": about(results), "t07": "\n".join(before_after(answers)), "t12": "\n".join(functions(answers))}
    return made | machine.blocks()


def quality(results: Results, experiment: Experiment) -> Iterator[str]:
    """A table of runs, then what the pairs say of each other."""
    names = CODE if experiment.config.endswith("code.yaml") else HANDBOOK
    figures = {head: columns(results, experiment.name, *of) for head, of in names.items()}
    first, *others = names
    if not figures[first]:
        yield NOT_YET
        return
    yield f"| run | {first} | seeds | {' | '.join(others)} | the paper |"
    yield "|---|---|---|" + "---|" * (len(others) + 1)
    for run in _runs(experiment, figures[first]):
        column = figures[first].get(run)
        if column is None:
            continue
        cells = [_score(column), _seeds(column), *(_score(figures[head].get(run), bare=True) for head in others)]
        yield f"| {run} | {' | '.join(cells)} | {experiment.paper.get(run, '')} |"
    yield ""
    stratum, metric = names[first]
    yield from sentences(differences(results, experiment.name, experiment.pairs, stratum=stratum, metric=metric))


def sentences(found: list[Difference]) -> Iterator[str]:
    for d in found:
        yield (
            f"- {d.treatment}, less {d.control}: {_points(d.difference)} points [{_points(d.low)}, {_points(d.high)}], "
            f"p = {d.p_value:.3f}: {d.verdict}."
        )


def about(results: Results) -> str:
    """Which machine, and how long trials took."""
    if not results.seconds:
        return NOT_YET
    last = results.goes[-1]
    versions, processes = last["versions"], sorted({go["processes"] for go in results.goes})
    said = ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "transformers", "peft"))
    spent = [s for of in results.seconds.values() for s in of]
    middle = {k: sorted(s[k] for s in spent)[len(spent) // 2] for k in ("train", "evaluate")}
    return (
        f"{len(spent)} trials on one {last['machine']}, {' or '.join(map(str, processes))} side by side "
        f"({said}); in the median a trial took {middle['train']:.0f} s of training and {middle['evaluate']:.0f} s of "
        "answering. Raw data: "
        + ", ".join(f"[{name}]({name})" for name in (ROWS, ANSWERS, machine.FILES[0]) if (BENCHMARKS / name).is_file())
        + "."
    )


def before_after(answers: list[dict[str, Any]]) -> Iterator[str]:
    """Table 7: questions chosen by their order alone, with the answers of the first seed."""
    rows = [a for a in answers if (a["experiment"], a["run"], a["seed"]) == ("t06", "qa", 0)]
    if not rows:
        yield NOT_YET
        return
    yield "| question | before | after | the handbook |"
    yield "|---|---|---|---|"
    for stratum, number in SHOWN:
        of = [a for a in rows if a["stratum"] == stratum]
        for a in of[:: max(1, len(of) // number)][:number]:
            cells = (a["question"], a["answers"]["base"], a["answers"]["tuned"], a["reference"] or "(has no answer)")
            yield f"| {' | '.join(map(_cell, cells))} |"


def functions(answers: list[dict[str, Any]]) -> Iterator[str]:
    """Tables 11 and 12: of the functions trained on, the best answer of the summary recipe and the middle one."""
    from ray_ft.evaluation.scores.code.reading import code_in
    from ray_ft.evaluation.scores.code.similarity import edit_similarity

    rows = [a for a in answers if (a["experiment"], a["run"], a["seed"], a["stratum"]) == ("t11", "summary", 0, "seen")]
    if not rows:
        yield NOT_YET
        return
    ranked = sorted(
        ((edit_similarity(code_in(a["answers"]["tuned"]), a["reference"]), a) for a in rows), key=lambda p: -p[0]
    )
    for rank, name in ((0, "The best"), (len(ranked) // 2, "The middle one")):
        similarity, a = ranked[rank]
        yield f"{name} of {len(ranked)}, `{a['id']}`, edit similarity {similarity:.0%}:\n"
        yield f"```text\n{code_in(a['answers']['tuned']).strip()}\n```\n"
        yield f"The true one:\n\n```text\n{a['reference']}\n```\n"


def _runs(experiment: Experiment, there: dict[str, Column]) -> list[str]:
    """Runs in the order of the file, those with several systems once for each; the base is the same in all of them."""
    listed = [run for name in experiment.runs for run in there if run == name or run.startswith(f"{name}: ")]
    first = next(iter(experiment.runs))
    return [run for run in listed if ": base" not in run or run.startswith(f"{first}: ")]


def _score(column: Column | None, *, bare: bool = False) -> str:
    if column is None:
        return ""
    score = column.score
    return f"{score.mean:.1%}" if bare else f"{score.mean:.1%} [{100 * score.low:.1f}, {100 * score.high:.1f}]"


def _seeds(column: Column) -> str:
    if column.num_seeds == 1:
        return "one"
    return f"{column.num_seeds}: {100 * column.least:.1f} to {100 * column.most:.1f}"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def take_in(output: Path) -> None:
    """Put what a measurement left beside the page: trials that ended, and of their answers the first seed's."""
    kept = {
        ROWS: [row for row in read(output / ROWS) if row.get("outcome") != "error"],
        ANSWERS: [a for a in read(output / ANSWERS) if a["seed"] == 0 and a["run"] in ("qa", "summary")],
    }
    for name, rows in kept.items():
        if rows:
            lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
            (BENCHMARKS / name).write_text("".join(lines), encoding="utf-8")
    if (output / machine.FILES[0]).is_file():
        shutil.copyfile(output / machine.FILES[0], BENCHMARKS / machine.FILES[0])


def write(path: Path = PAGE) -> None:
    """Make the page's parts anew."""
    path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")
