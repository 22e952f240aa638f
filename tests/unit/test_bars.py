"""A terminal of 80 columns shows a bar for each task, and lines above them."""

import io
import logging
import re

import pytest
from rich.console import Console

from ray_ft import progress
from ray_ft.cli.bars import AboveBars, Bars
from ray_ft.progress import watched_by

WIDTH = 80
PATH = "outputs/" + "a-long-name/" * 10 + "report.html"
MARKS = re.compile(r"\x1b\[(?:2K|1A)|\r|\n|\x1b\[\?25[lh]|[^\x1b\r\n]+")


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=WIDTH, color_system=None, legacy_windows=False)


def text_of(console: Console) -> list[str]:
    """What is left on the screen: every drawing erases the one before and stands in its place."""
    assert isinstance(console.file, io.StringIO)
    rows, at = [""], 0
    for mark in MARKS.findall(console.file.getvalue()):
        if mark == "\x1b[1A":
            at -= 1
        elif mark == "\x1b[2K":
            rows[at] = ""
        elif mark == "\n":
            at += 1
            rows += [""] * (at == len(rows))
        elif mark[0] not in "\r\x1b":
            rows[at] += mark
    return [row.rstrip() for row in rows if row.strip()]


def test_a_task_is_a_bar_with_count_figures_and_time(console: Console) -> None:
    rest = "validation 2.4000 and whatever else there may be to say"
    with watched_by(Bars(console)), progress.task("train", "steps", 200) as task:
        task.at(50, "loss 2.5000", "1,234 tokens/s", rest)
        task.at(100, "loss 2.2500", "1,234 tokens/s", rest)
    (line,) = text_of(console)
    assert re.fullmatch(r"train +━* +100/200 steps loss 2\.2500, 1,234 tokens/s, .*… +0 s", line)
    assert len(line) <= WIDTH


def test_tasks_one_after_the_other_leave_their_bars(console: Console) -> None:
    with watched_by(Bars(console)):
        for name in ("read", "write"):
            with progress.task(name, "files", 3) as task:
                task.advance(3)
    assert [line.split()[0] for line in text_of(console)] == ["read", "write"]


def test_a_task_that_fails_stays_where_it_was(console: Console) -> None:
    def fail() -> None:
        with progress.task("read", "files", 9) as task:
            task.at(4)
            raise ValueError("on purpose")

    with watched_by(Bars(console)), pytest.raises(ValueError, match="on purpose"):
        fail()
    (line,) = text_of(console)
    assert "4/9 files" in line


def test_a_log_line_stands_above_the_bar_whole_and_as_it_is(console: Console) -> None:
    handler = AboveBars(console)
    with watched_by(Bars(console)), progress.task("read", "files", 9) as task:
        task.at(4)
        handler.emit(logging.LogRecord("ray_ft", logging.WARNING, "", 0, "[red] :smile: see %s", (PATH,), None))
        task.at(9)
    above, bar = text_of(console)
    assert above == f"[red] :smile: see {PATH}"
    assert "9/9 files" in bar


def test_what_a_task_says_is_no_markup(console: Console) -> None:
    with watched_by(Bars(console)), progress.task("[bold]", "files", 9) as task:
        task.at(4, "[/nothing]")
    (line,) = text_of(console)
    assert "[bold]" in line
    assert "[/nothing]" in line
