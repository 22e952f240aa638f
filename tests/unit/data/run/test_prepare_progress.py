"""Live progress says how far, how fast, what was kept, and when it ends."""

from ray_ft.data.run.progress import Counts
from ray_ft.progress import Task


def test_counts_tell_rate_reasons_and_time_left() -> None:
    now = 0.0
    task = Task("read", "files", 1000, clock=lambda: now)
    counts = Counts(task, num_bytes=100_000_000)
    now = 4.0
    counts.add(100, 4_000_000, {"ok": 90, "skipped: empty": 6, "skipped: binary": 4})
    now = 10.0
    counts.add(100, 6_000_000, {"ok": 98, "skipped: empty": 1, "quarantined: timeout": 1})
    # 10 MB in 10 s are 1 MB/s; the other 90 MB take 90 s.
    assert task.line() == (
        "read 200 of 1,000 files, 1.00 MB/s, kept 188, 11 skipped (7 empty, 4 binary), 1 quarantined (1 timeout), "
        "about 1 min 30 s left"
    )


def test_before_anything_is_done_no_time_is_promised() -> None:
    task = Task("write", "files", 2)
    Counts(task, num_bytes=10).add(0, 0, {})
    assert task.line() == "write 0 of 2 files, 0.0 kB/s, kept 0"
