"""Places in the cache, and who begins next."""

import random
from types import SimpleNamespace
from typing import Any

from ray_ft.engines import GenerateRequest
from ray_ft.engines.transformers.key_values.cache import Ranges
from ray_ft.engines.transformers.lines import WaitingLines


def test_ranges_never_overlap_and_all_come_back() -> None:
    draw, ranges, held = random.Random(0), Ranges(1000), dict[int, int]()
    taken: set[int] = set()
    for _ in range(3000):
        if held and draw.random() < 0.5:
            start = draw.choice(sorted(held))
            taken -= set(range(start, start + held[start]))
            ranges.give_back(start, held.pop(start))
        else:
            length = draw.randrange(1, 120)
            start_or_none = ranges.take(length)
            if start_or_none is not None:
                places = set(range(start_or_none, start_or_none + length))
                assert not places & taken
                assert max(places) < 1000
                taken |= places
                held[start_or_none] = length
        assert ranges.num_free == 1000 - len(taken)
    for start, length in held.items():
        ranges.give_back(start, length)
    assert ranges.take(1000) == 0


def test_ranges_grow_at_the_end() -> None:
    ranges = Ranges(10)
    assert ranges.take(8) == 0
    ranges.grow(20)
    assert ranges.take(12) == 8


def row(name: str, *, tenant: str = "", adapter: str | None = None, cost: int = 10, background: bool = False) -> Any:
    request = GenerateRequest("p", tenant=tenant, adapter=adapter, is_background=background)
    return SimpleNamespace(name=name, request=request, num_places=cost)


def begun(lines: WaitingLines) -> list[str]:
    names = []
    while (picked := lines.pick(lambda row: True)) is not None:
        names.append(picked.name)  # type: ignore[attr-defined]
    return names


def test_a_line_that_asks_for_much_waits_behind_one_that_asks_for_little() -> None:
    lines = WaitingLines()
    for i in range(4):
        lines.add(row(f"many{i}", tenant="many"))
    lines.add(row("few", tenant="few"))
    assert begun(lines)[:2] == ["many0", "few"]


def test_costs_count_and_not_numbers() -> None:
    lines = WaitingLines()
    for i in range(3):
        lines.add(row(f"long{i}", tenant="long", cost=100))
        lines.add(row(f"short{i}", tenant="short", cost=10))
    assert begun(lines) == ["long0", "short0", "short1", "short2", "long1", "long2"]


def test_a_line_that_was_silent_does_not_catch_up() -> None:
    lines = WaitingLines()
    for i in range(6):
        lines.add(row(f"a{i}", tenant="a"))
    for _ in range(3):
        lines.pick(lambda row: True)
    for i in range(3):
        lines.add(row(f"b{i}", tenant="b"))
    assert begun(lines) == ["b0", "a3", "b1", "a4", "b2", "a5"]


def test_the_background_waits_for_all_others() -> None:
    lines = WaitingLines()
    lines.add(row("shadow", background=True))
    lines.add(row("asked"))
    assert begun(lines) == ["asked", "shadow"]


def test_a_line_that_cannot_begin_is_passed_over() -> None:
    lines = WaitingLines()
    lines.add(row("blocked", adapter="busy"))
    lines.add(row("free"))
    picked = lines.pick(lambda row: row.request.adapter is None)
    assert picked is not None
    assert picked.name == "free"  # type: ignore[attr-defined]
    assert len(lines) == 1
