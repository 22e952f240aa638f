"""The page of simulated verdicts, from its CSV files."""

from collections.abc import Callable, Iterator
from typing import Any

from ray_ft.evaluation.scores.statistics import fewest_documents

Row = dict[str, float]
VERDICTS = ("better", "worse", "no meaningful difference", "undecided")


def page(verdicts: list[Row], families: list[Row], power: list[Row], intervals: list[Row]) -> str:
    """The whole page as Markdown."""
    exams, draws, seed = (f"{verdicts[0][name]:,.0f}" for name in ("exams", "draws", "seed"))
    lines = [
        _INTRODUCTION.format(exams=exams, draws=draws, seed=seed),
        "## How often a verdict is false\n",
        *false_verdicts(verdicts),
        "\n## All four verdicts\n",
        _ABOUT_VERDICTS,
        *coverage(verdicts),
        "\n## Six comparisons together\n",
        _ABOUT_FAMILIES,
        *together(families),
        "\n## How many documents it takes to show that nothing changed\n",
        _ABOUT_POWER,
        *needed(power),
        "\n## Intervals of one system's score\n",
        _ABOUT_INTERVALS.format(exams=f"{intervals[0]['exams']:,.0f}"),
        *held(intervals),
    ]
    return "\n".join(lines) + "\n"


def false_verdicts(rows: list[Row]) -> Iterator[str]:
    """By number of documents, the mean and the worst of all truths."""
    yield (
        "| documents | no meaningful difference, where the gain is the margin or more "
        "| better or worse, where there is none | intervals that hold the truth |"
    )
    yield "|---|---|---|---|"
    for documents in dict.fromkeys(row["documents"] for row in rows):
        some = [row for row in rows if row["documents"] == documents]
        equal = [row for row in some if abs(row["gain"]) >= row["margin"]]
        none = [row for row in some if row["gain"] == 0]
        cells = [
            spread(equal, lambda row: row["no meaningful difference"] / row["exams"], max),
            spread(none, lambda row: (row["better"] + row["worse"]) / row["exams"], max),
            spread(some, lambda row: row["interval holds"] / row["exams"], min),
        ]
        yield f"| {documents:.0f} | {' | '.join(cells)} |"


def spread(rows: list[Row], share: Callable[[Row], float], worst: Callable[[Any], float]) -> str:
    shares = [share(row) for row in rows]
    kind = "at most" if worst is max else "at least"
    return f"{sum(shares) / len(shares):.1%}, {kind} {worst(shares):.1%}"


def coverage(rows: list[Row]) -> Iterator[str]:
    """Shares of the four verdicts by margin, gain and documents, over discordances and correlations."""
    yield "| margin | true gain | documents | better | worse | no meaningful difference | undecided |"
    yield "|---|---|---|---|---|---|---|"
    for margin, gain, documents in sorted({(row["margin"], row["gain"], row["documents"]) for row in rows}):
        some = [r for r in rows if (r["margin"], r["gain"], r["documents"]) == (margin, gain, documents)]
        total = sum(row["exams"] for row in some)
        shares = [f"{sum(row[name] for row in some) / total:.1%}" for name in VERDICTS]
        yield f"| {100 * margin:g} | {100 * gain:+g} | {documents:.0f} | {' | '.join(shares)} |"


def together(rows: list[Row]) -> Iterator[str]:
    """Exams of a family in which any verdict is false."""
    counts = list(dict.fromkeys(row["at the margin"] for row in rows))
    yield "| documents | " + " | ".join(f"{n:.0f} of 6 at the margin" for n in counts) + " |"
    yield "|---|" + "---|" * len(counts)
    for documents in dict.fromkeys(row["documents"] for row in rows):
        some = {row["at the margin"]: row["any verdict false"] / row["exams"] for row in rows
                if row["documents"] == documents}  # fmt: skip
        yield f"| {documents:.0f} | " + " | ".join(f"{some[n]:.1%}" for n in counts) + " |"


def needed(rows: list[Row]) -> Iterator[str]:
    """Documents by margin and discordance."""
    columns = list(dict.fromkeys(row["discordance"] for row in rows))
    yield "| margin | fewest | of six | " + " | ".join(f"{100 * q:g}% differ" for q in columns) + " |"
    yield "|---|---|---|" + "---|" * len(columns)
    for margin in dict.fromkeys(row["margin"] for row in rows):
        some = {row["discordance"]: row for row in rows if row["margin"] == margin}
        counts = " | ".join(f"{some[q]['documents']:,.0f}" for q in columns)
        fewest = " | ".join(str(fewest_documents(margin, num_contrasts=n)) for n in (1, 6))
        yield f"| {100 * margin:g} points | {fewest} | {counts} |"


def held(rows: list[Row]) -> Iterator[str]:
    """Shares of exams whose interval holds the rate, by documents and questions of each."""
    rates = list(dict.fromkeys(row["rate"] for row in rows))
    yield "| documents | questions of each | " + " | ".join(f"{rate:.0%} right" for rate in rates) + " |"
    yield "|---|---|" + "---|" * len(rates)
    for documents, questions in dict.fromkeys((row["documents"], row["questions"]) for row in rows):
        some = {r["rate"]: r for r in rows if (r["documents"], r["questions"]) == (documents, questions)}
        shares = [f"{1 - (some[rate]['below'] + some[rate]['above']) / some[rate]['exams']:.1%}" for rate in rates]
        yield f"| {documents:.0f} | {questions:.0f} | {' | '.join(shares)} |"


_INTRODUCTION = """# What the verdicts are worth

Simulated exams with a known truth, judged by the very functions that `ray-ft evaluate` uses. Made by one command, which
writes [verdicts.csv](verdicts.csv), [verdict-families.csv](verdict-families.csv),
[verdict-power.csv](verdict-power.csv), [interval-coverage.csv](interval-coverage.csv) and this page; `--report` writes
the page from the files alone.

```console
$ scripts/bench_evaluation
```

Two systems answer one question or five of each document. With five, two questions about a document share its lot half
the time, or always, so that one document is one piece of evidence. The systems differ on as few questions as the true
gain allows, on 20% or on 40%. {exams} exams for each row of the files, {draws} draws for each exam, seed {seed}: a
share of 5% has a standard error of about a point, and the worst of some dozen rows lies two or three points off by
chance. [What the verdict means](../concepts/evaluation.md) says the rule.
"""

_ABOUT_VERDICTS = """Mean shares over all discordances and correlations, of one comparison; points of a hundred.
"""

_ABOUT_FAMILIES = """Six comparisons, as with questions on seen and on held-out documents, judged together with a
margin of 10 points: five questions a document, 20% of which differ. Those that are not at the margin have no gain. A
verdict is false if it is *better* or *worse* where there is no gain, or the other way round, or *no meaningful
difference* at the margin. Shares of exams with any false verdict at all.
"""

_ABOUT_POWER = """Documents with one question each, of systems that are equal, for 80% of exams to say *no meaningful
difference*, by the share of questions on which they differ. `fewest` is what it takes when all answers are equal, where
it is the only comparison and where there are six; below it the verdict is never given. The others are for one.
"""

_ABOUT_INTERVALS = """How often the 95% interval of a share of right answers holds the truth; {exams} exams for each
figure, [interval-coverage.csv](interval-coverage.csv). Documents have rates of their own, so that two questions
about one are alike by 0.3. The intervals hold the truth at least as often as they say, and with few documents more
often than that: they allow for a document that nobody asked about.
"""
