"""What is behind a URI: pyarrow where it has the scheme built in, else fsspec, and both through fsspec's interface."""

import re
from functools import lru_cache
from typing import Any

from ray_ft.errors import ConfigError, MissingDependencyError, first_line

PYARROW_SCHEMES = ("s3", "gs", "gcs", "hdfs", "abfs", "abfss")
USER = re.compile(r"(?<=://)[^/\s@:]{0,100}:[^/\s@]{1,200}@")


def open_filesystem(uri: str, key: str) -> tuple[Any, str]:
    """fsspec's interface to the storage, and the path there; `key` is that of the configuration which names the URI.

    Raises MissingDependencyError where a package is missing, ConfigError where nothing knows the URI.
    """
    scheme, _, rest = uri.partition("://")
    try:
        if scheme in PYARROW_SCHEMES:
            query = query_of(uri)
            bucket, _, path = rest.removesuffix(query).partition("/")
            fs, base = _arrow(scheme, bucket, query)
            return fs, f"{base.rstrip('/')}/{path}".rstrip("/")
        from fsspec.core import url_to_fs

        fs, root = url_to_fs(uri)
    except ImportError as error:
        raise MissingDependencyError(
            f"{key}: {shown(uri)!r} needs a package: {without_user(first_line(error))}"
        ) from None
    except (ValueError, OSError) as error:
        raise ConfigError(f"{key}: {shown(uri)!r}: {without_user(first_line(error))}") from None
    return fs, str(root)


def query_of(uri: str) -> str:
    """Settings that pyarrow takes in a URI, e.g. ?region=eu-west-1."""
    scheme, _, rest = uri.partition("://")
    _, mark, query = rest.partition("?")
    return mark + query if scheme in PYARROW_SCHEMES else ""


def joined(uri: str, *names: str) -> str:
    """The URI of what lies below another one."""
    query = query_of(uri)
    return "/".join([uri.removesuffix(query).rstrip("/"), *names]) + query


def shown(uri: str) -> str:
    """A URI as messages tell it: without settings, the name of a user and a password."""
    return without_user(uri.removesuffix(query_of(uri)))


def without_user(text: str) -> str:
    """A text without the names and passwords in its URIs."""
    return USER.sub("", text)


@lru_cache(maxsize=8)
def _arrow(scheme: str, bucket: str, query: str) -> tuple[Any, str]:
    """The storage, and what its paths begin with."""
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow.fs import FileSystem

    found, base = FileSystem.from_uri(f"{scheme}://{bucket}{query}")
    return ArrowFSWrapper(found), base
