"""Writes a report for people: one HTML file without any reference to the outside, and the same in short as Markdown."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ray_ft.artifacts import Report, Score
from ray_ft.evaluation.report import costs, findings
from ray_ft.evaluation.report.findings import METRICS, STRATA, Metric, metric_of
from ray_ft.evaluation.report.plots import forests, panels, present
from ray_ft.evaluation.report.samples import Sample, choose_telling
from ray_ft.evaluation.scores.scoring import BITS_PER_BYTE, PRIMARY_METRIC, RECALL_BAR, RETRIEVER, is_of_code

CODE = re.compile(r"`([^`]++)`")


def render_html(report: Report, samples: Sequence[Sample], *, seed: int) -> str:
    """The whole report as one page; every text from outside is escaped."""
    view = _view(report)
    return str(template("report.html.jinja").render(**view, telling=choose_telling(samples, seed=seed)))


def render_markdown(report: Report) -> str:
    """Verdict, tables, provenance and limits; samples stay in the HTML and the JSON lines."""
    return str(template("report.md.jinja").render(**_view(report)))


@cache
def template(name: str, package: str = __package__) -> Any:
    """A template of a package, which may use this one's."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(__package__)]),
        autoescape=name.endswith(".html.jinja"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Markdown passes HTML through, and a line break would end a list item.
    environment.filters["marked"] = _marked
    environment.filters["line"] = lambda text: " ".join(str(text).split()).replace("<", "&lt;")
    return environment.get_template(name)


def _marked(text: str) -> str:
    """A sentence for HTML, with the commands that it names in backticks set as code."""
    from markupsafe import Markup, escape

    return Markup(CODE.sub(r"<code>\1</code>", str(escape(text))))


def _view(report: Report) -> dict[str, Any]:
    """What both templates show, in order and in words."""
    primary = [c for c in report.contrasts if c.primary]
    primary = sorted(primary, key=lambda c: list(STRATA).index(c.stratum))
    answers = [s for s in (*report.scores, *report.baselines) if s.stratum in STRATA and s.metric != BITS_PER_BYTE]
    return {
        "report": report,
        "advice": findings.advice(report.contrasts),
        "kept": findings.forgetting(report.contrasts),
        "apart": [s for s in report.scores if s.stratum not in STRATA and s.system != RETRIEVER],
        "stratum_title": findings.stratum_title,
        "verdicts": [(c.verdict, findings.verdict_sentence(c)) for c in primary],
        "panels": panels(report.scores, report.contrasts),
        "forests": forests(report.contrasts),
        "tables": [
            _table(some, is_of_code=code)
            for stratum in present(answers)
            for code in (False, True)
            if (some := [s for s in answers if s.stratum == stratum and is_of_code(s.metric) == code])
        ],
        "bits": [s for s in report.scores if s.metric == BITS_PER_BYTE],
        "bits_verdict": next((findings.verdict_sentence(c) for c in report.contrasts if c.metric == BITS_PER_BYTE), ""),
        **costs.view(report),
        "retrieval": [s for s in report.scores if s.system == RETRIEVER],
        "recall_bar": RECALL_BAR,
        "metrics": METRICS,
        "strata": STRATA,
        "metric_of": metric_of,
        "p_text": findings.p_text,
        "primary_metric": metric_of(PRIMARY_METRIC).title,
    }


@dataclass(frozen=True)
class Table:
    """Systems by metrics in one stratum."""

    title: str
    meaning: str
    num_items: int
    num_documents: int
    metrics: tuple[Metric, ...]
    rows: Mapping[str, tuple[Score, ...]]  # system -> one score per metric


def _table(scores: Sequence[Score], *, is_of_code: bool) -> Table:
    names = findings.in_order(s.metric for s in scores)
    by_system: dict[str, dict[str, Score]] = {}
    for s in scores:
        by_system.setdefault(s.system, {})[s.metric] = s
    title, meaning = STRATA[scores[0].stratum]
    return Table(
        title=f"{title}, where code is asked for" if is_of_code else title,
        meaning=meaning,
        num_items=scores[0].num_items,
        num_documents=scores[0].num_documents,
        metrics=tuple(metric_of(name) for name in names),
        rows={
            system: tuple(found[name] for name in names)
            for system, found in by_system.items()
            if found.keys() == set(names)
        },
    )
