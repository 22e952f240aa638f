"""Repositories, archives and URIs: the same files as from a folder, and nothing that should not be read."""

import io
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from ray_ft.config import DataConfig
from ray_ft.data.documents import SourceFile
from ray_ft.data.ingest.listing import list_files, sources_digest
from ray_ft.data.ingest.reading import read_file
from ray_ft.data.sources import read_bytes
from ray_ft.data.sources.archive import read_member
from ray_ft.errors import ConfigError, DataError

FILES = {
    "docs/a.md": b"# A\n",
    "docs/b.txt": "Straße".encode(),
    "src/c.py": b"x = 1\n",
    "node_modules/d.js": b"var x\n",
    "vendor/e.py": b"y = 1\n",
    "picture.png": b"\x89PNG",
}


def _data(source: Path | str, **settings: object) -> DataConfig:
    return DataConfig(sources=(str(source),), recipes=(), **settings)  # type: ignore[arg-type]


def _found(files: list[SourceFile]) -> dict[str, bytes | str]:
    return {f.path: f.reason or read_bytes(f.kind, f.location) for f in files}


def _expected(prefix: str) -> dict[str, bytes | str]:
    return {
        f"{prefix}/docs/a.md": b"# A\n",
        f"{prefix}/docs/b.txt": "Straße".encode(),
        f"{prefix}/picture.png": "unknown format",
        f"{prefix}/src/c.py": b"x = 1\n",
        f"{prefix}/vendor/e.py": "vendored",
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "ferry"
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def _git(folder: Path, *arguments: str) -> None:
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, env={**os.environ, **who})


@pytest.fixture
def repository(folder: Path) -> Path:
    _git(folder, "init", "-b", "main")
    (folder / "link.md").symlink_to("docs/a.md")
    _git(folder, "add", "-A")
    _git(folder, "commit", "-m", "first")
    _git(folder, "tag", "v1")
    (folder / "docs" / "a.md").write_bytes(b"# Changed\n")
    _git(folder, "commit", "-am", "second")
    (folder / "docs" / "a.md").write_bytes(b"# Not committed\n")
    return folder


def test_a_package_named_venv_is_read_and_an_environment_is_not(folder: Path) -> None:
    for name in ("src/venv/tools.py", "env/lib/site.py", "env/pyvenv.cfg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"z = 1\n")
    found = _found(list_files(_data(folder)))
    assert found == _expected("ferry") | {"ferry/src/venv/tools.py": b"z = 1\n"}


def test_a_repository_is_read_at_its_revision_whatever_is_checked_out(repository: Path) -> None:
    found = _found(list_files(_data(f"git+{repository}@v1")))
    assert found == _expected("ferry") | {"ferry/link.md": "link"}
    newest = list_files(_data(f"git+{repository}"))
    assert _found(newest)["ferry/docs/a.md"] == b"# Changed\n"
    assert read_file(newest[0]).status == "ok"


def test_a_revisions_digest_is_its_own(repository: Path) -> None:
    first = sources_digest(_data(f"git+{repository}@v1"))
    (repository / "docs" / "a.md").write_bytes(b"# Again\n")
    assert sources_digest(_data(f"git+{repository}@v1")) == first
    assert sources_digest(_data(f"git+{repository}@main"))["digest"] != first["digest"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("git+{repository}@nothing", "no revision 'nothing'"),
        ("git+{repository}@--all", "no revision '--all'"),
        ("git+/nowhere", "/nowhere is no folder"),
        ("git+{plain}", "not a git repository"),
    ],
)
def test_what_is_no_revision_is_named_in_one_line(repository: Path, tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "plain").mkdir()
    named = source.format(repository=repository, plain=tmp_path / "plain")
    with pytest.raises(ConfigError, match=message):
        list_files(_data(named))


def _tar(path: Path, mode: str, folder: Path) -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        archive.add(folder, arcname=".")
    return path


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_an_archive_gives_what_its_folder_would(
    tmp_path: Path, folder: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    path = tmp_path / f"ferry.{suffix}"
    if suffix == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in FILES.items():
                archive.writestr(name, content)
    else:
        _tar(path, "w:" + suffix.replace("tgz", "tar.gz").removeprefix("tar").removeprefix("."), folder)
    assert _found(list_files(_data(path))) == _expected("ferry")
    assert sources_digest(_data(path))["num_files"] == 3


def test_names_that_lead_out_of_an_archive_stay_below_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../../etc/a.md", "one")
        archive.writestr("/root/b.md", "two")
    assert [f.path for f in list_files(_data(tmp_path / "a.zip"))] == ["a/etc/a.md", "a/root/b.md"]


def test_links_and_devices_in_a_tar_are_not_read(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (("a.md", tarfile.REGTYPE), ("b.md", tarfile.SYMTYPE), ("c.md", tarfile.CHRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, "/etc/passwd" if kind == tarfile.SYMTYPE else "", 0
            archive.addfile(member, io.BytesIO())
    reasons = {f.path: f.reason for f in list_files(_data(tmp_path / "a.tar"))}
    assert reasons == {"a/a.md": "", "a/b.md": "link", "a/c.md": "no regular file"}


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray_ft.data.sources.unpacked.SMALL_BYTES", 2**20)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    content, path = b" " * 2**23, tmp_path / f"a.{suffix}"
    if suffix == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.md", content)
    else:
        with tarfile.open(path, "w:gz") as tar:
            member = tarfile.TarInfo("a.md")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    with pytest.raises(DataError, match="as archive bombs do"):
        list_files(_data(path))
    assert not [*tmp_path.glob("ray_ft-archives-*/*")]


def test_a_member_is_read_no_further_than_listed_and_damage_is_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.md", "words of the ferry")
    assert read_member(f"{tmp_path / 'a.zip'}::0:5") == b"words"
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[40] ^= 1  # in the member's content
    (tmp_path / "b.zip").write_bytes(data)
    (file,) = list_files(_data(tmp_path / "b.zip"))
    assert read_file(file).reason.startswith("unreadable: BadZipFile")


def test_archives_that_are_missing_or_damaged_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no archive"):
        list_files(_data(tmp_path / "none.zip"))
    for name in ("a.zip", "a.tar", "a.tar.gz"):
        (tmp_path / name).write_bytes(b"no archive at all")
        with pytest.raises(DataError, match=r"cannot (read the archive|be unpacked)"):
            list_files(_data(tmp_path / name))


def test_a_uri_gives_what_its_folder_would(folder: Path) -> None:
    assert _found(list_files(_data(folder.as_uri()))) == _expected("ferry")
    (one,) = list_files(_data((folder / "docs" / "a.md").as_uri()))
    assert (one.path, read_bytes(one.kind, one.location)) == ("a.md", b"# A\n")


def test_a_uri_in_memory_is_read_through_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    fs = fsspec.filesystem("memory")
    fs.pipe({f"/bucket/ferry/{name}": content for name, content in FILES.items()})
    try:
        assert _found(list_files(_data("memory://bucket/ferry"))) == _expected("ferry")
    finally:
        fs.rm("/bucket", recursive=True)


def test_what_cannot_be_listed_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing is at 'file:///.*nowhere'"):
        list_files(_data((tmp_path / "nowhere").as_uri()))
    with pytest.raises(ConfigError, match=r"data\.sources: 'nonsense://x'"):
        list_files(_data("nonsense://x"))


def test_include_and_size_limits_hold_for_every_kind_of_source(tmp_path: Path, folder: Path) -> None:
    files = list_files(_data(_tar(tmp_path / "ferry.tar", "w", folder), include=("docs/",), max_file_bytes=5))
    assert {f.path: f.reason for f in files} == {
        "ferry/docs/a.md": "",
        "ferry/docs/b.txt": "larger than data.max_file_bytes",
    }
