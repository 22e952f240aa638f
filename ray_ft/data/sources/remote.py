"""Files under a URI such as s3://bucket/docs, by pyarrow where it has the scheme built in, else by fsspec."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from ray_ft.data.sources.base import Entry, plain
from ray_ft.errors import ConfigError, MissingDependencyError, first_line

PYARROW_SCHEMES = ("s3", "gs", "gcs", "hdfs", "abfs", "abfss")
MARKS = ("etag", "ETag", "md5Hash", "checksum", "mtime", "last_modified", "LastModified", "updated", "created")


def is_uri(source: str) -> bool:
    """Whether the source has a scheme."""
    return "://" in source and not source.startswith("git+")


def list_uri(source: str) -> Iterator[Entry]:
    """Every file below the URI, or the one that it names. Raises ConfigError when it cannot be reached."""
    try:
        fs, root = _filesystem(source)
        found = fs.find(root, detail=True)
    except (ConfigError, MissingDependencyError):
        raise
    except Exception as error:  # each storage fails in ways of its own
        raise ConfigError(f"data.sources: cannot list {source!r}: {first_line(error)}") from None
    if not found:
        raise ConfigError(f"data.sources: nothing is at {source!r}; give a URI of files that exist")
    scheme, query = source.partition("://")[0], _query(source)
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
        fs, path = _filesystem(location)
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


def _filesystem(uri: str) -> tuple[Any, str]:
    """fsspec's interface to the storage, and the path there."""
    scheme, _, path = uri.partition("://")
    if scheme in PYARROW_SCHEMES:
        query = _query(uri)
        path = path.removesuffix(query)
        return _arrow(scheme, path.partition("/")[0], query), path.rstrip("/")
    from fsspec.core import url_to_fs

    try:
        fs, root = url_to_fs(uri)
    except ImportError as error:
        raise MissingDependencyError(f"data.sources: {uri!r} needs a package: {first_line(error)}") from None
    except ValueError as error:
        raise ConfigError(f"data.sources: {uri!r}: {first_line(error)}") from None
    return fs, str(root)


def _query(uri: str) -> str:
    """Settings that pyarrow takes in a URI, e.g. ?region=eu-west-1."""
    scheme, _, rest = uri.partition("://")
    _, mark, query = rest.rpartition("?")
    return mark + query if scheme in PYARROW_SCHEMES else ""


@lru_cache(maxsize=8)
def _arrow(scheme: str, bucket: str, query: str) -> Any:
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow.fs import FileSystem

    found, _ = FileSystem.from_uri(f"{scheme}://{bucket}{query}")
    return ArrowFSWrapper(found)
