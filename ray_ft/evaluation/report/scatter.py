"""Quality against cost: points with intervals, to the right what is slower, upwards what is better."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ray_ft.ticks import round_steps

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 150, 12, 44  # of the plotting area; names stand in what is free on the right
LINE = 15
"""Pixels between two names that stand below each other."""


@dataclass(frozen=True)
class Point:
    """One system: seconds or milliseconds, and a share from 0 to 1, each with its interval."""

    name: str
    x: float
    y: float
    low_x: float
    high_x: float
    low_y: float
    high_y: float
    is_tuned: bool


@dataclass(frozen=True)
class Mark:
    """A point, the same in pixels, and where its name stands."""

    point: Point
    at: Point
    name_x: float
    name_y: float


@dataclass(frozen=True)
class Scatter:
    """All of one picture; ticks are texts and places."""

    marks: tuple[Mark, ...]
    across: tuple[tuple[str, float], ...]
    up: tuple[tuple[str, float], ...]
    x_title: str
    y_title: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM


def scatter(points: Sequence[Point], *, x_title: str, y_title: str) -> Scatter | None:
    """Both axes begin at 0; None for no points."""
    if not points:
        return None
    ticks = round_steps(max(max(p.high_x, p.x) for p in points) or 1.0, about=5)
    across = (WIDTH - LEFT - RIGHT) / ticks[-1]
    up = HEIGHT - TOP - BOTTOM

    def x(value: float) -> float:
        return round(LEFT + value * across, 1)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - value * up, 1)

    marks: list[Mark] = []
    for p in sorted(points, key=lambda p: (-p.y, p.x)):
        at = replace(
            p, x=x(p.x), y=y(p.y), low_x=x(p.low_x), high_x=x(p.high_x), low_y=y(p.low_y), high_y=y(p.high_y)
        )  # fmt: skip
        name_x, name_y = at.x + 9, at.y + 4
        near = [m for m in marks if abs(m.name_x - name_x) < RIGHT - 20]
        while any(abs(m.name_y - name_y) < LINE for m in near):
            name_y += 1 if p.y >= 0.5 else -1  # away from the nearer edge
        marks.append(Mark(p, at, name_x, name_y))
    return Scatter(
        marks=tuple(marks),
        across=tuple((f"{tick:g}", x(tick)) for tick in ticks),
        up=tuple((f"{100 * share:.0f}%", y(share)) for share in (0, 0.25, 0.5, 0.75, 1)),
        x_title=x_title,
        y_title=y_title,
    )
