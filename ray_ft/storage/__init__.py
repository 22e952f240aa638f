"""Objects below a URI: of S3, GCS and whatever else pyarrow or fsspec knows, read and written alike."""

from ray_ft.storage.filesystems import PYARROW_SCHEMES, joined, open_filesystem, query_of, shown
from ray_ft.storage.objects import Found, MissingObject, Store, in_parallel, is_uri
from ray_ft.storage.sets import (
    MANIFEST,
    SETS,
    Part,
    files_of,
    is_whole,
    part_of,
    parts_of,
    put_manifest,
    read_manifest,
    resolved,
)

__all__ = [
    "MANIFEST",
    "PYARROW_SCHEMES",
    "SETS",
    "Found",
    "MissingObject",
    "Part",
    "Store",
    "files_of",
    "in_parallel",
    "is_uri",
    "is_whole",
    "joined",
    "open_filesystem",
    "part_of",
    "parts_of",
    "put_manifest",
    "query_of",
    "read_manifest",
    "resolved",
    "shown",
]
