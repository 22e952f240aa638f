"""Versions of adapters: immutable, named by the hash of their content, each with a copy of its files of our own.

What is served is read from the copy alone, so a folder that is overwritten or deleted meanwhile harms nobody.
"""

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from ray_ft.engines.probe import PROBE_FILE
from ray_ft.engines.transformers.adapters import BASE_FILE, WEIGHTS_FILE
from ray_ft.errors import ModelError
from ray_ft.models.tokenizer import TEMPLATE_FILE

CONFIG_FILE = "adapter_config.json"
TOKENIZER_FILE = "tokenizer_config.json"
ID_DIGITS = 12
VERSIONS = "versions"
"""Folder of the copies, one for each version, below the endpoint's own."""
MAX_CONFIG_BYTES = 2**20
MAX_TOKENIZER_BYTES = 2**24
_BLOCK = 2**22

State = Literal["loading", "ready", "failed"]


class NoFolderError(ModelError):
    """There is no such folder, or none that may be read: who asks does not learn which."""


@dataclass(frozen=True)
class Version:
    """One content that a name has, or had."""

    id: str  # first 12 hex digits of the content's SHA-256
    source: str  # the folder it was copied from
    created: int  # when its weights were written, Unix seconds
    step: int | None = None  # of the checkpoint it is
    run: str = ""
    state: State = "loading"
    reason: str = ""  # why it failed
    probe: dict[str, Any] | None = None  # what came of asking it what it was asked when it was trained
    template: str = ""  # first 12 hex digits of the SHA-256 of the chat template that its folder has


@dataclass(frozen=True)
class Copied:
    """A copy that is not in its place yet."""

    folder: Path
    id: str
    created: int
    template: str = ""


def copy_adapter(name: str, folder: str | Path, store: Path, *, below: Sequence[Path] | None = None) -> Copied:
    """Copy an adapter's files into the store, hashed as they are read. Raises ModelError.

    With `below`, the folder must lie in one of those, and links count as what they lead to. All files are opened
    through one handle of the folder and must be the same at the end: a folder that is replaced meanwhile gives no
    mixture of two.
    """
    where = f"adapter {name!r} ({folder})"
    (store / VERSIONS).mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=store / VERSIONS))
    try:
        partial.chmod(0o755)  # replicas may run as somebody else
        handle = _open_folder(where, Path(folder), below)
        try:
            return _copy(where, handle, partial, follow_links=below is None)
        finally:
            os.close(handle)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise ModelError(f"{where}: cannot be copied to {store}: {error.strerror or error}") from None
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def content_id(folder: Path) -> str:
    """A version's id by the files in its folder. Raises OSError or ValueError."""
    with (folder / CONFIG_FILE).open("rb") as config, (folder / WEIGHTS_FILE).open("rb") as weights:
        content = hashlib.sha256(_canonical(config.read()))
        if (folder / TEMPLATE_FILE).exists():
            content.update((folder / TEMPLATE_FILE).read_bytes())
        while block := weights.read(_BLOCK):
            content.update(block)
    return content.hexdigest()[:ID_DIGITS]


def _open_folder(where: str, folder: Path, below: Sequence[Path] | None) -> int:
    try:
        real = folder.resolve(strict=True)
        is_allowed = below is None or any(real.is_relative_to(root) for root in below)
    except (OSError, RuntimeError, ValueError):
        is_allowed = False
    if not is_allowed or not real.is_dir():
        place = "" if below is None else f" below {' or '.join(map(str, below)) or 'any: no root is configured'}"
        raise NoFolderError(f"{where}: no such folder{place}")
    return os.open(real, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _copy(where: str, handle: int, partial: Path, *, follow_links: bool) -> Copied:
    opened: dict[str, tuple[IO[bytes], os.stat_result]] = {}
    try:
        for name in (CONFIG_FILE, WEIGHTS_FILE, BASE_FILE, PROBE_FILE, TEMPLATE_FILE, TOKENIZER_FILE):
            file = _open_file(where, handle, name, follow_links=follow_links)
            if file is not None:
                opened[name] = file, os.fstat(file.fileno())
            elif name in (CONFIG_FILE, WEIGHTS_FILE):
                rest = "pickled weights are not loaded" if name == WEIGHTS_FILE else "give a folder in PEFT format"
                raise ModelError(f"{where}: no {name}; {rest}")
        config = opened[CONFIG_FILE][0].read(MAX_CONFIG_BYTES)
        try:
            content = hashlib.sha256(_canonical(config))
        except ValueError as error:
            raise ModelError(f"{where}: {CONFIG_FILE} is damaged: {error}") from None
        template = _template_of({name: opened[name][0] for name in opened.keys() & {TEMPLATE_FILE, TOKENIZER_FILE}})
        content.update(template)
        if template:
            _write(partial / TEMPLATE_FILE, template)
        _write(partial / CONFIG_FILE, config)
        with (partial / WEIGHTS_FILE).open("wb") as target:
            while block := opened[WEIGHTS_FILE][0].read(_BLOCK):
                content.update(block)
                target.write(block)
            target.flush()
            os.fsync(target.fileno())
        for name in opened.keys() & {BASE_FILE, PROBE_FILE}:
            _write(partial / name, opened[name][0].read(MAX_CONFIG_BYTES))
        if any(_has_changed(handle, name, before, follow_links) for name, (_, before) in opened.items()):
            raise ModelError(f"{where}: was written to while it was read; load it again once it is whole")
        created = int(opened[WEIGHTS_FILE][1].st_mtime)
        digest = hashlib.sha256(template).hexdigest()[:ID_DIGITS] if template else ""
        return Copied(partial, content.hexdigest()[:ID_DIGITS], created, digest)
    finally:
        for file, _ in opened.values():
            file.close()


def _template_of(files: Mapping[str, IO[bytes]]) -> bytes:
    """An adapter's own chat template: a file, or, as older folders have it, part of the tokenizer's configuration."""
    if TEMPLATE_FILE in files:
        return files[TEMPLATE_FILE].read(MAX_CONFIG_BYTES)
    try:
        config = json.loads(files[TOKENIZER_FILE].read(MAX_TOKENIZER_BYTES)) if TOKENIZER_FILE in files else {}
    except ValueError:  # the base's tokenizer is the one that counts
        return b""
    template = config.get("chat_template") if isinstance(config, dict) else None
    return template.encode("utf-8", "surrogatepass") if isinstance(template, str) else b""


def _open_file(where: str, handle: int, name: str, *, follow_links: bool) -> IO[bytes] | None:
    """None where there is none; a pipe or a device would be waited for."""
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow_links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(name, flags, dir_fd=handle)
    except FileNotFoundError:
        return None
    except OSError as error:
        why = "is a link" if os.path.lexists(f"/proc/self/fd/{handle}/{name}") else str(error.strerror)
        raise ModelError(f"{where}: {name} cannot be read: {why}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ModelError(f"{where}: {name} is no file")
    return os.fdopen(descriptor, "rb")


def _has_changed(handle: int, name: str, before: os.stat_result, follow_links: bool) -> bool:
    try:
        now = os.stat(name, dir_fd=handle, follow_symlinks=follow_links)
    except OSError:
        return True
    return (now.st_ino, now.st_size, now.st_mtime_ns) != (before.st_ino, before.st_size, before.st_mtime_ns)


def _canonical(config: bytes) -> bytes:
    """Order of keys and spacing are no content."""
    return json.dumps(json.loads(config), sort_keys=True).encode()


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
