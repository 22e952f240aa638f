"""One run at a time below a URI, where there are no locks: each puts a claim and renews it as long as it lives.

Who finds another's claim after having put its own takes it back: storage lists what was put, so of two at least one
sees the other. A claim that is not renewed is that of a dead run. How old it is the storage's own clock tells; one of a
process of this machine that is gone does not count at all.
"""

import json
import logging
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ray_ft.errors import ConfigError, DataError, StorageError
from ray_ft.storage import Found, MissingObject, Store, shown

log = logging.getLogger("ray_ft")

CLAIMS = "claims"  # below the URI
BEAT_SECONDS, LEASE_SECONDS = 10.0, 45.0
LOOK_SECONDS = 2.0
TRIES = 5  # of runs that begin at the same moment


class Lease:
    """A claim that is held. `check` raises DataError where another run has taken over."""

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name = store, name
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="prepare-claim", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Whether this run may still change what lies there: ask before what cannot be taken back."""
        if not self.store.is_there(self.name):
            raise DataError(
                f"another `ray-ft prepare` has taken over {shown(self.store.uri)} since this one stood still"
            )

    def release(self) -> None:
        """Let others in."""
        self._stopped.set()
        self._thread.join()
        with suppress(StorageError):
            self.store.delete([self.name])

    def _beat(self) -> None:
        while not self._stopped.wait(BEAT_SECONDS):
            try:
                if self.store.is_there(self.name):  # or another run has taken over
                    self.store.write(self.name, _about())
            except StorageError as error:
                log.warning("%s; trying again", error)


@contextmanager
def leased(uri: str) -> Iterator[Lease]:
    """Hold what lies below a URI. Raises ConfigError when another run does, StorageError where nothing can be put."""
    store = Store(uri).below(CLAIMS)
    lease = Lease(store, _claim(store))
    try:
        yield lease
    finally:
        lease.release()


def _claim(store: Store) -> str:
    """Put a claim beside which there is no other that is alive; its name."""
    first = Store(store.uri, key=store.key, attempts=1)  # a bucket that is not there is told at once
    name = uuid.uuid4().hex[:12]
    for attempt in range(TRIES):
        first.write(name, _about())
        others = _others(store, name)
        if not others:
            return name
        if all(_is_dead(store, other, name) for other in others):
            store.delete(other.name for other in others)
            return name
        store.delete([name])
        if attempt + 1 < TRIES:  # others that begin at this moment step back as well
            time.sleep(random.uniform(0, LOOK_SECONDS))
    raise ConfigError(
        f"another `ray-ft prepare` is at work in {shown(store.uri).removesuffix('/' + CLAIMS)}; wait for it, or choose "
        "another run_name"
    )


def _others(store: Store, own: str) -> list[Found]:
    return [found for found in store.list() if found.name != own]


def _is_dead(store: Store, claim: Found, own: str) -> bool:
    """Whether a claim's run is gone: its process is, or the claim is not renewed while we look on."""
    if _process_is_gone(store, claim):
        return True
    log.info("a claim of another prepare lies in %s; waiting whether it is renewed", shown(store.uri))
    for _ in range(int(LEASE_SECONDS / LOOK_SECONDS) + 1):
        store.write(own, _about())  # which is what the storage's clock says now
        found = {one.name: one for one in store.list()}
        if claim.name not in found:
            return True
        if found[claim.name].changed != claim.changed:
            return False
        if own in found and found[own].changed - claim.changed > LEASE_SECONDS:
            return True
        time.sleep(LOOK_SECONDS)
    return True


def _process_is_gone(store: Store, claim: Found) -> bool:
    try:
        told = json.loads(store.read(claim.name))
        machine, process, started = str(told["machine"]), int(told["process"]), str(told["started"])
    except MissingObject:
        return True
    except (ValueError, KeyError, TypeError):
        return False
    return machine == _machine() and _started(process) != started


def _about() -> bytes:
    process = os.getpid()
    about = {"host": socket.gethostname(), "machine": _machine(), "process": process, "started": _started(process)}
    return json.dumps(about).encode()


def _machine() -> str:
    """The running system and its view of processes: where it is the same, a process number means the same process."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    return uuid.uuid4().hex


def _started(process: int) -> str:
    """When a process began; "" where there is none."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    return ""
