"""Between runs stays what the next one can take over, and no group that is not whole."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from ray_ft.config import DataConfig
from ray_ft.data.build.job import RESULT
from ray_ft.data.build.plan import seen_fraction
from ray_ft.data.build.tidy import tidy
from ray_ft.data.documents import SourceFile
from ray_ft.data.ingest.items import Todo
from ray_ft.data.ingest.kept import find_kept
from ray_ft.data.ingest.listed import Listed
from ray_ft.data.ingest.stage import Work
from ray_ft.data.run.journal import Journal, read_journal
from ray_ft.data.run.lock import locked
from ray_ft.data.run.place import GROUPS, PARSED, SCRATCH
from ray_ft.errors import ConfigError

KEY, GONE = b"k" * 32, b"g" * 32


@pytest.fixture
def work(tmp_path: Path) -> Work:
    for name in ("live", "stale", "half.0.partial"):
        (tmp_path / GROUPS / name / "shards").mkdir(parents=True)
        (tmp_path / GROUPS / name / RESULT).write_text("{}")
    for key in (KEY, GONE):
        with Journal(tmp_path / PARSED, key.hex()[:4]) as journal:
            journal.done(key, (), "body")
    listed = Listed.of([Todo(KEY, SourceFile("a.md", "/a.md", 4))], tmp_path / SCRATCH)
    return Work(listed, find_kept(tmp_path / PARSED, listed.keys), tmp_path)


def test_groups_of_another_cut_and_documents_that_are_gone_are_removed(work: Work) -> None:
    tidy(work, ["live"], DataConfig())
    assert [folder.name for folder in (work.folder / GROUPS).iterdir()] == ["live"]
    assert [e.key for path in (work.folder / PARSED).iterdir() for e in read_journal(path)] == [KEY]


def test_nothing_stays_where_nothing_is_to_be_kept(work: Work) -> None:
    tidy(work, ["live"], DataConfig(keep_parsed=False))
    assert not work.folder.exists()


def test_a_group_whose_removal_is_killed_does_not_look_whole(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(folder: Path, **settings: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        tidy(work, ["live"], DataConfig())
    removed = [f for f in (work.folder / GROUPS).iterdir() if not (f / RESULT).exists()]
    assert len(removed) == 1
    assert removed[0].name != "live"


def test_two_runs_in_one_folder_do_not_clean_up_after_each_other(tmp_path: Path) -> None:
    folder = tmp_path / "data.work"
    said = r"another `ray-ft prepare` is at work in .*; wait for it"
    with locked(folder), pytest.raises(ConfigError, match=said), locked(folder):
        pass
    with locked(folder):
        pass


def test_about_as_many_files_get_as_many_questions() -> None:
    assert seen_fraction(5) == seen_fraction(512) == 1.0
    assert seen_fraction(1000) == 1000 / 1024  # the next power of two
    assert seen_fraction(5000) == seen_fraction(8000) == 1000 / 8192
