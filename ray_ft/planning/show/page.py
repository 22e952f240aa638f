"""A plan as one HTML page that needs nothing else: memory by phase, cost against time of all candidates, every reason.

The pictures are SVG written here; colours follow the reader's light or dark setting.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape

from ray_ft.artifacts import Estimate, Plan
from ray_ft.hardware import GIB
from ray_ft.planning.show.table import COMPONENTS, render_choice
from ray_ft.ticks import round_steps

WIDTH, LEFT, RIGHT = 900, 130, 70  # of both pictures, in pixels; left of and right of the plotting area
BAR, GAP = 24, 12
SCATTER_HEIGHT = 380


def render_page(plan: Plan) -> str:
    """The whole page."""
    title, *about = (escape(line.strip()) for line in render_choice(plan).splitlines())
    parts = [
        f"<h1>{title}</h1>",
        f"<pre>{chr(10).join(about)}</pre>",
        "<h2>Memory by phase</h2>",
        f"<p>{_about_memory(plan)}</p>",
        _legend(COMPONENTS),
        _phases(plan),
        f"<h2>{'Memory' if _free_of_charge(plan) else 'Cost'} against time</h2>",
        "<p>Filled: fits. Ring: does not. The large one is chosen. Point at one for its details.</p>",
        _legend(_names(plan), kind="method"),
        _scatter(plan),
        "<h2>All candidates</h2>",
        _table(plan),
        "<h2>Assumptions</h2>",
        "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in plan.notes) + "</ul>",
    ]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title>\n<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _about_memory(plan: Plan) -> str:
    memory = plan.estimate.memory
    where = "worker" if plan.gpu == "cpu" else escape(plan.gpu)
    text = (
        f"The largest phase must fit: {memory.phase}, {memory.total / GIB:.1f} of "
        f"{plan.memory_limit_bytes / GIB:.1f} GiB usable on each {where}."
    )
    if memory.device > memory.total:
        text += f" A GPU with room to spare will show up to {memory.device / GIB:.1f} GiB."
    return text


# --- memory -----------------------------------------------------------------------------------------------------------


def _phases(plan: Plan) -> str:
    """One stacked bar per phase, and a line at what may be used."""
    parts = plan.estimate.memory.parts
    most = max([plan.memory_limit_bytes, *plan.estimate.memory.phases.values()]) / GIB
    ticks = round_steps(most, about=6)
    height = len(parts) * (BAR + GAP) + 40
    scale = (WIDTH - LEFT - RIGHT) / ticks[-1]
    marks = [_axis(ticks, scale, height)]
    for row, (phase, sizes) in enumerate(parts.items()):
        y, x = row * (BAR + GAP) + 8, float(LEFT)
        strong = " class='strong'" if phase == plan.estimate.memory.phase else ""
        marks.append(f"<text x='{LEFT - 8}' y='{y + 17}' text-anchor='end'{strong}>{escape(phase)}</text>")
        for number, name in enumerate(COMPONENTS):
            width = sizes.get(name, 0) / GIB * scale
            if width > 0:
                said = f"{phase}: {name} {sizes[name] / GIB:.2f} GiB"
                marks.append(
                    f"<rect class='c{number}' x='{x:.1f}' y='{y}' width='{width:.1f}' height='{BAR}'>"
                    f"<title>{escape(said)}</title></rect>"
                )
                x += width
        marks.append(f"<text x='{x + 6:.1f}' y='{y + 17}'>{sum(sizes.values()) / GIB:.1f}</text>")
    limit = LEFT + plan.memory_limit_bytes / GIB * scale
    marks.append(f"<line class='limit' x1='{limit:.1f}' x2='{limit:.1f}' y1='0' y2='{height - 32}'/>")
    marks.append(f"<text x='{limit + 4:.1f}' y='12'>usable</text>")
    return _svg(height, marks, "Memory of each phase by component, in GiB")


def _axis(ticks: Sequence[float], scale: float, height: int) -> str:
    marks = []
    for tick in ticks:
        x = LEFT + tick * scale
        marks.append(f"<line class='grid' x1='{x:.1f}' x2='{x:.1f}' y1='0' y2='{height - 32}'/>")
        unit = " GiB" if tick == ticks[-1] else ""
        marks.append(f"<text x='{x:.1f}' y='{height - 12}' text-anchor='middle'>{tick:g}{unit}</text>")
    return "".join(marks)


# --- cost against time ------------------------------------------------------------------------------------------------


def _scatter(plan: Plan) -> str:
    """Hours to the right and USD upwards (GiB where nothing costs), both by powers of ten."""
    rows = [plan.estimate, *plan.rejected]
    names = _names(plan)
    free = _free_of_charge(plan)
    ys = [row.memory.total / GIB if free else row.cost for row in rows]
    across = _Scale([row.hours for row in rows], LEFT, WIDTH - RIGHT)
    up = _Scale(ys, SCATTER_HEIGHT - 48, 12)
    marks = []
    for tick in across.ticks:
        x = across(tick)
        marks.append(f"<line class='grid' x1='{x:.1f}' x2='{x:.1f}' y1='12' y2='{SCATTER_HEIGHT - 48}'/>")
        marks.append(f"<text x='{x:.1f}' y='{SCATTER_HEIGHT - 30}' text-anchor='middle'>{tick:g}</text>")
    for tick in up.ticks:
        y = up(tick)
        marks.append(f"<line class='grid' x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}'/>")
        marks.append(f"<text x='{LEFT - 8}' y='{y + 4:.1f}' text-anchor='end'>{tick:g}</text>")
    middle = (LEFT + WIDTH - RIGHT) // 2
    marks.append(f"<text x='{middle}' y='{SCATTER_HEIGHT - 8}' text-anchor='middle'>hours</text>")
    marks.append(f"<text x='{LEFT - 60}' y='20'>{'GiB' if free else 'USD'}</text>")
    for index, (row, value) in reversed(list(enumerate(zip(rows, ys, strict=True)))):  # the chosen one on top
        kind = f"m{names.index(row.strategy.name)}{'' if row.fits else ' ring'}{' chosen' if index == 0 else ''}"
        said = f"{_name(row)}: {row.hours:.2f} h, {row.cost:.2f} USD, {row.memory.total / GIB:.1f} GiB; "
        said += row.reason or "chosen"
        marks.append(
            f"<circle class='{kind}' cx='{across(row.hours):.1f}' cy='{up(value):.1f}' r='{9 if index == 0 else 6}'>"
            f"<title>{escape(said)}</title></circle>"
        )
    return _svg(SCATTER_HEIGHT, marks, "Cost of every candidate against its time")


class _Scale:
    """Values to pixels by their logarithm, with round ticks; equal values lie in the middle."""

    def __init__(self, values: Iterable[float], first: float, last: float) -> None:
        positive = [value for value in values if value > 0] or [1.0]
        low, high = min(positive) / 1.15, max(positive) * 1.15
        self._low, self._first, self._per = math.log(low), first, (last - first) / (math.log(high) - math.log(low))
        self.ticks = self._round_ticks(low, high)

    def __call__(self, value: float) -> float:
        return self._first + (math.log(max(value, 1e-12)) - self._low) * self._per

    def _round_ticks(self, low: float, high: float) -> list[float]:
        found: list[float] = []
        for factors in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), [x / 10 for x in range(10, 100)]):
            powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            found = [round(f * 10.0**p, 10) for p in powers for f in factors if low <= f * 10.0**p <= high]
            if len(found) >= 4:
                break
        return found[:: max(1, len(found) // 8)]


def _free_of_charge(plan: Plan) -> bool:
    return plan.estimate.cost == 0


# --- parts ------------------------------------------------------------------------------------------------------------


def _table(plan: Plan) -> str:
    head = (
        "strategy",
        "ZeRO",
        "backend",
        "offload",
        "GPUs",
        "batch",
        "checkpointing",
        "GiB",
        "host GiB",
        "hours",
        "USD",
        "result",
    )
    lines = ["<tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>"]
    for index, row in enumerate([plan.estimate, *plan.rejected]):
        cells = (
            row.strategy.name, row.strategy.zero_stage, row.backend, row.strategy.offload,
            f"{row.num_workers} x {row.gpu}", f"{row.micro_batch_size}x{row.gradient_accumulation_steps}",
            "yes" if row.gradient_checkpointing else "no",
            f"{row.memory.total / GIB:.1f}", f"{row.host_memory_bytes / GIB:.1f}", f"{row.hours:,.2f}",
            f"{row.cost:,.2f}", row.reason or "chosen",
        )  # fmt: skip
        kind = " class='strong'" if index == 0 else "" if row.fits else " class='weak'"
        lines.append(f"<tr{kind}>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>")
    return "<div class='wide'><table>" + "\n".join(lines) + "</table></div>"


def _name(row: Estimate) -> str:
    offload = "" if row.strategy.offload == "none" else f", {row.strategy.offload} offloaded"
    by = " by DeepSpeed" if row.backend == "deepspeed" else ""
    return f"{row.strategy.name}, ZeRO-{row.strategy.zero_stage}{by}{offload} on {row.num_workers} x {row.gpu}"


def _names(plan: Plan) -> list[str]:
    return sorted({row.strategy.name for row in (plan.estimate, *plan.rejected)})


def _legend(names: Iterable[str], *, kind: str = "component") -> str:
    first = kind[0]
    items = (f"<span><i class='{first}{number}'></i>{escape(name)}</span>" for number, name in enumerate(names))
    return f"<p class='legend'>{''.join(items)}</p>"


def _svg(height: int, marks: Iterable[str], label: str) -> str:
    inside = "\n".join(marks)
    return f"<svg viewBox='0 0 {WIDTH} {height}' role='img' aria-label='{label}'>\n{inside}\n</svg>"


_COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#999999")
STYLE = (
    ":root{color-scheme:light dark;--text:#1b1f24;--soft:#667;--line:#d8dce2;--back:#fff}"
    "@media(prefers-color-scheme:dark){:root{--text:#e6e8eb;--soft:#9aa3ad;--line:#3a4048;--back:#16191d}}"
    "body{font:15px/1.5 system-ui,sans-serif;color:var(--text);background:var(--back);max-width:1080px;"
    "margin:2rem auto;padding:0 1rem}h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}"
    "pre{white-space:pre-wrap;color:var(--soft)}svg{width:100%;height:auto;font-size:13px}text{fill:var(--text)}"
    ".grid{stroke:var(--line)}.limit{stroke:var(--text);stroke-width:2;stroke-dasharray:5 4}"
    ".strong{font-weight:700}.weak{color:var(--soft)}.ring{fill-opacity:0;stroke-width:2}"
    ".chosen{stroke:var(--text);stroke-width:3}"
    ".legend span{margin-right:1.2rem;white-space:nowrap}.legend i{display:inline-block;width:.8em;height:.8em;"
    "margin-right:.4em;border-radius:2px}.wide{overflow-x:auto}table{border-collapse:collapse;font-size:13px}"
    "th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}"
    "th,td:not(:last-child){white-space:nowrap}td:last-child{min-width:11rem}"
    + "".join(f".c{n},.m{n}{{fill:{c};background:{c}}}.m{n}.ring{{stroke:{c}}}" for n, c in enumerate(_COLOURS))
)
"""Colours are Paul Tol's bright scheme, which people who are colour-blind can tell apart."""
