"""A driver that will not have the memory says so before it begins."""

import logging
from pathlib import Path

import pytest

from ray_ft.data.run import room


@pytest.fixture
def free_4_gib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable: 4194304 kB\n")
    for name, file in (("MEMORY", "meminfo"), ("LIMIT", "max"), ("USED", "current")):
        monkeypatch.setattr(room, name, tmp_path / file)
    return tmp_path


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (1000, []),
        # 300 bytes of ten million are 2.8 GiB, of a hundred million 27.9.
        (10_000_000, [("INFO", "10,000,000 files take about 2.8 GiB of this machine's memory")]),
        (
            100_000_000,
            [
                (
                    "WARNING",
                    "100,000,000 files take about 27.9 GiB of this machine's memory, of which 4.0 are free; run the "
                    "driver on a machine with more, or prepare parts of the sources",
                )
            ],
        ),
    ],
)
def test_what_many_files_take_is_told(
    free_4_gib: Path, caplog: pytest.LogCaptureFixture, number: int, told: list[tuple[str, str]]
) -> None:
    with caplog.at_level(logging.INFO, "ray_ft"):
        room.tell_room(number)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == told


def test_a_container_may_have_less_than_its_machine(free_4_gib: Path) -> None:
    (free_4_gib / "current").write_text(f"{2**30}\n")
    (free_4_gib / "max").write_text("max\n")
    assert room.free_memory() == 4 * 2**30
    (free_4_gib / "max").write_text(f"{3 * 2**30}\n")
    assert room.free_memory() == 2 * 2**30
