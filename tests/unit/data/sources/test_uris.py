"""Files behind a URI: listed in the order of their paths without a list of all that is told of them, and read there."""

import random
from pathlib import Path
from typing import Any

import pytest

from ray_ft.config import DataConfig
from ray_ft.data.ingest.listing import each_file, list_files, sources_digest
from ray_ft.data.sources import read_bytes, remote
from ray_ft.errors import ConfigError
from ray_ft.storage import Store, joined


def _data(*sources: str, **settings: Any) -> DataConfig:
    return DataConfig(sources=sources, recipes=(), **settings)


def _names(number: int) -> list[str]:
    """Names that sort differently with and without the slash of their folder."""
    draw = random.Random(0)
    parts = ("a", "a-b", "a.b", "a b", "a0", "ä", "b")
    return sorted({"/".join(draw.choices(parts, k=draw.randint(1, 4))) + f"-{i}.md" for i in range(number)})


def test_what_lies_in_s3_is_listed_in_order_and_read(bucket: str) -> None:
    store, names = Store(joined(bucket, "docs")), _names(60)
    for name in names:
        store.write(name, f"# {name}\n".encode())
    found = list(each_file(_data(joined(bucket, "docs"))))
    assert [file.path for file in found] == [f"docs/{name}" for name in names]
    assert [read_bytes(file.kind, file.location).decode() for file in found] == [f"# {name}\n" for name in names]
    assert all(file.content for file in found)
    (one,) = list_files(_data(joined(bucket, "docs", names[0])))
    assert read_bytes(one.kind, one.location) == f"# {names[0]}\n".encode()


def test_pyarrow_and_fsspec_list_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow.fs import LocalFileSystem

    for name in _names(200):
        (tmp_path / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "docs" / name).write_text(name)
    uri = (tmp_path / "docs").as_uri()
    by_fsspec = [(file.path, file.location, file.num_bytes) for file in each_file(_data(uri))]
    assert [path for path, _, _ in by_fsspec] == sorted(f"docs/{name}" for name in _names(200))
    monkeypatch.setattr(
        remote, "open_filesystem", lambda uri, key: (ArrowFSWrapper(LocalFileSystem()), uri.removeprefix("file://"))
    )
    monkeypatch.setattr(ArrowFSWrapper, "find", None)  # which would ask for each folder
    by_pyarrow = list(each_file(_data(str(tmp_path / "docs").join(("file://", "")))))
    assert [(file.path, file.location, file.num_bytes) for file in by_pyarrow] == by_fsspec
    assert sources_digest(_data(uri))["num_files"] == 200


@pytest.mark.parametrize("name", ["docs.zip", "docs.tar.gz"])
def test_an_archive_behind_a_uri_is_told_with_what_to_do(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"packed")
    with pytest.raises(ConfigError, match=rf"'file://.*/{name}' is an archive behind a URI.*; copy it to"):
        list_files(_data((tmp_path / name).as_uri()))
