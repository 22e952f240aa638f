"""What a job takes along, and what it refuses to."""

import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from ray_ft.config import parse_config
from ray_ft.data.ingest.listing import list_files
from ray_ft.data.prepare import files_read
from ray_ft.errors import ConfigError
from ray_ft.jobs.upload import CONFIG_FILE, pack_upload


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with documents, as the current one."""
    folder = tmp_path / "project"
    for name in (
        "docs/a.md",
        "docs/deep/b.md",
        "docs/draft.tmp",
        "docs/.git/HEAD",
        "docs/node_modules/x.md",
        "notes.md",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"# {name}\n")
    monkeypatch.chdir(folder)
    return folder


def _raw(folder: Path, data: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "run_name": "handbook",
        "output_dir": str(folder / "outputs"),
        "model": {"name": "builtin:tiny", **changes.pop("model", {})},
        "data": {"sources": ["docs"], "recipes": ["paragraph"], **data},
        **changes,
    }


def pack(folder: Path, verb: str = "prepare", max_bytes: int = 2**20, **changes: Any) -> tuple[list[str], bytes]:
    """Names in the upload except the configuration, and its bytes."""
    config = parse_config(_raw(folder, changes.pop("data", {}), **changes))
    archive = folder.parent / "job.zip"
    pack_upload(
        config,
        verb=verb,
        archive=archive,
        config_path="handbook.yaml",
        files_read=partial(files_read, config.data),
        max_bytes=max_bytes,
    )
    with zipfile.ZipFile(archive) as zipped:
        names = zipped.namelist()
    assert names[0] == CONFIG_FILE
    return names[1:], archive.read_bytes()


def test_the_relative_sources_travel_without_folders_of_other_tools(project: Path) -> None:
    names, _ = pack(project)
    assert names == ["docs/a.md", "docs/deep/b.md"]


def test_include_and_exclude_keep_files_at_home(project: Path) -> None:
    assert pack(project, data={"sources": ["docs"], "include": ["*.md"]})[0] == ["docs/a.md", "docs/deep/b.md"]
    assert pack(project, data={"sources": ["docs"], "exclude": ["*.tmp"]})[0] == ["docs/a.md", "docs/deep/b.md"]
    assert pack(project, data={"sources": ["docs"], "include": ["deep/"]})[0] == ["docs/deep/b.md"]


def test_an_earlier_run_below_the_sources_stays_behind(project: Path) -> None:
    (project / "outputs").mkdir()
    (project / "outputs" / "old.md").write_text("old")
    names, _ = pack(project, data={"sources": ["."]})
    assert "outputs/old.md" not in names
    assert "notes.md" in names


def test_a_verb_that_reads_no_sources_takes_none_along(project: Path) -> None:
    assert pack(project, verb="plan")[0] == []


def test_template_and_questions_travel_where_they_are_read(project: Path) -> None:
    (project / "chat.jinja").write_text("{{ messages }}")
    (project / "questions.jsonl").write_text("{}\n")
    changes: dict[str, Any] = {
        "model": {"name": "builtin:tiny", "chat_template": "chat.jinja"},
        "evaluation": {"questions": "questions.jsonl"},
    }
    assert pack(project, verb="evaluate", **changes)[0] == ["chat.jinja", "questions.jsonl"]
    assert pack(project, verb="train", model={"chat_template": "chat.jinja"})[0] == ["chat.jinja"]


def test_absolute_paths_are_left_to_the_cluster(project: Path) -> None:
    assert pack(project, data={"sources": [str(project / "docs"), "s3://bucket/docs"]})[0] == []


def test_the_packed_configuration_is_the_resolved_one(project: Path) -> None:
    pack(project, seed=7)
    with zipfile.ZipFile(project.parent / "job.zip") as zipped:
        raw = yaml.safe_load(zipped.read(CONFIG_FILE))
    config = parse_config(raw)
    assert config.seed == 7
    assert config.data.sources == ("docs",)
    assert config.output_dir == str(project / "outputs")


def test_unchanged_files_give_the_same_bytes(project: Path) -> None:
    _, first = pack(project)
    (project / "docs" / "a.md").touch()
    _, second = pack(project)
    assert first == second


def test_sources_that_prepare_would_skip_stay_behind(project: Path) -> None:
    (project / "docs" / "big.md").write_bytes(b"x" * 2000)
    (project / "docs" / "gone.md").symlink_to(project / "nowhere.md")
    names, _ = pack(project, data={"sources": ["docs"], "max_file_bytes": 1000})
    assert names == ["docs/a.md", "docs/deep/b.md"]


def test_what_prepare_does_not_read_stays_behind_and_what_it_reads_goes(project: Path) -> None:
    (project / "secret.md").write_text("# Not below the source\n")
    docs = project / "docs"
    for name in (".env", "id_rsa", "server.pem", "deep/.netrc", "LICENSE", "dump.sqlite"):
        (docs / name).write_text("TOKEN=not-for-others\n")
    (docs / "vendor").mkdir()
    (docs / "vendor" / "theirs.py").write_text("x = 1\n")
    (docs / ".gitattributes").write_text("gen/** linguist-generated\n")
    (docs / "out.md").symlink_to("../secret.md")
    (docs / "in.md").symlink_to("draft.tmp")
    (docs / "folder").symlink_to("..")
    settings: dict[str, Any] = {"sources": ["docs"]}
    read = {f.path for f in list_files(parse_config(_raw(project, settings)).data) if not f.reason}
    assert set(pack(project, data=settings)[0]) == read | {"docs/.gitattributes"}
    assert read == {"docs/a.md", "docs/deep/b.md", "docs/in.md"}
    named = {**settings, "licenses": ["MIT"]}  # which the licence file decides
    assert set(pack(project, data=named)[0]) == read | {"docs/.gitattributes", "docs/LICENSE"}


def test_of_a_dataset_its_own_files_go(project: Path) -> None:
    (project / "chats").mkdir()
    for name in ("a.jsonl", "notes.txt", ".env", ".hidden.jsonl"):
        (project / "chats" / name).write_text('{"text": "words"}\n')
    (project / "outside.jsonl").write_text('{"text": "not for others"}\n')
    (project / "chats" / "link.jsonl").symlink_to("../outside.jsonl")
    assert pack(project, data={"sources": [], "recipes": [], "datasets": ["chats"]})[0] == ["chats/a.jsonl"]


def test_of_a_model_no_hidden_file_goes(project: Path) -> None:
    (project / "base").mkdir()
    for name in ("config.json", "model.safetensors", ".env", ".git-credentials"):
        (project / "base" / name).write_text("{}")
    names, _ = pack(project, verb="train", model={"name": "base"})
    assert names == ["base/config.json", "base/model.safetensors"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("handbok", r"handbook.yaml: data.sources: handbok: no such file or folder in "),
        ("../other", r"handbook.yaml: data.sources: ../other lies outside of "),
    ],
)
def test_a_source_that_cannot_travel_is_named(project: Path, source: str, message: str) -> None:
    (project.parent / "other").mkdir()
    with pytest.raises(ConfigError, match=message):
        pack(project, data={"sources": [source]})


def test_an_upload_beyond_the_limit_is_refused_with_the_way_out(project: Path) -> None:
    import random

    (project / "docs" / "noise.md").write_bytes(random.Random(0).randbytes(2**20))  # noise does not compress
    with pytest.raises(ConfigError, match="larger than the 1 MiB that a job takes along; put the files on storage"):
        pack(project)
