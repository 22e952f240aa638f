"""What one file may take of the process that reads it or cuts it into examples: wall-clock time and memory.

An alarm ends Python code and regular expressions where they are. Native code that does not come back to Python is ended
together with its process, by a thread that needs nothing of Python: the task that is run again counts that as a strike.
"""

import faulthandler
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

AGAIN_SECONDS = 1.0  # until the next alarm, where the first was swallowed
STUCK = 2.0  # times the seconds, after which the process ends


class OutOfTime(BaseException):
    """The time is over. No `except Exception` of somebody's parser takes it for an error of its own."""


class _Alarm:
    """The alarm of this process, and since when it runs."""

    seconds = 0.0  # 0 while it is off
    since = 0.0
    ends_process = 0.0  # when the thread does; 0 while there is none
    in_turn = False


@contextmanager
def budget(seconds: float, memory_bytes: int) -> Iterator[None]:
    """Let the block take so much; `renew` begins the time anew.

    Raises OutOfTime in a main thread, MemoryError where the system limits address space. Blocks do not nest.
    """
    try:
        with _limited_memory(memory_bytes), _alarm(seconds):
            yield
    except OutOfTime:
        if _Alarm.seconds:  # it came while the alarm was turned off
            _disarm()
        raise


@contextmanager
def budgets_in_turn() -> Iterator[None]:
    """Let the blocks within share the thread: to start one takes longer than many a file."""
    _Alarm.in_turn = True
    try:
        yield
    finally:
        _Alarm.in_turn = False
        _end_thread()


def renew(*, at_once: bool = False) -> None:
    """A sign of life: what has to be done takes long, and goes on."""
    elapsed = time.monotonic() - _Alarm.since
    if _Alarm.seconds and (at_once or elapsed > _Alarm.seconds / 8):  # not for each line of a dataset
        _arm(_Alarm.seconds)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    is_main = threading.current_thread() is threading.main_thread()
    before: Any = signal.signal(signal.SIGALRM, _ring) if is_main else None
    left, started = (signal.getitimer(signal.ITIMER_REAL)[0] if is_main else 0.0), time.monotonic()
    _arm(seconds)
    try:
        yield
    finally:
        _disarm()
        if is_main:
            signal.signal(signal.SIGALRM, before if before is not None else signal.SIG_DFL)
            if left:  # somebody else's alarm, such as a test's
                signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - started), 0.001))


def _arm(seconds: float) -> None:
    _Alarm.seconds, _Alarm.since = seconds, time.monotonic()
    if _Alarm.ends_process < _Alarm.since + STUCK * seconds:
        later = 2 * STUCK * seconds + AGAIN_SECONDS
        faulthandler.dump_traceback_later(later, exit=True, file=_nowhere())
        _Alarm.ends_process = _Alarm.since + later
    if threading.current_thread() is threading.main_thread():
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _disarm() -> None:
    if threading.current_thread() is threading.main_thread():
        signal.setitimer(signal.ITIMER_REAL, 0)
    _Alarm.seconds = 0.0
    if not _Alarm.in_turn:
        _end_thread()


def _end_thread() -> None:
    faulthandler.cancel_dump_traceback_later()
    _Alarm.ends_process = 0.0


def _ring(number: int, frame: Any) -> None:
    if _Alarm.seconds:
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
        raise OutOfTime


@contextmanager
def _limited_memory(num_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if in_use := address_space():
        limit_memory(in_use + num_bytes)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def address_space() -> int:
    """Bytes of address space in use, 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def limit_memory(num_bytes: int) -> None:
    """Let this process have so much address space, or what it may have anyway where that is less."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (num_bytes if hard < 0 else min(num_bytes, hard), hard))


@cache
def _nowhere() -> int:
    return os.open(os.devnull, os.O_WRONLY)
