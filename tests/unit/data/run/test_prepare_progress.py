"""Live progress says how far, how fast, what was kept, and when it ends."""

import logging

import pytest

from ray_ft.data.run.progress import Progress


def test_a_line_every_ten_seconds_with_rate_reasons_and_time_left(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    progress = Progress("read", num_files=1000, num_bytes=100_000_000, clock=lambda: now)
    with caplog.at_level(logging.INFO, "ray_ft"):
        now = 4.0
        progress.add(100, 4_000_000, {"ok": 90, "skipped: empty": 6, "skipped: binary": 4})
        assert not caplog.messages
        now = 10.0
        progress.add(100, 6_000_000, {"ok": 98, "skipped: empty": 1, "quarantined: timeout": 1})
    # 10 MB in 10 s are 1 MB/s; the other 90 MB take 90 s.
    assert caplog.messages == [
        "read 200 of 1,000 files, 10.0 of 100.0 MB at 1.00 MB/s, kept 188, 11 skipped (7 empty, 4 binary), "
        "1 quarantined (1 timeout), about 2 min left"
    ]


def test_before_anything_is_done_no_time_is_promised() -> None:
    assert Progress("wrote", num_files=2, num_bytes=10).line(1.0) == (
        "wrote 0 of 2 files, 0.0 of 0.0 MB at 0.00 MB/s, kept 0"
    )
