"""Compressed tars are read once from end to end, within bounded memory, and of damaged ones what stands before that."""

import gzip
import io
import lzma
import os
import random
import subprocess
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from ray_ft.config import DataConfig
from ray_ft.data.documents import SourceFile
from ray_ft.data.filters.apply import Cleaning
from ray_ft.data.ingest.listing import list_files, sources_digest
from ray_ft.data.ingest.reading import read_file
from ray_ft.data.report.profile import profile_corpus
from ray_ft.data.sources import archive as archive_module
from ray_ft.data.sources import read_bytes
from ray_ft.data.sources.archive import keeping
from ray_ft.errors import DataError

SUFFIXES = ("tar.gz", "tgz", "tar.bz2", "tbz2", "tar.xz", "txz", "tar.zst", "tzst")


def _data(source: Path | str, **settings: object) -> DataConfig:
    return DataConfig(sources=(str(source),), recipes=(), **settings)  # type: ignore[arg-type]


def _pages(number: int, *, seed: int = 0) -> dict[str, bytes]:
    draw = random.Random(seed)
    return {f"{i:03d}.md": f"# Page {i}\n\n{draw.randbytes(300).hex()}\n".encode() for i in range(number)}


def _tar(files: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return raw.getvalue()


def _packed(path: Path, files: dict[str, bytes]) -> Path:
    import pyarrow as pa

    raw = _tar(files)
    if path.suffix in (".zst", ".tzst"):
        raw = pa.Codec("zstd").compress(raw, asbytes=True)
    elif path.suffix in (".gz", ".tgz"):
        raw = gzip.compress(raw)
    elif path.suffix in (".xz", ".txz"):
        raw = lzma.compress(raw[:1024]) + lzma.compress(raw[1024:])  # two streams, as parallel packers write
    else:
        import bz2

        raw = bz2.compress(raw)
    path.write_bytes(raw)
    return path


def _contents(files: list[SourceFile]) -> dict[str, bytes | str]:
    return {f.path: f.reason or read_bytes(f.kind, f.location) for f in files}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_members_are_kept_in_one_pass_and_each_is_read_alone(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = _pages(20) | {"picture.png": b"\x89PNG", "tool": b"#!/usr/bin/env python3\nx = 1\n", "words": b"a"}
    path = _packed(tmp_path / f"wiki.{suffix}", files)
    passes = []
    whole = archive_module.unpacked_stream
    monkeypatch.setattr(archive_module, "unpacked_stream", lambda *of: passes.append(of) or whole(*of))  # type: ignore[func-returns-value]
    with keeping(tmp_path / "members"):
        found = list_files(_data(path))
        contents = _contents(found)
    assert len(passes) == 1
    unknown = {"picture.png": "unknown format", "words": "unknown format"}
    assert contents == {f"wiki/{name}": unknown.get(name, content) for name, content in files.items()}
    digest = sources_digest(_data(path))["digest"]
    folder = tmp_path / "wiki"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    assert digest == sources_digest(_data(folder))["digest"]


def test_members_may_be_kept_in_storage_where_nodes_share_no_folder(tmp_path: Path) -> None:
    files = _pages(20)
    path = _packed(tmp_path / "wiki.tar.gz", files)
    with keeping((tmp_path / "store").as_uri()):
        found = list_files(_data(path))
        path.unlink()
        assert _contents(found) == {f"wiki/{name}": content for name, content in files.items()}
        assert all(f.location.startswith("file://") for f in found)
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


def test_advice_on_an_archive_goes_through_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _packed(tmp_path / "wiki.tar.gz", _pages(20))
    passes = []
    whole = archive_module.unpacked_stream
    monkeypatch.setattr(archive_module, "unpacked_stream", lambda *of: passes.append(of) or whole(*of))  # type: ignore[func-returns-value]
    profile = profile_corpus(_data(path), max_seq_len=64, seed=0)
    assert profile.num_documents == 20
    assert len(passes) == 1


def test_what_is_not_read_is_not_kept(tmp_path: Path) -> None:
    path = _packed(tmp_path / "wiki.tar.gz", {"a.md": b"# A\n", "large.md": b"x" * 10_000, "b.bin": b"y" * 10_000})
    with keeping(tmp_path / "members"):
        files = list_files(_data(path, max_file_bytes=1000))
        (kept,) = (tmp_path / "members").iterdir()
        assert kept.stat().st_size < 100
    assert {f.path: f.reason for f in files} == {
        "wiki/a.md": "",
        "wiki/b.bin": "unknown format",
        "wiki/large.md": "larger than data.max_file_bytes",
    }
    assert not kept.exists()


def test_a_member_that_is_not_read_passes_without_being_held(tmp_path: Path) -> None:
    path = _packed(tmp_path / "wiki.tar.gz", {"large.md": random.Random(0).randbytes(2**24), "z.md": b"# Z\n"})
    with keeping(tmp_path / "members"):
        tracemalloc.start()
        files = list_files(_data(path, max_file_bytes=1000))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert [f.reason for f in files] == ["larger than data.max_file_bytes", ""]
    assert peak < 2**22


def test_what_an_archive_says_of_its_own_files_is_known(tmp_path: Path) -> None:
    words = b"Permission is hereby granted, free of charge, to any person obtaining a copy"
    files = {"a.md": b"# A\n", ".gitattributes": b"made/** linguist-generated\n", "z/LICENSE": words}
    path = _packed(tmp_path / "wiki.tar.gz", files)
    data = _data(path, licenses=("MIT",))
    with keeping(tmp_path / "members"):
        listed = list_files(data)
        path.unlink()  # so that only what was kept can be read
        cleaning = Cleaning.of(data, listed)
    assert cleaning.folder_licences == {"wiki/z": "MIT"}
    assert [mark.patterns for mark in cleaning.marks] == [("made/**",)]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_of_an_archive_that_is_cut_short_what_stands_before_is_read_and_the_end_told(
    tmp_path: Path, suffix: str
) -> None:
    files = _pages(3000)  # as tar 4.6 MB, in blocks of 900 KB where bzip2 packs them
    path = _packed(tmp_path / f"wiki.{suffix}", files)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 4 // 5])
    with keeping(tmp_path / "members"):
        found = list_files(_data(path))
        whole = {f.path: read_bytes(f.kind, f.location) for f in found if not f.reason}
    assert len(whole) > 1000
    assert whole == {f"wiki/{name}": files[name] for name in list(files)[: len(whole)]}
    told = {f.path: f.reason for f in found if f.reason}
    assert told.pop(f"wiki/wiki.{suffix}").startswith("damaged archive: ")
    assert [reason.partition(":")[0] for reason in told.values()] in ([], ["unreadable"])  # the member that is cut


@pytest.mark.parametrize("suffix", ["tar.gz", "tar.bz2", "tar.xz"])
def test_of_an_archive_with_wrong_bytes_nothing_is_taken(tmp_path: Path, suffix: str) -> None:
    path = _packed(tmp_path / f"wiki.{suffix}", _pages(3000))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"'.*wiki\.tar\.\w+' cannot be unpacked: "):
        list_files(_data(path))


@pytest.mark.parametrize("damage", ["cut", "header"])
def test_of_a_damaged_plain_tar_too(tmp_path: Path, damage: str) -> None:
    data = bytearray(_tar(_pages(10)))  # a header and two blocks each: 1536 bytes
    if damage == "cut":
        del data[5 * 1536 + 700 :]
    else:
        data[5 * 1536 : 5 * 1536 + 512] = b"?" * 512
    (tmp_path / "wiki.tar").write_bytes(data)
    found = {f.path: f.reason for f in list_files(_data(tmp_path / "wiki.tar"))}
    assert [path for path, reason in found.items() if not reason][:5] == [f"wiki/{i:03d}.md" for i in range(5)]
    assert found["wiki/wiki.tar"].startswith("damaged archive: ")


def test_nothing_of_an_archive_that_breaks_at_once_is_an_error(tmp_path: Path) -> None:
    path = _packed(tmp_path / "wiki.tar.gz", _pages(3))
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DataError, match=r"cannot (read the archive|be unpacked)"):
        list_files(_data(path))


def test_a_zip_member_whose_packing_is_damaged_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "wiki.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _pages(3).items():
            archive.writestr(name, content)
        start = archive.getinfo("001.md").header_offset + 36
    data = bytearray(path.read_bytes())
    data[start : start + 60] = b"\xff" * 60
    path.write_bytes(data)
    read = [read_file(file) for file in list_files(_data(path))]
    assert [one.status for one in read] == ["ok", "skipped", "ok"]
    assert read[1].reason.startswith("unreadable: ")


def test_a_link_within_a_packed_tar_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "wiki"
    folder.mkdir()
    (folder / "a.md").write_bytes(b"# A\n")
    (folder / "b.md").symlink_to("a.md")
    os.link(folder / "a.md", folder / "c.md")
    subprocess.run(["tar", "-C", tmp_path, "--sort=name", "-czf", tmp_path / "w.tar.gz", "wiki"], check=True)
    with keeping(tmp_path / "members"):
        found = list_files(_data(tmp_path / "w.tar.gz"))
    assert {f.path: f.reason for f in found} == {"w/wiki/a.md": "", "w/wiki/b.md": "link", "w/wiki/c.md": "link"}


def test_an_xz_that_wants_all_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray_ft.data.sources.unpacked.XZ_MEMORY", 2**20)
    path = tmp_path / "wiki.tar.xz"
    with lzma.open(path, "wb", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 2**24}]) as stream:
        stream.write(_tar(_pages(3)))
    with pytest.raises(DataError, match=r"cannot (read the archive|be unpacked)"):
        list_files(_data(path))
