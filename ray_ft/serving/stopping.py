"""The end of an endpoint: it waits for a signal, lets open answers end, and leaves other endpoints alone."""

import contextlib
import io
import logging
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from ray_ft.config import ServingConfig
from ray_ft.errors import first_line
from ray_ft.serving.operation.drain import GRACE_SECONDS

logger = logging.getLogger(__name__)

GATEWAY = "gateway"
"""The deployment that speaks HTTP."""
POLL_SECONDS = 0.25


def drain(serving: ServingConfig) -> None:
    """Let open answers end within `serving.drain_seconds`, and turn new requests away; a signal cuts it short."""
    from ray import serve

    stop = threading.Event()
    try:
        gateway: Any = serve.get_deployment_handle(GATEWAY, serving.name)
        with _on_signals(stop.set):
            ended = gateway.drain.remote(serving.drain_seconds)
            if not _waited(ended, serving.drain_seconds + 2 * GRACE_SECONDS, stop):
                ended = gateway.drain.remote(0.0)  # streams still end in an error event
            cut = ended.result(timeout_s=2 * GRACE_SECONDS)
    except Exception as error:  # what cannot be drained is stopped all the same
        logger.warning("the endpoint stops without waiting for open answers: %s", first_line(error))
        return
    if cut:
        logger.warning("%d open requests were cut off", cut)


def _waited(ended: Any, seconds: float, stop: threading.Event) -> bool:
    """Whether the drain has ended before another signal came."""
    for _ in range(int(seconds / POLL_SECONDS) + 1):
        with contextlib.suppress(TimeoutError):
            ended.result(timeout_s=POLL_SECONDS)
            return True
        if stop.is_set():
            return False
    return False


def shutdown(name: str = "ray_ft") -> None:
    """Stop an endpoint, and Ray Serve with it unless other endpoints are on it."""
    from ray import serve

    if set(serve.status().applications) - {name}:
        serve.delete(name)
        return
    # Serve's controller ends while it is being asked to, which Ray reports as a failed task.
    with contextlib.redirect_stdout(_WithoutLines(sys.stdout, "ServeController.graceful_shutdown failed")):
        serve.shutdown()


def wait_for_interrupt() -> None:
    """Sleep until Ctrl-C or SIGTERM."""
    stop = threading.Event()
    with _on_signals(stop.set):
        stop.wait()


@contextlib.contextmanager
def _on_signals(stop: Any) -> Iterator[None]:
    signals: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, lambda *_: stop()) for number in signals}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _WithoutLines(io.TextIOBase):
    """A text stream that passes on whole lines, except those with a marker."""

    def __init__(self, sink: TextIO, marker: str) -> None:
        self._sink = sink
        self._marker = marker
        self._line = ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            if self._marker not in line:
                self._sink.write(line + "\n")
        return len(text)

    def flush(self) -> None:
        self._sink.flush()
