"""Objects below a URI: of S3, GCS and whatever else pyarrow or fsspec knows, read and written alike."""

from ray_ft.storage.filesystems import PYARROW_SCHEMES, joined, open_filesystem, query_of, shown
from ray_ft.storage.objects import Found, MissingObject, Store, in_parallel, is_uri

__all__ = [
    "PYARROW_SCHEMES",
    "Found",
    "MissingObject",
    "Store",
    "in_parallel",
    "is_uri",
    "joined",
    "open_filesystem",
    "query_of",
    "shown",
]
