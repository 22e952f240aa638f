"""Files under a URI such as s3://bucket/docs, as data.sources name them."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from ray_ft.data.sources.base import Entry, plain
from ray_ft.errors import ConfigError, MissingDependencyError, first_line
from ray_ft.storage import open_filesystem, query_of

MARKS = ("etag", "ETag", "md5Hash", "checksum", "mtime", "last_modified", "LastModified", "updated", "created")


def is_uri(source: str) -> bool:
    """Whether the source has a scheme."""
    return "://" in source and not source.startswith("git+")


def list_uri(source: str) -> Iterator[Entry]:
    """Every file below the URI, or the one that it names. Raises ConfigError when it cannot be reached."""
    try:
        fs, root = open_filesystem(source, "data.sources")
        found = fs.find(root, detail=True)
    except (ConfigError, MissingDependencyError):
        raise
    except Exception as error:  # each storage fails in ways of its own
        raise ConfigError(f"data.sources: cannot list {source!r}: {first_line(error)}") from None
    if not found:
        raise ConfigError(f"data.sources: nothing is at {source!r}; give a URI of files that exist")
    scheme, query = source.partition("://")[0], query_of(source)
    base = PurePosixPath(root)
    for path, about in sorted(found.items()):
        below = PurePosixPath(path)
        name = below.relative_to(base) if below != base and below.is_relative_to(base) else PurePosixPath(below.name)
        yield Entry(
            str(plain(str(name))), f"{scheme}://{path}{query}", int(about.get("size") or 0), content=_mark(path, about)
        )


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
