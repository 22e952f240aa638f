"""An inspection as text for a terminal."""

from collections.abc import Iterator
from textwrap import indent, shorten

from ray_ft.artifacts import Inspection, SourcedExample

SPLITS = ("train", "validation", "test")
WIDTH, MAX_BAR, MAX_TEXT, MAX_LEAKS = 100, 40, 600, 20


def render(about: Inspection, *, of_dropped: bool = False) -> str:
    """Counts by recipe, split and reason, a histogram of lengths, and the drawn examples with their passages.

    `of_dropped` says that examples were drawn from those that were left out, of which there may be none.
    """
    none = ["", "no example was left out"] if of_dropped and not any(about.dropped.values()) else []
    rated = ["", *_quality(about)] if about.quality else []
    return "\n".join(
        [*_counts(about), "", *_histogram(about), *rated, *(line for s in about.samples for line in _sample(s)), *none]
    )


def _counts(about: Inspection) -> Iterator[str]:
    yield "files       " + ", ".join(f"{n:,} {state}" for state, n in about.files.items())
    yield f"{'recipe':<16}" + "".join(f"{split:>12}" for split in SPLITS) + f"{'left out':>12}"
    for recipe in sorted({*about.examples, *about.dropped}):
        counts, reasons = about.examples.get(recipe, {}), about.dropped.get(recipe, {})
        rate = f"  kept {about.kept_rates[recipe]:.1%} of what was generated" if recipe in about.kept_rates else ""
        cells = "".join(f"{counts.get(split, 0):>12,}" for split in SPLITS)
        yield f"{recipe:<16}{cells}{sum(reasons.values()):>12,}{rate}"
        yield from (f"{'':<52}{n:>12,}  {reason}" for reason, n in reasons.items())
    yield "splits      " + (f"{len(about.leaks):,} LEAKS" if about.leaks else "no text of one stands in another")
    yield from (f"  {leak}" for leak in about.leaks[:MAX_LEAKS])


def _histogram(about: Inspection) -> Iterator[str]:
    lows, counts = list(map(int, about.token_histogram)), list(about.token_histogram.values())
    most = max(counts, default=0)
    yield "tokens        examples"
    for low, high, n in zip(lows, [*lows[1:], None], counts, strict=True):
        if n:
            name = f"{low}-{high - 1}" if high else f"{low}+"
            yield f"{name:<12}{n:>10,}  {'#' * max(1, round(MAX_BAR * n / most))}"


def _quality(about: Inspection) -> Iterator[str]:
    """The spread of each rule's count over the documents, and what its paper's threshold would leave out of them."""
    heads = "".join(f"{head:>8}" for head in ("1%", "25%", "50%", "75%", "99%"))
    yield f"{f'quality of {about.num_rated:,} documents':<36}{heads}  would drop"
    for one in about.quality:
        first, _, low, middle, high, _, last = one.quantiles
        spread = "".join(f"{value:>8.3g}" for value in (first, low, middle, high, last))
        dropped = f", {one.num_dropped:,} dropped" if one.num_dropped else ""
        yield f"{one.key:<36}{spread}  {one.usual_share:>6.1%} at {one.usual:g} ({one.paper}){dropped}"


def _sample(sample: SourcedExample) -> Iterator[str]:
    where = f"{sample.path}:{sample.line}" if sample.line else sample.path
    yield ""
    yield f"--- {sample.recipe}, {sample.split or f'left out: {sample.dropped}'} ({sample.origin}) from {where}"
    for name, text in (
        ("prompt", sample.prompt),
        ("completion", sample.completion),
        ("evidence", sample.evidence),
        ("passage", sample.passage if sample.passage != sample.completion else ""),
    ):
        if text:
            yield f"{name}:"
            yield indent(text if len(text) <= MAX_TEXT else shorten(text, MAX_TEXT, placeholder=" ..."), "  ")
