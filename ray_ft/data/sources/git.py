"""A git repository at a revision, `git+PATH@REVISION`: blobs from its object store, without checking anything out."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from ray_ft.data.sources.base import Entry, plain
from ray_ft.errors import ConfigError

PREFIX = "git+"
LINK, SUBMODULE = "120000", "160000"
TRUST = ("-c", "safe.directory=*")  # a shared repository may belong to someone else; nothing of it is run
SECONDS = 600


def is_repository(source: str) -> bool:
    """Whether the source names a revision of a repository."""
    return source.startswith(PREFIX)


def list_revision(source: str) -> Iterator[Entry]:
    """Every file of the revision. Raises ConfigError for what is no repository or has no such revision."""
    repository, revision = split(source)
    commit = _git(source, repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    listed = _git(source, repository, "ls-tree", "-r", "-l", "-z", "--full-tree", commit.decode().strip())
    for line in listed.split(b"\0"):
        if not line:
            continue
        about, _, name = line.partition(b"\t")
        mode, _, blob, size = about.decode().split()
        reason = {LINK: "link", SUBMODULE: "submodule"}.get(mode, "")
        path = plain(name.decode("utf-8", "surrogateescape"))
        num_bytes = int(size) if size.isdigit() else 0
        yield Entry(path, f"{repository}::{blob}", num_bytes, reason, content=blob)


def split(source: str) -> tuple[str, str]:
    """The repository's absolute path and the revision, HEAD where none is given."""
    path, _, revision = source.removeprefix(PREFIX).removeprefix("file://").partition("@")
    return str(Path(path).expanduser().absolute()), revision or "HEAD"


def read_blob(location: str) -> bytes:
    """The bytes of a blob. Raises OSError when the repository has lost it."""
    repository, blob = location.rsplit("::", 1)
    return _reader(repository).read(blob)


class Reader:
    """One `git cat-file` process that answers for blob after blob."""

    def __init__(self, repository: str) -> None:
        self.repository = repository
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None

    def read(self, blob: str) -> bytes:
        """The bytes of a blob."""
        with self.lock:
            if self.process is None or self.process.poll() is not None:
                command = [*_command(self.repository), "cat-file", "--batch"]
                self.process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            self.process.stdin.write(f"{blob}\n".encode())
            self.process.stdin.flush()
            head = self.process.stdout.readline().split()
            if len(head) != 3:
                raise FileNotFoundError(2, f"no blob {blob[:12]} in {self.repository}")
            content = self.process.stdout.read(int(head[2]) + 1)
        if len(content) != int(head[2]) + 1:
            raise OSError(5, f"git ended early in {self.repository}")
        return content[:-1]


@lru_cache(maxsize=8)
def _reader(repository: str) -> Reader:
    return Reader(repository)


def _command(repository: str) -> list[str]:
    return ["git", *TRUST, "-C", repository]


def _git(source: str, repository: str, *arguments: str) -> bytes:
    """What git answers; ConfigError that names the source when it refuses."""
    if shutil.which("git") is None:
        raise ConfigError(f"data.sources: {source!r} needs git, which is not installed here")
    if not Path(repository).is_dir():
        raise ConfigError(
            f"data.sources: {source!r}: {repository} is no folder; give git+PATH@REVISION of a local clone"
        )
    done = subprocess.run([*_command(repository), *arguments], capture_output=True, timeout=SECONDS, check=False)
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
        what = words or f"no revision {split(source)[1]!r} in {repository}"
        raise ConfigError(f"data.sources: {source!r}: {what}")
    return done.stdout
