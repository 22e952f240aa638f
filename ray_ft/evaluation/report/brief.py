"""A report in a terminal: one figure for each system and stratum, what was found, where the page is, what is next."""

import textwrap

from ray_ft.artifacts import Contrast, Report, Score
from ray_ft.evaluation.report import findings
from ray_ft.evaluation.report.findings import STRATA, metric_of
from ray_ft.evaluation.scores.scoring import (
    BITS_PER_BYTE,
    OWN_SAMPLES,
    PRIMARY_METRIC,
    RETRIEVER,
    UNANSWERABLE,
    main_metric,
)

WIDTH = 80


def render_brief(report: Report, *, page: str, serve: str) -> str:
    """At most 80 columns: the table, then what was found, where the page is, and what to do next.

    `serve` is the command that serves the run.
    """
    primary = findings.judged(report.contrasts)
    found = findings.advice(report.contrasts)
    told = next((c for c in primary if (c.treatment, c.control) == ("tuned", "base")), None)
    if told is not None:
        found += f" {findings.verdict_sentence(told)}"
    asked = any(c.stratum == OWN_SAMPLES for c in report.contrasts)
    kept = [one for one in findings.forgetting(report.contrasts) if asked or one.tag == "loss"]
    lines = [
        *_table([*report.scores, *report.baselines]),
        "",
        *_entry("Found", found),
        *_entry("Kept", " ".join(one.sentence for one in kept)),
        f"Report  {page}",
        *_entry("Next", _next(primary, serve, lost=any(one.tag == "loss" for one in kept), remedy=report.remedy)),
    ]
    return "\n".join(lines)


def _entry(name: str, text: str) -> list[str]:
    wrapped = textwrap.wrap(text, WIDTH - 8, break_on_hyphens=False, break_long_words=False)
    return [f"{name if number == 0 else '':<8}{line}" for number, line in enumerate(wrapped)]


def _table(scores: list[Score]) -> list[str]:
    """Key-fact recall by stratum, how many of the unanswerable are declined, and bits per byte."""
    means = {(s.stratum, s.system, s.metric): s.mean for s in scores if s.system != RETRIEVER}
    columns = [
        (title.split()[0] if stratum != "held_out" else "held out", stratum, metric)
        for stratum, (title, _) in STRATA.items()
        for metric in [main_metric(stratum)]
        if any(key[0] == stratum and key[2] == metric for key in means)
    ]
    bits = dict.fromkeys(stratum for stratum, _, metric in means if metric == BITS_PER_BYTE)
    columns += [("bits per byte", stratum, BITS_PER_BYTE) for stratum in bits]
    if not columns:
        return []
    systems = dict.fromkeys(system for _, system, _ in means)
    widths = [max(len(title) + 2, 8) for title, _, _ in columns]  # all strata together are 80 columns
    titles = "".join(f"{title:>{width}}" for (title, _, _), width in zip(columns, widths, strict=True))
    lines = [metric_of(PRIMARY_METRIC).title.ljust(16) + titles]
    for system in systems:
        cells = (means.get((stratum, system, metric)) for _, stratum, metric in columns)
        texts = (
            "" if mean is None else metric_of(metric).format(mean)
            for mean, (_, _, metric) in zip(cells, columns, strict=True)
        )
        row = "".join(f"{text:>{width}}" for text, width in zip(texts, widths, strict=True))
        lines.append(f"{system:<16}{row}".rstrip())
    if any(stratum == UNANSWERABLE for _, stratum, _ in columns):
        lines.append(f"({UNANSWERABLE}: share that is declined)")
    return lines


def _next(primary: list[Contrast], serve: str, *, lost: bool, remedy: str) -> str:
    if lost:
        return remedy or "mix general examples in by data.rehearsal, or train for fewer epochs or at a lower rate"
    if any(c.verdict == "better" for c in primary):
        return serve
    if any(c.verdict == "worse" for c in primary):
        return "read the biggest regressions in the report, then mix in general examples or train for fewer epochs"
    more = [c.num_more for c in primary if c.num_more]
    if more:
        wanted = f"about {max(more):,} more questions would decide"
        return f"{wanted}: raise evaluation.num_questions, or give a file of yours as evaluation.questions"
    return "more wordings of each fact, more epochs, or a larger base"
