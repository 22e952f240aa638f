"""A training set below a URI: whole or not there, and each file here once, checked, as long as there is room."""

import hashlib
import multiprocessing
import threading
from pathlib import Path

import pytest

from ray_ft.errors import MissingArtifactError, StorageError
from ray_ft.storage import Part, Store, files_of, is_whole, part_of, parts_of, put_manifest, resolved, sets

FILES = {"questions.jsonl": b"q", "shards/manifest.json": b"{}", "shards/a.npy": b"rows", "tables/part-0": b"table"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAY_FT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "training_sets"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"file://{tmp_path}/far/run", attempts=1)


def put(store: Store, files: dict[str, bytes]) -> str:
    parts = {}
    for name, content in files.items():
        sha256 = hashlib.sha256(content).hexdigest()
        store.write(f"objects/{sha256}", content)
        parts[name] = Part(f"objects/{sha256}", len(content), sha256)
    return put_manifest(store, parts)


def test_a_local_set_is_read_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "b").touch()
    assert part_of(tmp_path, "tables") == tmp_path / "tables"
    assert parts_of(tmp_path) == tmp_path
    assert files_of(tmp_path, "tables") == ["tables/b"]
    assert resolved(tmp_path / ".") == str(tmp_path.resolve())
    assert is_whole(tmp_path)


def test_a_file_and_a_folder_are_fetched_when_they_are_needed(store: Store, cache: Path) -> None:
    made = put(store, FILES)
    assert part_of(made, "questions.jsonl").read_bytes() == b"q"
    assert [path.name for path in part_of(made, "tables").iterdir()] == ["part-0"]
    assert files_of(made, "shards") == ["shards/a.npy", "shards/manifest.json"]
    assert not (part_of(made, "tables").parent / "shards" / "a.npy").exists()
    assert not part_of(made, "nothing.parquet").exists()
    assert (parts_of(made) / "shards" / "manifest.json").read_bytes() == b"{}"
    assert part_of(made, "shards/a.npy").read_bytes() == b"rows"
    assert is_whole(made)
    assert resolved(made) == made


def test_what_another_set_has_too_is_not_fetched_again(store: Store) -> None:
    first = put(store, FILES)
    part_of(first, "tables")
    second = put(store, {**FILES, "questions.jsonl": b"other"})
    store.delete([f"objects/{hashlib.sha256(b'table').hexdigest()}"])
    assert part_of(second, "tables/part-0").read_bytes() == b"table"
    assert part_of(second, "questions.jsonl").read_bytes() == b"other"


def test_a_set_that_was_replaced_is_told(store: Store) -> None:
    made = put(store, FILES)
    store.below(sets.SETS).delete([f.name for f in store.below(sets.SETS).list()])
    with pytest.raises(
        MissingArtifactError, match=r"set\.json is not there: the training set was replaced .* or deleted"
    ):
        part_of(made, "questions.jsonl")
    assert not is_whole(made)


def test_an_object_that_was_deleted_is_told(store: Store) -> None:
    made = put(store, FILES)
    store.delete([f"objects/{hashlib.sha256(b'q').hexdigest()}"])
    with pytest.raises(StorageError, match=r"far/run/objects/\w+ is not there, but a training set lists it.*--force"):
        part_of(made, "questions.jsonl")
    assert part_of(made, "tables/part-0").read_bytes() == b"table"


@pytest.mark.parametrize("content", [b"x", b"longer", b""])
def test_an_object_of_other_bytes_is_told_and_not_kept(store: Store, content: bytes, cache: Path) -> None:
    made = put(store, FILES)
    store.write(f"objects/{hashlib.sha256(b'q').hexdigest()}", content)
    with pytest.raises(StorageError, match=r"is not what its training set lists; run `ray-ft prepare"):
        part_of(made, "questions.jsonl")
    assert not list(cache.glob("objects/*/*"))


def test_a_manifest_of_other_bytes_is_told(store: Store) -> None:
    made = put(store, FILES)
    name = made.rpartition("/")[2]
    store.write(f"{sets.SETS}/{name}/{sets.MANIFEST}", b'{"version": 1, "files": {}}')
    with pytest.raises(StorageError, match=r"set\.json is damaged"):
        part_of(made, "questions.jsonl")


@pytest.mark.parametrize("name", ["../../../home/.bashrc", "/etc/passwd", "a/../../b"])
def test_a_manifest_that_leads_out_of_its_set_is_refused(store: Store, name: str) -> None:
    made = put(store, {name: b"x"})
    with pytest.raises(StorageError, match=r"set\.json names '.*', which leads out of a set"):
        part_of(made, "anything")


def test_many_readers_fetch_a_file_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = put(store, FILES)
    fetched: list[str] = []
    fetch = Store.fetch
    monkeypatch.setattr(Store, "fetch", lambda self, name, file: (fetched.append(name), fetch(self, name, file))[1])
    threads = [threading.Thread(target=part_of, args=(made, "tables")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fetched) == 1


def _read(made: str) -> None:
    part_of(made, "tables")


def test_sets_that_nobody_reads_make_room_and_those_in_use_stay(
    store: Store, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unused, used = put(store, FILES), put(store, {"a": b"in use"})
    reader = multiprocessing.get_context("fork").Process(target=_read, args=(unused,))
    reader.start()
    reader.join()
    part_of(used, "a")
    monkeypatch.setattr(sets, "JUST_FETCHED_SECONDS", -1)
    monkeypatch.setattr(sets, "_fits", lambda folder, size: not (folder / "sets" / unused.rpartition("/")[2]).exists())
    sets.make_room(cache, 1)
    assert [file.read_bytes() for file in cache.glob("objects/*/*")] == [b"in use"]


def test_a_full_disk_is_told(store: Store, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    made = put(store, FILES)
    monkeypatch.setattr(sets, "_fits", lambda folder, size: False)
    with pytest.raises(StorageError, match=rf"^no room in {cache} for 1 bytes of a training set; RAY_FT_CACHE names"):
        part_of(made, "questions.jsonl")
