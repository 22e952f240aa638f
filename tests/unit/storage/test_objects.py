"""Objects of storage, by memory:// and file://: whole or not at all, tried again, and one line where nothing helps."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from ray_ft.errors import ConfigError, MissingDependencyError, StorageError
from ray_ft.storage import MissingObject, Store, in_parallel, joined, open_filesystem, query_of, shown
from ray_ft.storage import objects as module


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(f"file://{tmp_path}/far" if request.param == "file" else f"memory://{uuid.uuid4().hex}")


def test_what_was_written_is_read_whole_and_in_part(store: Store, tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(b"0123456789")
    store.send("a/b.bin", tmp_path / "here")
    store.write("a/c.bin", b"c")
    store.fetch("a/b.bin", tmp_path / "back")
    assert store.read("a/b.bin") == (tmp_path / "back").read_bytes() == b"0123456789"
    assert store.read("a/b.bin", 2, 5) == b"234"
    assert [(f.name, f.num_bytes) for f in store.list()] == [("a/b.bin", 10), ("a/c.bin", 1)]
    assert [f.name for f in store.below("a").list()] == ["b.bin", "c.bin"]
    assert store.is_there("a/b.bin")
    assert not store.is_there("a")


def test_what_is_deleted_is_gone_and_may_be_gone_before(store: Store) -> None:
    store.write("a", b"1")
    store.delete(["a", "never"])
    assert store.list() == []
    with pytest.raises(MissingObject, match=r"^data\.storage_uri: .*a is not there$"):
        store.read("a")


def test_a_folder_that_is_not_there_is_empty(store: Store) -> None:
    assert store.list("nowhere") == []


def test_a_file_that_is_cut_off_while_it_is_written_is_not_there(tmp_path: Path) -> None:
    store = Store(f"file://{tmp_path}/far", attempts=1)
    put = store._fs.pipe_file
    store._fs = _Changed(store._fs, pipe_file=lambda path, content: (put(path, content[:2]), _fail("unplugged")))
    with pytest.raises(StorageError, match="unplugged"):
        store.write("a", b"whole")
    assert store.list() == []
    assert not store.is_there("a")


def test_a_passing_failure_is_tried_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(module.time, "sleep", waits.append)
    put, failures = store._fs.pipe_file, [OSError("AWS Error SLOW_DOWN"), OSError("connection reset")]

    def pipe_file(path: str, content: bytes) -> None:
        if failures:
            raise failures.pop()
        put(path, content)

    store._fs = _Changed(store._fs, pipe_file=pipe_file)
    store.write("a", b"1")
    assert store.read("a") == b"1"
    assert len(waits) == 2
    assert 0.4 <= waits[0] < waits[1] <= 1.2  # 0.5 and 1 s, each changed by up to a fifth


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("AWS Error NO_SUCH_BUCKET during CreateMultipartUpload operation: gone", "there is no such bucket"),
        ("AWS Error ACCESS_DENIED during PutObject operation: Access Denied", "storage denies it to these credentials"),
        ("AWS Error INVALID_ACCESS_KEY_ID during PutObject", "storage does not take these credentials"),
    ],
)
def test_what_storage_will_never_give_is_told_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, says: str, told: str
) -> None:
    monkeypatch.setattr(module.time, "sleep", lambda seconds: pytest.fail("tried again"))
    store._fs = _Changed(store._fs, pipe_file=lambda path, content: _fail(says))
    with pytest.raises(StorageError, match=rf"^data\.storage_uri: cannot write .*/a: {told}") as raised:
        store.write("a", b"1")
    assert "\n" not in str(raised.value)


def test_storage_that_stays_away_is_told_with_what_it_says(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    store._fs = _Changed(store._fs, cat_file=lambda path, **more: _fail("Could not connect\nmore"))
    with pytest.raises(StorageError, match=r"cannot read .*/a: Could not connect$"):
        store.read("a")


def test_a_scheme_that_nobody_knows_is_a_config_error() -> None:
    with pytest.raises((ConfigError, MissingDependencyError), match=r"data\.storage_uri: 'nowhere://x'"):
        Store("nowhere://x")


def test_names_go_before_the_settings_of_a_uri() -> None:
    assert joined("s3://bucket/sets?region=eu-west-1", "a", "b") == "s3://bucket/sets/a/b?region=eu-west-1"
    assert joined("s3://bucket/sets", "a") == "s3://bucket/sets/a"
    assert joined("memory://sets/", "a?") == "memory://sets/a?"


def test_a_uri_without_settings_names_its_bucket_and_path() -> None:
    fs, path = open_filesystem("s3://bucket/docs/a?region=eu-west-1", "data.sources")
    assert (fs.fs.region, path) == ("eu-west-1", "bucket/docs/a")
    assert open_filesystem("gs://anonymous@bucket/docs/a", "data.sources")[1] == "bucket/docs/a"
    assert query_of("s3://bucket/docs/a") == ""


def test_nobody_is_shown_a_password() -> None:
    assert shown("s3://key:secret@bucket/sets?region=eu-west-1") == "s3://bucket/sets"
    assert (
        shown("abfs://container@account.dfs.core.windows.net/sets")
        == "abfs://container@account.dfs.core.windows.net/sets"
    )


def test_work_in_parallel_comes_back_in_order() -> None:
    assert list(in_parallel(lambda n: n * n, range(100), threads=4)) == [n * n for n in range(100)]


def _fail(says: str) -> None:
    raise OSError(says)


class _Changed:
    """A file system that does some things otherwise."""

    def __init__(self, fs: Any, **changes: Any) -> None:
        self.__dict__.update(changes, _was=fs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._was, name)
