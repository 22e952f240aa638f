"""Tables as CSV: those of measurements are no text."""

import csv
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from ray_ft.data.formats.base import Unreadable
from ray_ft.data.formats.delimited import parse_csv

MEASURED = "benchmark,name,seconds\n" + "".join(f"linux_literal_{i // 9},rg (ignore),0.{i}71\n" for i in range(90))
LOG = "time,sensor,state,value\n" + "".join(f"2024-01-01T00:{i}:00,pump {i % 3},running,{i}.5\n" for i in range(90))
PRICES = "name,price\n" + "".join(f"Pump {chr(97 + i % 26) * 4}{i},{i}\n" for i in range(90))
TIMES = "line,from,to,time\n" + "".join(f"{i % 4},Bergen,Oslo,{i // 4:02d}:{i % 4}5\n" for i in range(90))


@pytest.mark.parametrize("text", [MEASURED, LOG])
def test_long_tables_that_only_change_their_numbers_are_no_text(text: str) -> None:
    with pytest.raises(Unreadable, match="data, not text"):
        parse_csv(text)


@pytest.mark.parametrize("text", [PRICES, TIMES, "\n".join(MEASURED.split("\n")[:40]), "a\n", ""])
def test_other_tables_are_read(text: str) -> None:
    assert parse_csv(text).text == text


def test_every_line_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    num_read, reader = 0, csv.reader

    def counted(lines: Iterable[str], dialect: type[csv.Dialect], **settings: bool) -> Any:
        def count() -> Iterator[str]:
            nonlocal num_read
            for line in lines:
                num_read += 1
                yield line

        return reader(count(), dialect, **settings)

    text = TIMES * 10  # 910 lines and the end of the last one
    before = parse_csv(text)
    monkeypatch.setattr(csv, "reader", counted)
    monkeypatch.setattr(csv.Sniffer, "sniff", lambda *_, **__: csv.excel)  # it has a reader of its own
    assert parse_csv(text) == before
    assert num_read == 911
