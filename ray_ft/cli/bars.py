"""A terminal's view of a run: a bar for each task, with what is logged above it."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from ray_ft.progress import Task, duration, of_total, watched_by

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


class Bars:
    """Shows tasks by rich, from the first one's beginning until none is left; bars of what is over stay as they were.

    The bar of a task that fails stays where it was.
    """

    def __init__(self, console: "Console") -> None:
        self._console = console
        self._progress: Progress | None = None
        self._bars: dict[Task, Any] = {}

    def show(self, task: Task) -> None:
        """As the interface says."""
        if self._progress is None:
            self._progress = _progress(self._console)
            self._progress.start()
        if task not in self._bars:
            self._bars[task] = self._progress.add_task(task.title, total=task.total, told=task)
        self._progress.update(self._bars[task], completed=task.done, total=task.total)
        if task.is_over:
            self._progress.stop_task(self._bars.pop(task))
            if not self._bars:
                self._progress.stop()
                self._progress = None


class AboveBars(logging.Handler):
    """Log lines through the console, which writes them above what it draws."""

    def __init__(self, console: "Console") -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """One line, as long as it is: a path that is broken cannot be copied."""
        self._console.print(self.format(record), markup=False, highlight=False, emoji=False, soft_wrap=True)


@contextmanager
def shown_on_stderr(*, lines_alone: bool) -> Iterator[None]:
    """While this lasts, tasks are bars where standard error is a terminal, and what is logged is lines on it."""
    console = None if lines_alone else _terminal()
    handler = logging.StreamHandler(sys.stderr) if console is None else AboveBars(console)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, handlers=[handler])
    with nullcontext() if console is None else watched_by(Bars(console)):
        yield


def _terminal() -> "Console | None":
    """The console on standard error, where it is a terminal that can redraw lines."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console

    console = Console(stderr=True)
    return None if console.is_dumb_terminal else console


def _progress(console: "Console") -> "Progress":
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
    from rich.table import Column
    from rich.text import Text

    class Told(ProgressColumn):
        """What a function says of a task, asked again whenever the bars are drawn."""

        def __init__(self, tell: Callable[[Task], str], *, style: str = "", **column: Any) -> None:
            super().__init__(table_column=Column(no_wrap=True, **column))
            self._tell, self._style = tell, style

        def render(self, task: Any) -> Text:
            return Text(self._tell(task.fields["told"]), style=self._style)

    return Progress(
        TextColumn("{task.description:<9}", markup=False),
        BarColumn(bar_width=16),
        Told(_count),
        Told(lambda task: ", ".join(task.figures), style="dim", overflow="ellipsis", ratio=1),
        Told(_time, justify="right"),
        console=console,
        expand=True,
        refresh_per_second=4,
    )


def _count(task: Task) -> str:
    return f"{of_total(task.done, task.total, '/')} {task.unit}" if task.unit else ""


def _time(task: Task) -> str:
    if not task.is_over and task.seconds_left is not None:
        return f"{duration(task.seconds_left)} left"
    return duration(task.seconds)
