"""Files under a URI such as s3://bucket/docs, as data.sources name them."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from ray_ft.data.sources.archive import SUFFIXES
from ray_ft.data.sources.base import Entry, plain, printable
from ray_ft.errors import ConfigError, MissingDependencyError, first_line
from ray_ft.storage import open_filesystem, query_of, shown

MARKS = ("etag", "ETag", "md5Hash", "checksum", "mtime", "last_modified", "LastModified", "updated", "created")


def is_uri(source: str) -> bool:
    """Whether the source has a scheme."""
    return "://" in source and not source.startswith("git+")


def list_uri(source: str) -> Iterator[Entry]:
    """Every file below the URI, or the one that it names, in the order of their paths.

    Raises ConfigError when it cannot be reached, and for an archive.
    """
    try:
        fs, root = open_filesystem(source, "data.sources")
        found = _found(fs, root)
    except (ConfigError, MissingDependencyError):
        raise
    except Exception as error:  # each storage fails in ways of its own
        raise ConfigError(f"data.sources: cannot list {source!r}: {first_line(error)}") from None
    if not found:
        raise ConfigError(f"data.sources: nothing is at {source!r}; give a URI of files that exist")
    if len(found) == 1 and _path(found[0]) == root and root.lower().endswith(SUFFIXES):
        raise ConfigError(
            f"data.sources: {shown(source)!r} is an archive behind a URI, which is not opened; copy it to "
            "storage that all nodes share, or unpack it there"
        )
    scheme, query = source.partition("://")[0], query_of(source)
    base = PurePosixPath(root)
    found.sort(key=lambda one: printable(_name(_path(one), base)))
    for one in found:
        path, about = _path(one), _about(one)
        yield Entry(
            _name(path, base), f"{scheme}://{path}{query}", int(about.get("size") or 0), content=_mark(path, about)
        )


def _found(fs: Any, root: str) -> list[Any]:
    """All files: pyarrow's few bytes of each where it lists them, which takes a request for each thousand of them."""
    if not hasattr(fs, "fs"):
        return [*fs.find(root, detail=True).items()]
    from pyarrow.fs import FileSelector, FileType

    (about,) = fs.fs.get_file_info([root])
    selector = FileSelector(root, recursive=True, allow_not_found=True)
    infos = [about] if about.type == FileType.File else fs.fs.get_file_info(selector)
    return [info for info in infos if info.type == FileType.File]


def _path(one: Any) -> str:
    return str(one[0] if isinstance(one, tuple) else one.path)


def _about(one: Any) -> dict[str, Any]:
    return dict(one[1]) if isinstance(one, tuple) else {"size": one.size, "mtime": one.mtime}


def _name(path: str, base: PurePosixPath) -> str:
    """How the source calls a file."""
    below = PurePosixPath(path)
    name = below.relative_to(base) if below != base and below.is_relative_to(base) else PurePosixPath(below.name)
    return str(plain(str(name)))


def read_uri(location: str) -> bytes:
    """The bytes of one file. Raises OSError when storage does not give them."""
    try:
        fs, path = open_filesystem(location, "data.sources")
        content: bytes = fs.cat_file(path)
    except OSError:
        raise
    except Exception as error:
        raise OSError(5, first_line(error)) from None
    return content


def _mark(path: str, about: dict[str, Any]) -> str:
    """What storage says of the content without reading it: its checksum or time, and its size; "" where neither."""
    mark = next((str(about[key]) for key in MARKS if about.get(key)), "")
    return f"{path}\0{about.get('size')}\0{mark}" if mark else ""
