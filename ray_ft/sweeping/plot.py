"""One PNG of a sweep: a panel per parameter, every setting a point with its error bar, lines along the parameter."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray_ft.artifacts import Standing

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's, told apart by everyone."""
MAX_PANELS = 4
MAX_LINES = len(COLORS)


def draw(standings: Sequence[Standing], *, metric: str, error_bars: str, title: str, path: Path) -> None:
    """Write the figure. Raises ImportError where matplotlib is not installed."""
    from matplotlib.figure import Figure  # without pyplot: no display and no global state

    shown = [s for s in standings if s.value is not None and s.verdict != "not finished"]
    varied = [key for key in _keys(shown) if len({_text(s.parameters[key]) for s in shown}) > 1][:MAX_PANELS]
    keys = varied or _keys(shown)[:1]
    figure = Figure(figsize=(1.2 + 5 * max(1, len(keys)), 4.8), dpi=120, layout="constrained")
    figure.suptitle(title, fontsize=11)
    first = None
    for i, key in enumerate(keys):
        axes = figure.add_subplot(1, len(keys), i + 1, sharey=first)
        first = first or axes
        _panel(axes, shown, key, others=[other for other in keys if other != key])
        axes.set_xlabel(key)
        if i == 0:
            axes.set_ylabel(f"{metric.replace('_', ' ')} ({error_bars})" if error_bars else metric.replace("_", " "))
    figure.savefig(path)


def _panel(axes: Any, standings: Sequence[Standing], key: str, *, others: Sequence[str]) -> None:
    """Settings that are equal but for `key` are joined; the winner has a ring."""
    values = sorted({_text(s.parameters[key]): s.parameters[key] for s in standings}.values(), key=_order)
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    places = {_text(v): float(v) if numeric else float(i) for i, v in enumerate(values)}
    lines: dict[tuple[str, ...], list[Standing]] = {}
    for s in standings:
        lines.setdefault(tuple(_text(s.parameters[other]) for other in others), []).append(s)
    joined = len(lines) <= MAX_LINES
    for i, (fixed, found) in enumerate(
        sorted(lines.items(), key=lambda item: [_order(json.loads(t)) for t in item[0]])
    ):
        found.sort(key=lambda s: places[_text(s.parameters[key])])
        x = [places[_text(s.parameters[key])] for s in found]
        label = ", ".join(f"{other.split('.')[-1]}={_plain(text)}" for other, text in zip(others, fixed, strict=True))
        axes.errorbar(
            x, [s.value for s in found], yerr=_bars(found), marker="o", markersize=5, capsize=3, linewidth=1.2,
            linestyle="-" if joined else "none", color=COLORS[i % len(COLORS)] if joined else COLORS[0],
            label=label if joined and label else None,
        )  # fmt: skip
    winner = standings[0]
    place = places[_text(winner.parameters[key])]
    axes.plot(place, winner.value, "o", markersize=13, fillstyle="none", color="black", label="winner")
    _ticks(axes, places, numeric=numeric)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, markerscale=0.7)


def _bars(found: Sequence[Standing]) -> Any:
    """[2, settings] lengths below and above; None where nothing is known about the noise."""
    if all(s.low is not None for s in found):
        return [[(s.value or 0) - (s.low or 0) for s in found], [(s.high or 0) - (s.value or 0) for s in found]]
    if any(s.spread is not None for s in found):
        return [[s.spread or 0 for s in found]] * 2
    return None


def _ticks(axes: Any, places: dict[str, float], *, numeric: bool) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator

    positions = list(places.values())
    if numeric and min(positions) > 0 and max(positions) >= 8 * min(positions):
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
    if not numeric or len(positions) <= 10:
        axes.set_xticks(positions, [_plain(text) for text in places])


def _keys(standings: Sequence[Standing]) -> list[str]:
    return list(dict.fromkeys(key for s in standings for key in s.parameters))


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _plain(text: str) -> str:
    value = json.loads(text)
    return f"{value:g}" if isinstance(value, float) else text.strip('"')


def _order(value: Any) -> tuple[bool, float, str]:
    """Numbers by size, then everything else by its text."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return not number, float(value) if number else 0.0, _text(value)
