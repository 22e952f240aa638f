"""What the driver takes of the head's memory for a number of documents, told before anything is read."""

import logging
from pathlib import Path

BYTES_OF_ONE = 300  # keys, sizes and places of a listed item, and what is told of a document while duplicates are found
MANY = 1_000_000  # of which it is told in any case
MEMORY = Path("/proc/meminfo")
LIMIT, USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")

log = logging.getLogger("ray_ft")


def tell_room(number: int) -> None:
    """Say what so many documents take, as a warning where the machine has not got it."""
    needed, free = number * BYTES_OF_ONE, free_memory()
    if free is not None and needed > free:
        log.warning(
            "%s files take about %.1f GiB of this machine's memory, of which %.1f are free; run the driver on a "
            "machine with more, or prepare parts of the sources", f"{number:,}", needed / 2**30, free / 2**30,
        )  # fmt: skip
    elif number >= MANY:
        log.info("%s files take about %.1f GiB of this machine's memory", f"{number:,}", needed / 2**30)


def free_memory() -> int | None:
    """Bytes that this process may still take of the machine or its container; None where the system does not say."""
    found = [free for free in (_of_machine(), _of_container()) if free is not None]
    return min(found, default=None)


def _of_machine() -> int | None:
    try:
        lines = MEMORY.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _of_container() -> int | None:
    try:
        return int(LIMIT.read_text()) - int(USED.read_text())
    except (OSError, ValueError):  # there is none, or it says "max"
        return None
