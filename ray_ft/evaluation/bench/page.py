"""Shows a bench: a table of 80 columns for a terminal, Markdown, and one HTML page with a picture that needs no net."""

import textwrap
from collections.abc import Sequence
from typing import Any

from ray_ft.artifacts.bench import Bench, Timing, Variant
from ray_ft.evaluation.report.render import template
from ray_ft.evaluation.report.scatter import Point, Scatter, scatter

WIDTH = 80
MEMORY = {"loaded": "held once loaded", "peak": "peak while answering", "load_peak": "peak while loading",
          "reserved_for_cache": "reserved for keys and values", "before": "before loading"}  # fmt: skip
PACKAGE = "ray_ft.evaluation.bench"


def render_html(bench: Bench) -> str:
    """One page; every text from outside is escaped."""
    return str(template("bench.html.jinja", PACKAGE).render(**_view(bench)))


def render_markdown(bench: Bench) -> str:
    """The same figures as tables."""
    return str(template("bench.md.jinja", PACKAGE).render(**_view(bench)))


def render_table(bench: Bench, *, page: str) -> str:
    """At most 80 columns: speed, then memory and quality, then what was left out, and where the page is."""
    there = [variant for variant in bench.variants if not variant.refused]
    size = there[0].speeds[-1].batch_size
    lines = [
        *_wrapped(
            f"{bench.model} on {bench.device}: medians of {bench.repeats} repeats with 95% intervals, prompts of "
            f"{bench.prompt_tokens} tokens, answers of {bench.new_tokens}"
        ),
        f"{'':<13}{'first token':>19}{'each token':>19}{f'each, {size} at once':>19}{'all':>10}",
        f"{'':<13}{'ms':>19}{'ms':>19}{'ms':>19}{'tokens/s':>10}",
    ]
    for variant in there:
        one, many = variant.speeds
        times = (one.seconds_to_first, one.seconds_per_token, many.seconds_per_token)
        cells = "".join(f"{milliseconds(t):>19}" for t in times)
        lines.append(f"{variant.name:<13}{cells}{three(many.tokens_per_second.median):>10}")
    unit, name = unit_of(there)
    titles = (f"load, s{f'loaded, {name}':>14}{f'peak, {name}':>13}", "key-fact recall", "same answers")
    lines += ["", f"{'':<13}{titles[0]:>35}{titles[1]:>18}{titles[2]:>14}"]
    for variant in there:
        memory = "".join(
            f"{three(variant.memory[key] / unit):>{width}}" for key, width in (("loaded", 14), ("peak", 13))
        )
        lines.append(f"{variant.name:<13}{variant.load_seconds:>8.1f}{memory}{recall(variant):>18}{same(variant):>14}")
    lines += ["", *_wrapped(f"Memory: {bench.memory_meaning}.")]
    for variant in bench.variants:
        if variant.refused:
            lines += _wrapped(f"{variant.name}: not measured: {variant.refused}")
    for note in bench.notes:
        lines += _wrapped(note)
    return "\n".join([*lines, f"Page    {page}"])


def milliseconds(timed: Timing) -> str:
    """`12.3 [11.9, 13.0]`, in ms."""
    return f"{three(1e3 * timed.median)} [{three(1e3 * timed.low)}, {three(1e3 * timed.high)}]"


def three(value: float) -> str:
    """Three digits that count, without an exponent."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def recall(variant: Variant) -> str:
    """In percent, with its interval over documents."""
    score = variant.quality
    return "" if score is None else f"{100 * score.mean:.0f}% [{100 * score.low:.0f}, {100 * score.high:.0f}]"


def same(variant: Variant) -> str:
    """`38 of 40`; the first one, which others are held against, says so."""
    if not variant.num_answers:
        return ""
    return "(first)" if variant.same_as == variant.name else f"{variant.num_same} of {variant.num_answers}"


def unit_of(variants: Sequence[Variant]) -> tuple[int, str]:
    """Bytes in the unit in which memory is told, and its name."""
    largest = max(variant.memory.get("peak", 0) for variant in variants)
    return (2**30, "GiB") if largest >= 2**30 else (2**20, "MiB")


def picture(bench: Bench) -> Scatter | None:
    """Recall against milliseconds per output token; without an exam how many answers stay the same."""
    points = []
    for variant in bench.variants:
        if variant.refused or not variant.num_answers:
            continue
        y = low = high = variant.num_same / variant.num_answers
        if variant.quality is not None:
            y, low, high = variant.quality.mean, variant.quality.low, variant.quality.high
        timed = variant.speeds[0].seconds_per_token
        spans = (1e3 * timed.low, 1e3 * timed.high, low, high)
        points.append(Point(variant.name, 1e3 * timed.median, y, *spans, is_tuned=variant.form != "base"))
    return scatter(points, x_title="milliseconds per output token, one answer at a time", y_title=y_title(bench))


def y_title(bench: Bench) -> str:
    """What goes upwards in the picture."""
    has_quality = any(variant.quality is not None for variant in bench.variants)
    return "key-fact recall" if has_quality else "share of answers that are those of the first variant"


def _view(bench: Bench) -> dict[str, Any]:
    there = [variant for variant in bench.variants if not variant.refused]
    unit, unit_name = unit_of(there)
    return {
        "bench": bench, "there": there, "refused": [v for v in bench.variants if v.refused], "picture": picture(bench),
        "y_title": y_title(bench), "milliseconds": milliseconds, "three": three, "recall": recall, "same": same,
        "unit": unit, "unit_name": unit_name, "large": there[0].speeds[-1].batch_size,
        "memory": {key: title for key, title in MEMORY.items() if any(key in v.memory for v in there)},
        "is_priced": any(s.dollars_per_million_tokens is not None for v in there for s in v.speeds),
    }  # fmt: skip


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_on_hyphens=False)
