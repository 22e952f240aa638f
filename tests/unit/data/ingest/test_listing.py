"""Listing and reading: every file is accounted for, and a bad one gives a reason instead of an exception."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ray_ft.config import DataConfig
from ray_ft.data.ingest.listing import list_files, sources_digest
from ray_ft.data.ingest.reading import read_file
from ray_ft.errors import ConfigError, DataError


def _data(*sources: Path | str, **settings: object) -> DataConfig:
    return DataConfig(sources=tuple(str(s) for s in sources), recipes=(), **settings)  # type: ignore[arg-type]


def _write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def test_a_tree_is_listed_in_order_with_its_root_init_and_without_tools_folders(tmp_path: Path) -> None:
    root = _write(
        tmp_path / "pkg",
        {
            "__init__.py": "x = 1",
            "_private/a.py": "x = 1",
            "b.md": "b",
            ".git/HEAD": "x",
            "__pycache__/c.py": "x",
            "env/pyvenv.cfg": "x",
            "env/d.py": "x",
            "outputs/run/training_set.json": "{}",
            "outputs/run/report.html": "x",
            "x.egg-info/SOURCES.txt": "x",
        },
    )
    assert [f.path for f in list_files(_data(root))] == ["pkg/__init__.py", "pkg/_private/a.py", "pkg/b.md"]


def test_unknown_formats_and_large_files_are_listed_with_a_reason(tmp_path: Path) -> None:
    root = _write(tmp_path / "s", {"a.md": "text", "b.png": b"\x89PNG", "c.md": "x" * 100, "vendor/d.py": "x = 1"})
    reasons = {f.path: f.reason for f in list_files(_data(root, max_file_bytes=50))}
    assert reasons == {
        "s/a.md": "",
        "s/b.png": "unknown format",
        "s/c.md": "larger than data.max_file_bytes",
        "s/vendor/d.py": "vendored",
    }


def test_include_and_exclude_mean_what_they_mean_in_gitignore(tmp_path: Path) -> None:
    root = _write(tmp_path / "s", {"a.md": "x", "docs/b.md": "x", "docs/old/c.md": "x", "d.py": "x = 1"})
    files = list_files(_data(root, include=("*.md",), exclude=("docs/old/",)))
    assert [f.path for f in files] == ["s/a.md", "s/docs/b.md"]


def test_a_file_named_twice_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, {"docs/a.md": "x", "docs/sub/b.md": "x", "other/docs/a.md": "y"})
    (tmp_path / "docs" / "link.md").symlink_to("a.md")
    (tmp_path / "docs" / "loop").symlink_to(".")
    monkeypatch.chdir(tmp_path)
    assert [f.path for f in list_files(_data("docs", "./docs/sub", "docs/a.md"))] == ["docs/a.md", "docs/sub/b.md"]
    two = list_files(_data("docs", tmp_path / "other" / "docs"))
    assert [f.path for f in two] == ["docs/a.md", "docs/sub/b.md", "docs~2/a.md"]


def test_a_link_is_followed_within_its_source_alone(tmp_path: Path) -> None:
    root = _write(tmp_path / "s", {"a.md": "x", "deep/b.bin": "y"})
    _write(tmp_path, {"private.md": "z", "private/c.md": "z", "s2/d.md": "z"})
    for name, target in (
        ("out.md", "../private.md"),
        ("far.md", str(tmp_path / "private.md")),
        ("beside.md", "../s2/d.md"),  # its path begins as the source's
        ("deep/up.md", "../../private/c.md"),
        ("in.md", "deep/b.bin"),
        ("chain.md", "out.md"),
    ):
        (root / name).symlink_to(target)
    (root / "folder").symlink_to("../private")
    reasons = {f.path: f.reason for f in list_files(_data(root))}
    out = "link out of its source"
    assert reasons == {
        "s/a.md": "", "s/in.md": "", "s/deep/b.bin": "unknown format", "s/out.md": out, "s/far.md": out,
        "s/beside.md": out, "s/deep/up.md": out, "s/chain.md": out,
    }  # fmt: skip
    (tmp_path / "link").symlink_to("s")  # a source may be a link, as may a file that is one
    assert {f.path for f in list_files(_data(tmp_path / "link")) if not f.reason} == {"s/a.md", "s/in.md"}
    (tmp_path / "named.md").symlink_to("private.md")
    assert [f.reason for f in list_files(_data(tmp_path / "named.md"))] == [""]


def test_a_link_in_the_place_of_a_listed_file_is_not_followed(tmp_path: Path) -> None:
    root = _write(tmp_path / "s", {"a.md": "x", "b.md": "y"})
    _write(tmp_path, {"private.md": "z"})
    files = list_files(_data(root))
    (root / "a.md").unlink()
    (root / "a.md").symlink_to("../private.md")
    assert [read_file(f).reason for f in files] == ["unreadable: Too many levels of symbolic links", ""]


def test_a_folder_that_cannot_be_looked_into_is_accounted_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, whom no mode stops: the system's answer is put in its place."""
    root = _write(tmp_path / "s", {"a.md": "Ferry", "locked/b.md": "Harbour"})

    def refused(ask: Callable[..., Any]) -> Callable[..., Any]:
        def answer(path: Any, *given: Any, **named: Any) -> Any:
            looks_into = ask is scandir or Path(path).name != "locked"
            if looks_into and "locked" in Path(path).parts:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return ask(path, *given, **named)

        return answer

    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", refused(os.scandir))
    monkeypatch.setattr(os, "stat", refused(os.stat))
    found = {Path(f.path).name: f.reason for f in list_files(_data(root))}
    assert found == {"a.md": "", "locked": "a folder that cannot be read"}
    assert [Path(f.path).name for f in list_files(_data(root, exclude=("locked/",)))] == ["a.md"]
    with pytest.raises(ConfigError, match=r"cannot read '.*locked' \(Permission denied, from "):
        list_files(_data(root / "locked"))


def test_a_single_file_may_be_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, {"notes/a.md": "x"})
    monkeypatch.chdir(tmp_path)
    assert [f.path for f in list_files(_data("notes/a.md"))] == ["notes/a.md"]


def test_a_missing_source_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"^data\.sources: cannot read 'nowhere' \(No such file or directory, from .*$"
    ):
        list_files(_data("nowhere"))


def test_a_source_without_files_or_without_readable_ones_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"'.*empty' holds no files; ray_ft reads .*\.md"):
        sources_digest(_data(tmp_path / "empty"))
    _write(tmp_path / "pictures", {"a.png": b"x", "b.png": b"x"})
    with pytest.raises(DataError, match=r"no file of '.*pictures' can be used \(2 unknown format\)"):
        sources_digest(_data(tmp_path / "pictures"))
    with pytest.raises(DataError, match=r"holds no files that data\.include and data\.exclude leave"):
        sources_digest(_data(tmp_path / "pictures", include=("*.md",)))


def test_the_digest_follows_content_and_names_not_times(tmp_path: Path) -> None:
    root = _write(tmp_path / "s", {"a.md": "one", "b.md": "two", "c.png": b"x"})
    before = sources_digest(_data(root))
    assert (before["num_files"], before["num_bytes"]) == (2, 6)
    os.utime(root / "a.md", (0, 0))
    _write(root, {"c.png": b"changed"})
    assert sources_digest(_data(root)) == before
    _write(root, {"a.md": "1ne"})
    assert sources_digest(_data(root))["digest"] != before["digest"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.md", b"\x89PNG\r\n\x1a\n\0\0\0\0", "binary"),
        ("a.md", b"", "empty"),
        ("a.md", b"  \n\n", "empty"),
        ("a.html", b"<html><script>x</script></html>", "no text"),
        ("a.py", b"# Code generated by x. DO NOT EDIT.\n", "generated"),
    ],
)
def test_files_that_hold_nothing_to_read_are_skipped_with_a_reason(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    root = _write(tmp_path / "s", {name: content, "ok.md": "text"})
    read = {f.path: read_file(f) for f in list_files(_data(root))}[f"s/{name}"]
    assert (read.status, read.reason, read.document) == ("skipped", reason, None)


def test_files_that_cannot_be_opened_are_skipped_with_a_reason(tmp_path: Path) -> None:
    root = _write(tmp_path / "s", {"ok.md": "text", "gone.md": "text"})
    (root / "broken.md").symlink_to("nothing.md")
    os.mkfifo(root / "pipe.md")
    files = list_files(_data(root))
    (root / "gone.md").unlink()
    assert {f.path: read_file(f).reason for f in files} == {
        "s/broken.md": "unreadable: No such file or directory",
        "s/gone.md": "unreadable: No such file or directory",
        "s/ok.md": "",
        "s/pipe.md": "not a regular file",
    }


def test_text_in_another_encoding_is_read_and_the_encoding_noted(tmp_path: Path) -> None:
    text = "Die Fähre fährt über die Straße und zurück, täglich und bei jedem Wetter."
    root = _write(tmp_path / "s", {"a.txt": text.encode("cp1252")})
    read = read_file(list_files(_data(root))[0])
    assert read.document is not None
    assert (read.document.text, read.encoding) == (text, "cp1252")


def test_a_name_that_is_no_utf_8_is_shown_with_marks_and_still_read(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / os.fsdecode(b"caf\xe9.md")).write_text("text")
    (file,) = list_files(_data(tmp_path / "s"))
    assert file.path == "s/caf\ufffd.md"
    assert read_file(file).status == "ok"


def test_an_id_holds_content_and_path(tmp_path: Path) -> None:
    root = _write(tmp_path / "s", {"a.md": "same", "b.md": "same"})
    a, b = (read_file(f).document for f in list_files(_data(root)))
    assert a is not None
    assert b is not None
    # sha256("same")[:16], and what follows differs.
    assert (a.id, b.id) == ("0967115f2813a354:s/a.md", "0967115f2813a354:s/b.md")


def test_files_come_in_the_order_of_their_paths_and_a_link_to_a_listed_one_does_not(tmp_path: Path) -> None:
    names = ("a.md", "a/b.md", "a-b.md", "a/b/c.md", "B.md", "z.md", "old/y.md")
    root = _write(tmp_path / "s", dict.fromkeys(names, "x"))
    (root / "0.md").symlink_to("z.md")  # it comes before what it leads to
    (root / "1.md").symlink_to("old/y.md")
    (root / "2.md").symlink_to("old/y.md")
    listed = [f.path for f in list_files(_data(root))]
    assert listed == sorted(f"s/{name}" for name in names)
    # What is left out under its own name is read once under a link's.
    kept = [f.path for f in list_files(_data(root, exclude=("old/",)))]
    assert kept == sorted([f"s/{name}" for name in names if name != "old/y.md"] + ["s/1.md"])
