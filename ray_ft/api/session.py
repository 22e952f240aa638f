"""The Ray cluster that a verb works on: connected to or started when it is first needed, and stopped again."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ray_ft.config import Config
from ray_ft.errors import JobError, first_line
from ray_ft.quiet import quiet_libraries

log = logging.getLogger("ray_ft")

_session_is_shared: ContextVar[bool] = ContextVar("session_is_shared", default=False)


@contextmanager
def ray_session(config: Config, *, keep: bool = False) -> Iterator[None]:
    """Connect to the cluster of RAY_ADDRESS, or start a local one and stop it again unless `keep`.

    A session that is already open (a notebook's, a test's) is used and left open.
    """
    quiet_libraries()
    import ray

    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    verbose = log.isEnabledFor(logging.DEBUG)
    options = {"log_to_driver": verbose, "logging_level": logging.ERROR}
    if address is None:
        ray.init(address="local", include_dashboard=False, **options)
    else:
        try:
            ray.init(address=address, **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise JobError(f"cannot connect to the Ray cluster at {address}: {first_line(error)}") from None
    if threading.current_thread() is threading.main_thread():
        # Ray's handler prints a C++ stack. What a scheduler sends before it kills is an interruption like Ctrl-C.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        if not keep and not _session_is_shared.get():
            ray.shutdown()


@contextmanager
def one_ray_session() -> Iterator[None]:
    """Let the stages inside share one cluster: the first that needs it starts it, and it stops at the end."""
    was_connected = is_connected()
    token = _session_is_shared.set(True)
    try:
        yield
    finally:
        _session_is_shared.reset(token)
        if is_connected() and not was_connected:
            sys.modules["ray"].shutdown()


def is_connected() -> bool:
    """Whether this process has a cluster; asking imports nothing."""
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())
