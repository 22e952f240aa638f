"""Locks of a folder by flock, told the same everywhere: mine, somebody else's, or a file system that has none."""

import errno
import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

log = logging.getLogger("ray_ft")

NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})
"""What flock says on Lustre without `-o flock`, on NFS without a lock daemon, and on FUSE of object stores."""


def take_lock(file: IO[Any]) -> bool:
    """Lock an open file until it is closed, without waiting; False where another process has it.

    Where the file system has no locks that is said once for each file, and taken for True: what a lock guards against
    is rare, and a run that cannot be started at all is not. Raises OSError for any other failure.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        log.warning("%s: this file system has no locks (%s); see to it that one run at a time uses the folder",
                    file.name, error.strerror)  # fmt: skip
    return True


@contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which is made where there is none; waits for the process that has it, and says so."""
    with path.open("w") as file:
        if not take_lock(file):
            log.info("another process is at work on %s; waiting for it", path.name.strip(".").removesuffix(".lock"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
