"""Files packed alone, and those whose first line alone tells what they are."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from ray_ft.config import DataConfig
from ray_ft.data.documents import SourceFile
from ray_ft.data.formats import format_of
from ray_ft.data.formats.base import Unreadable
from ray_ft.data.ingest import packed
from ray_ft.data.ingest.listing import list_files, source_files
from ray_ft.data.ingest.reading import read_file

PAGE = b"# Title\n\nSome words.\n"
PACKERS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def read(path: Path) -> tuple[str, str, str]:
    """(status, reason, format) of a file."""
    found = read_file(SourceFile(path.name, str(path), path.stat().st_size))
    return found.status, found.reason, found.document.format if found.document else ""


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_packed_file_is_read_as_what_it_holds(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"page.md{suffix}"
    path.write_bytes(PACKERS[suffix](PAGE) + PACKERS[suffix](b"\nMore words.\n"))
    found = read_file(SourceFile(path.name, str(path), path.stat().st_size))
    assert found.document is not None
    assert [b.text for b in found.document.blocks] == ["Title", "Some words.", "More words."]
    assert found.document.format == "markdown"


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_packed_file_that_is_cut_or_no_such_file_is_put_aside(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"page.md{suffix}"
    for data in (PACKERS[suffix](PAGE * 100)[:-12], b"no stream", PACKERS[suffix](PAGE) + b"trailing"):
        path.write_bytes(data)
        assert read(path)[:2] == ("quarantined", "damaged")


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_packed_file_that_swells_is_not_unpacked(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "MAX_UNPACKED_BYTES", 1000)
    assert packed.unpacked(PACKERS[suffix](b"x" * 1000), suffix) == b"x" * 1000
    with pytest.raises(Unreadable, match="unpacks to too much"):
        packed.unpacked(PACKERS[suffix](b"x" * 1001), suffix)


def test_packed_formats_are_those_that_are_read_plain() -> None:
    assert format_of("a.tar.gz") is None
    assert format_of("a.png.gz") is None
    kind = format_of("x/a.py.gz")
    assert kind is not None
    assert (kind.language, kind.packed) == ("python", ".gz")


@pytest.mark.parametrize(
    ("first", "language"),
    [
        ("#!/bin/sh", "bash"), ("#!/usr/bin/env python3", "python"), ("#! /usr/bin/env -S node --x", "javascript"),
        ("#!/usr/bin/python3.11", "python"), ("#!/usr/bin/perl -w", "perl"), ("#!/usr/bin/awk -f", ""), ("hello", ""),
    ],
)  # fmt: skip
def test_a_script_without_a_suffix_is_known_by_its_first_line(first: str, language: str) -> None:
    kind = format_of("bin/deploy", first.encode() + b"\nrest\n")
    assert (kind.language if kind is not None else "") == language
    assert format_of("bin/deploy") is None


def test_a_folder_lists_its_scripts_and_no_other_file_without_a_suffix(tmp_path: Path) -> None:
    (tmp_path / "deploy").write_text("#!/bin/bash\n# Deploys.\ndeploy() {\n  echo hi\n}\n")
    (tmp_path / "id_rsa").write_text("-----BEGIN KEY-----\n")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "Dockerfile.prod").write_text("FROM scratch\n")
    files = {Path(file.path).name: file.reason for file in list_files(DataConfig(sources=[str(tmp_path)]))}
    assert files == {"deploy": "", "id_rsa": "unknown format", "Dockerfile": "", "Dockerfile.prod": ""}
    uploaded = {path.name for path, reason in source_files(str(tmp_path), DataConfig()) if not reason}
    assert uploaded == {"deploy", "Dockerfile", "Dockerfile.prod"}
    assert read(tmp_path / "deploy") == ("ok", "", "bash")
    assert read(tmp_path / "id_rsa") == ("skipped", "unknown format", "")
