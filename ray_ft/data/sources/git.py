"""A git repository at a revision, `git+PATH@REVISION`: blobs from its object store, without checking anything out.

A repository's own configuration can name programs that git starts: promisor remotes, file system monitors, hooks,
filters, pagers. None of it is read. Git works in a folder of ours that has a configuration of ours and leads to the
repository's objects and refs, which are data; without remotes and protocols it fetches nothing that is missing.
"""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from ray_ft.data.sources.base import MAX_MEMBERS, Entry, plain
from ray_ft.errors import ConfigError, DataError

PREFIX = "git+"
LINK, SUBMODULE = "120000", "160000"
SECONDS = 600
DATA = ("refs", "packed-refs", "objects", "reftable", "shallow")  # of a repository; HEAD is of the worktree
EXTENSIONS = {"objectformat": ("sha1", "sha256"), "refstorage": ("files", "reftable")}
"""What of a repository's configuration decides how its data is read, and the values that may stand there."""
NOTHING_RUNS = (
    "-c", "protocol.allow=never", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null",
)  # fmt: skip
ENVIRONMENT = {
    "LC_ALL": "C", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_ATTR_NOSYSTEM": "1", "GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0",
}  # fmt: skip


def is_repository(source: str) -> bool:
    """Whether the source names a revision of a repository."""
    return source.startswith(PREFIX)


def list_revision(source: str) -> Iterator[Entry]:
    """Every file of the revision.

    Raises ConfigError for what is no repository, leads out of itself or has no such revision, DataError for a revision
    of more than a million files, as trees that hold themselves give.
    """
    repository, revision = split(source)
    if shutil.which("git") is None:
        raise ConfigError(f"data.sources: {source!r} needs git, which is not installed here")
    try:
        with tempfile.TemporaryDirectory(prefix="ray_ft-git-") as folder:
            lead_to(Path(repository), Path(folder))
            wanted = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
            commit = _git(folder, *wanted, otherwise=f"no revision {revision!r} in {repository}")
            for number, line in enumerate(_listed(folder, commit.decode().strip())):
                if number >= MAX_MEMBERS:
                    raise DataError(
                        f"data.sources: {source!r} has more than {MAX_MEMBERS:,} files; give what you need of it"
                    )
                about, _, name = line.partition(b"\t")
                mode, _, blob, size = about.decode().split()
                reason = {LINK: "link", SUBMODULE: "submodule"}.get(mode, "")
                path = plain(name.decode("utf-8", "surrogateescape"))
                num_bytes = int(size) if size.isdigit() else 0
                yield Entry(path, f"{repository}::{blob}", num_bytes, reason, content=blob)
    except (ConfigError, DataError):
        raise
    except (ValueError, OSError) as error:
        raise ConfigError(f"data.sources: {source!r}: {error}") from None
    except subprocess.TimeoutExpired:
        raise ConfigError(f"data.sources: {source!r}: git does not answer within {SECONDS} s") from None


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
        self.folder: tempfile.TemporaryDirectory[str] | None = None  # which goes with this object
        self.process: subprocess.Popen[bytes] | None = None

    def read(self, blob: str) -> bytes:
        """The bytes of a blob."""
        with self.lock:
            process = self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            whole = False
            try:
                process.stdin.write(f"{blob}\n".encode())
                process.stdin.flush()
                head = process.stdout.readline().split()
                if len(head) != 3:
                    whole = True
                    raise FileNotFoundError(2, f"no blob {blob[:12]} in {self.repository}")
                content = process.stdout.read(int(head[2]) + 1)
                whole = len(content) == int(head[2]) + 1
            finally:
                if not whole:  # what it says next would be taken for another blob's
                    process.kill()
        if not whole:
            raise OSError(5, f"git ended early in {self.repository}")
        return content[:-1]

    def _started(self) -> "subprocess.Popen[bytes]":
        """The process, which waits for a blob."""
        if self.folder is None:
            self.folder = tempfile.TemporaryDirectory(prefix="ray_ft-git-")
            try:
                lead_to(Path(self.repository), Path(self.folder.name))
            except ValueError as error:
                self.folder = None
                raise OSError(2, str(error)) from None
        if self.process is None or self.process.poll() is not None:
            self.process = _start(self.folder.name, "cat-file", "--batch", stdin=subprocess.PIPE)
        return self.process


@lru_cache(maxsize=8)
def _reader(repository: str) -> Reader:
    return Reader(repository)


def lead_to(repository: Path, folder: Path) -> None:
    """Make a git folder that has the repository's data, and of its configuration how this is to be read.

    Raises ValueError for what is no repository, and for one whose data lies elsewhere: a link in it could show what
    belongs to somebody else.
    """
    own, common = _git_folders(repository)
    links = (
        link for name in ("refs", "reftable", "objects") if (common / name).is_dir() for link in _links(common / name)
    )
    for place in (own / "HEAD", *(common / name for name in DATA), *links, *_alternates(common / "objects", set())):
        _require_inside(place, common)
    extensions = {key: value for key in EXTENSIONS if (value := _extension(common / "config", key, folder))}
    version = 1 if extensions else 0
    lines = ["[core]", f"repositoryformatversion = {version}", "bare = true", "[extensions]"]
    lines += [f"{key} = {value}" for key, value in extensions.items()]
    (folder / "config").write_text("\n".join(lines) + "\n")
    (folder / "HEAD").write_bytes((own / "HEAD").read_bytes()[:4096])
    for name in DATA:
        if (common / name).exists():
            (folder / name).symlink_to((common / name).resolve())


def _git_folders(repository: Path) -> tuple[Path, Path]:
    """The git folder of a repository or worktree, and the one with its refs and objects."""
    if not repository.is_dir():
        raise ValueError(f"{repository} is no folder; give git+PATH@REVISION of a local clone")
    own = repository / ".git"
    if own.is_file():
        linked = (repository / _first_line(own).removeprefix("gitdir:").strip()).resolve()
        back = linked / "gitdir"
        # Git notes in a worktree's folder where the worktree lies; a file that points at anybody's is not enough.
        is_worktree = linked.parent.name == "worktrees" and back.is_file()
        if not (is_worktree and Path(_first_line(back)).resolve() == own.resolve()):
            raise ValueError(
                f"its .git leads to {linked}, which is no worktree of it; give git+ that repository itself"
            )
        return linked, linked.parent.parent
    own = own if own.is_dir() else repository
    if not all((own / name).exists() for name in ("HEAD", "objects", "refs")):
        raise ValueError(f"{repository} is not a git repository; give git+PATH@REVISION of a clone's top folder")
    _require_inside(own, repository)
    return own, own


def _first_line(file: Path) -> str:
    return file.read_text(errors="replace").partition("\n")[0].strip()


def _links(folder: str | Path) -> Iterator[Path]:
    """Everything below a folder that is a link."""
    for entry in os.scandir(folder):
        if entry.is_symlink():
            yield Path(entry.path)
        elif entry.is_dir(follow_symlinks=False):
            yield from _links(entry.path)


def _alternates(objects: Path, seen: set[Path]) -> Iterator[Path]:
    """Where git is told to look for objects besides, and where it is told so there."""
    told = objects / "info" / "alternates"
    for line in told.read_text(errors="replace").splitlines() if told.is_file() else ():
        place = (objects / line.strip('"')).resolve()
        if line and not line.startswith("#") and place not in seen:
            seen.add(place)
            yield place
            yield from _alternates(place, seen)


def _require_inside(place: Path, folder: Path) -> None:
    if not place.resolve().is_relative_to(folder.resolve()):
        raise ValueError(
            f"{place} leads to {place.resolve()}, out of the repository; give git+ that repository itself, "
            "or let `git repack -a -d` bring the objects in"
        )


def _extension(config: Path, key: str, folder: Path) -> str:
    """One extension of a repository's format, as its configuration file names it; what that includes is not read."""
    if not config.is_file():
        return ""
    asked = ("config", "--file", str(config.resolve()), "--no-includes", "--get", f"extensions.{key}")
    done = subprocess.run(
        [*_command(), *asked],
        cwd=folder,
        env=_environment(str(folder)),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    value = done.stdout.decode("utf-8", "replace").strip().lower()
    return value if value in EXTENSIONS[key] else ""


def _command() -> list[str]:
    return ["git", *NOTHING_RUNS]


def _environment(folder: str) -> dict[str, str]:
    """Nothing of the user's own, which may name programs too."""
    return {"PATH": os.environ.get("PATH", os.defpath), **ENVIRONMENT, "GIT_DIR": folder}


def _start(folder: str, *arguments: str, stdin: int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*_command(), *arguments],
        cwd=folder,
        env=_environment(folder),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _git(folder: str, *arguments: str, otherwise: str) -> bytes:
    """What git answers; ValueError with its words when it refuses."""
    done = subprocess.run(
        [*_command(), *arguments],
        cwd=folder,
        env=_environment(folder),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        raise ValueError(done.stderr.decode("utf-8", "replace").strip().split("\n")[-1] or otherwise)
    return done.stdout


def _listed(folder: str, commit: str) -> Iterator[bytes]:
    """Lines of `ls-tree`, as they come. Raises ValueError when git ends early."""
    with _start(folder, "ls-tree", "-r", "-l", "-z", "--full-tree", commit) as process:
        assert process.stdout is not None
        rest = b""
        try:
            while chunk := process.stdout.read(1 << 16):
                *lines, rest = (rest + chunk).split(b"\0")
                yield from lines
        except GeneratorExit:
            process.kill()
            raise
    if process.returncode or rest:
        raise ValueError(f"git cannot list {commit[:12]}: a damaged repository")
