"""Filters: each looks at a file's path, bytes or text and says why it is dropped, or "" to keep it.

To add a filter, write a function and put it in the tuple of what it looks at.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from pathlib import PurePosixPath

from ray_ft.data.filters.generated import says_generated
from ray_ft.data.filters.unmarked import unmarked_utf

VENDORED_FOLDERS = frozenset(
    {"vendor", "vendored", "_vendor", "third_party", "third-party", "thirdparty", "bower_components", "jspm_packages",
     "Godeps", "Pods", "dist"}
)  # fmt: skip
GENERATED_NAME = re.compile(
    r"_pb2(?:_grpc)?\.pyi?$|_pb\.js$|[._-]generated\.\w+$|(?:^|/)zz_generated[^/]*$|\.g\.cs$|(?:^|/)__snapshots__/"
    r"|\.pb\.(?:go|cc|h)$|\.min\.(?:js|css)$|[.-]bundle\.js$|\.g\.dart$|\.designer\.cs$"
    r"|(?:^|/)(?:package-lock|npm-shrinkwrap)\.json$|(?:^|/)pnpm-lock\.yaml$|(?:^|/)_version\.py$",
    re.IGNORECASE,
)
FORM = re.compile(
    r"(?:^|/)(?:\.github|\.gitlab|\.gitea)/(?:[^/]+/){0,3}(?:issue|pull_request|merge_request|discussion)_templates?(?:/|[^/]*$)"
    r"|(?:^|/)(?:issue|pull_request|merge_request)_template(?:/[^/]+|\.\w+)$",
    re.IGNORECASE,
)
FIXTURE_FOLDERS = frozenset(
    {"fixtures", "__fixtures__", "testdata", "test-data", "test_data", "test-fixtures", "test_fixtures", "golden"}
)
TEST_FOLDERS = frozenset({"test", "tests", "spec", "specs"})
FIXTURE_SUFFIXES = frozenset(
    {
        ".csv",
        ".htm",
        ".html",
        ".json",
        ".markdown",
        ".md",
        ".rst",
        ".text",
        ".tsv",
        ".txt",
        ".xhtml",
        ".xml",
        ".yaml",
        ".yml",
    }
)
MAX_MEAN_LINE, MAX_LINE = 100, 10_000  # characters of a line of code
MIN_ALNUM_FRACTION = 0.25  # of a file of code that is more than a few lines; what has less is a table or a picture
MIN_RATED, RATED = 2000, 20_000  # characters: of the shortest file that is rated, and of its beginning that is
ALNUM_BYTES = bytes(b for b in range(256) if b >= 128 or chr(b).isalnum() or b == ord("_"))
SNIFFED_BYTES = 8192
MAX_CONTROL_FRACTION = 0.1
CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))
BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def dropped_by_path(path: str) -> str:
    """The first reason a path filter gives."""
    return _first(PATH_FILTERS, path)


def dropped_by_bytes(data: bytes) -> str:
    """The first reason a filter of raw bytes gives."""
    return _first(BYTES_FILTERS, data)


def dropped_by_text(text: str, language: str = "") -> str:
    """The first reason a filter of decoded text gives; `language` is that of code, "" for documents."""
    return next((reason for f in TEXT_FILTERS if (reason := f(text, language))), "")


def vendored(path: str) -> str:
    """Other people's code, copied in."""
    return "vendored" if VENDORED_FOLDERS.intersection(_folders(path.rpartition("/")[0])) else ""


def generated_name(path: str) -> str:
    """Files that a program names so."""
    return "generated" if GENERATED_NAME.search(path) else ""


def form(path: str) -> str:
    """What people fill in when they open an issue or ask for a merge."""
    return "a form" if FORM.search(path) else ""


def fixture(path: str) -> str:
    """Documents that a project's tests read: they say nothing of the project."""
    folder, _, name = path.rpartition("/")
    suffix = name[name.rfind(".") :].lower() if not name.startswith(".") or name.count(".") > 1 else ""
    return "test data" if suffix in FIXTURE_SUFFIXES and _holds_fixtures(folder) else ""


@lru_cache(maxsize=1024)
def _folders(folder: str) -> tuple[str, ...]:
    return PurePosixPath(folder).parts


@lru_cache(maxsize=1024)
def _holds_fixtures(folder: str) -> bool:
    folders = [part.lower() for part in _folders(folder)]
    pairs = pairwise(folders)
    return bool(FIXTURE_FOLDERS.intersection(folders)) or any(a in TEST_FOLDERS and b == "data" for a, b in pairs)


def empty(data: bytes) -> str:
    """Nothing at all."""
    return "" if data else "empty"


def git_lfs_pointer(data: bytes) -> str:
    """The stand-in for a file that was not fetched."""
    return "git-lfs pointer" if data.startswith(b"version https://git-lfs") else ""


def binary(data: bytes) -> str:
    """A NUL or many control bytes near the start, whatever the file is named; UTF-16 and -32 are no binary."""
    head = data[:SNIFFED_BYTES]
    if head.startswith(BYTE_ORDER_MARKS) or unmarked_utf(data):
        return ""
    num_control = len(head) - len(head.translate(None, CONTROL_BYTES))
    is_binary = b"\0" in head or num_control > MAX_CONTROL_FRACTION * len(head) or head.startswith(b"%PDF-")
    return "binary" if is_binary else ""


def blank(text: str, language: str) -> str:
    """White space only."""
    return "" if text.strip() else "empty"


def minified(text: str, language: str) -> str:
    """Code in lines that nobody writes: bundles and tables of data."""
    if not language:
        return ""
    lengths = [len(line) for line in text.split("\n") if line.strip()]
    return "minified" if sum(lengths) > MAX_MEAN_LINE * len(lengths) or max(lengths) > MAX_LINE else ""


def data_as_code(text: str, language: str) -> str:
    """Code that is hardly letters and digits."""
    if not language or len(text) < MIN_RATED:
        return ""
    head = text[:RATED].encode("utf-8", "replace")
    num_others = len(head.translate(None, ALNUM_BYTES))
    return "data, not code" if num_others > (1 - MIN_ALNUM_FRACTION) * len(head) else ""


def generated_header(text: str, language: str) -> str:
    """What stands near the top says that a program wrote the file."""
    return "generated" if says_generated(text, language) else ""


def _first(filters: tuple[Callable[..., str], ...], value: str | bytes) -> str:
    return next((reason for f in filters if (reason := f(value))), "")


PATH_FILTERS: tuple[Callable[[str], str], ...] = (vendored, generated_name, form, fixture)
BYTES_FILTERS: tuple[Callable[[bytes], str], ...] = (empty, git_lfs_pointer, binary)
TEXT_FILTERS: tuple[Callable[[str, str], str], ...] = (blank, minified, data_as_code, generated_header)
