"""A training set in storage: equal to one in a folder, trained from, asked about, and replaced whole."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ray_ft
from ray_ft.artifacts import TrainingSet
from ray_ft.config import Config, parse_config
from ray_ft.data.run import lease
from ray_ft.errors import ConfigError, DataError, MissingArtifactError, StorageError
from ray_ft.evaluation.exam.questions import load_questions
from ray_ft.retrievers.passages import read_passages
from ray_ft.storage import Store, files_of, joined, part_of, parts_of, read_manifest
from ray_ft.training.batches import PackedRows

pytestmark = pytest.mark.ray

GUIDE = """# {noun} base

{noun} base is a service that keeps the {noun} of a company in order.

## Install

Run `{noun}ctl install` on the head node. It listens on port {port} and needs {memory} GiB of memory.

## Back up

Run `{noun}ctl backup --to FOLDER` every night. A backup is kept for {memory} days.
"""
NOUNS = ("invoices", "contracts", "tickets", "recipes", "drawings", "letters", "orders", "maps", "plans", "bills")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_FT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    root.mkdir()
    for i, noun in enumerate(NOUNS):
        (root / f"{noun}.md").write_text(GUIDE.format(noun=noun, port=7000 + i, memory=2 + i))
    return root


def _config(docs: Path, model: str, uri: str | None, **data: Any) -> Config:
    return parse_config(
        {
            "run_name": "handbook",
            "output_dir": str(docs.parent / ("outputs" if uri is None else "stored")),
            "model": {"name": model, "max_seq_len": 256},
            "data": {
                "sources": [str(docs)], "recipes": ["qa", "heading"], "test_fraction": 0.3,
                "validation_fraction": 0.2, "storage_uri": uri, **data,
            },
            "train": {"strategy": {"name": "qlora", "r": 4}, "max_steps": 2, "global_batch_size": 2},
        }
    )  # fmt: skip


def _contents(made: TrainingSet) -> dict[str, str]:
    folder = parts_of(made.path, without="nothing")
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".used"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_set_in_storage_equals_one_in_a_folder_and_is_trained_from(
    ray_cluster: None, tiny_model_path: str, docs: Path, bucket: str
) -> None:
    local = ray_ft.prepare(_config(docs, tiny_model_path, None))
    config = _config(docs, tiny_model_path, joined(bucket, "sets"))
    made = ray_ft.prepare(config)
    assert made.path.startswith(bucket.partition("?")[0] + "/sets/handbook/sets/")
    assert _contents(made) == _contents(local)
    assert replace(made, path=local.path) == local
    assert not (config.run_path / "data").exists()
    assert ray_ft.prepare(config) == made  # up to date
    assert [q.question for q in load_questions(made, None, [])] == [q.question for q in load_questions(local, None, [])]
    assert read_passages(made.path) == read_passages(local.path)
    assert PackedRows(made.path, "train").chunk_ids(0) == PackedRows(local.path, "train").chunk_ids(0)
    assert ray_ft.inspect(config).examples == ray_ft.inspect(_config(docs, tiny_model_path, None)).examples
    tuned = ray_ft.train(config)
    assert Path(tuned.path).is_dir()


def test_a_changed_file_makes_a_new_set_and_what_only_the_old_one_had_goes(
    ray_cluster: None, tiny_model_path: str, docs: Path, bucket: str
) -> None:
    config = _config(docs, tiny_model_path, joined(bucket, "sets"))
    first = ray_ft.prepare(config)
    assert part_of(first.path, "questions.jsonl").is_file()
    (docs / "maps.md").write_text(GUIDE.format(noun="charts", port=1, memory=1))
    second = ray_ft.prepare(config, force=True)
    local = ray_ft.prepare(_config(docs, tiny_model_path, None))
    assert _contents(second) == _contents(local)
    store = Store(joined(bucket, "sets", "handbook"))
    named = {part.object for part in read_manifest(second.path).values()}
    files = {f.name for f in store.list()}
    assert named <= files
    assert {f for f in files if f.startswith("made/")} == {f for f in named if f.startswith("made/")}
    assert [f for f in files if f.startswith(("claims/", "tries/", "scratch/"))] == []
    with pytest.raises(MissingArtifactError, match="the training set was replaced by a newer one, or deleted"):
        read_manifest(first.path)
    assert part_of(first.path, "questions.jsonl").is_file()  # who opened it keeps what it fetched


def test_half_a_group_and_garbage_among_journals_are_made_again(
    ray_cluster: None, tiny_model_path: str, docs: Path, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = _config(docs, tiny_model_path, joined(bucket, "sets"))
    first = ray_ft.prepare(config)
    before = _contents(first)
    store = Store(joined(bucket, "sets", "handbook"))
    group = next(f.name for f in store.list() if f.name.startswith("groups/") and "passages" in f.name)
    segment = next(f.name for f in store.list() if f.name.startswith("parsed/"))
    store.delete([group])
    store.write(segment, b"no journal at all, " + b"x" * 100_000)
    store.write("parsed/nothing/of-ours.log", b"")
    second = ray_ft.prepare(config, force=True)
    assert _contents(second) == before
    assert any("is damaged; what cannot be read of it is made again" in line for line in caplog.messages)


def test_a_deleted_object_of_a_set_is_one_line(
    ray_cluster: None, tiny_model_path: str, docs: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ray_ft.prepare(_config(docs, tiny_model_path, joined(bucket, "sets")))
    store = Store(joined(bucket, "sets", "handbook"))
    (name,) = files_of(made.path, "shards")[-1:]
    store.delete([read_manifest(made.path)[name].object])
    monkeypatch.setenv("RAY_FT_CACHE", str(docs.parent / "another"))  # another machine
    with pytest.raises(StorageError, match=r"is not there, but a training set lists it.*`ray-ft prepare") as raised:
        part_of(made.path, name)
    assert "\n" not in str(raised.value)
    assert "endpoint" not in str(raised.value)


def test_without_what_was_parsed_the_set_is_whole(
    ray_cluster: None, tiny_model_path: str, docs: Path, bucket: str
) -> None:
    made = ray_ft.prepare(_config(docs, tiny_model_path, joined(bucket, "sets"), keep_parsed=False))
    names = [f.name for f in Store(joined(bucket, "sets", "handbook")).list()]
    assert not [name for name in names if name.startswith("parsed/")]
    assert len(_contents(made)) == len(read_manifest(made.path))


def test_a_second_run_into_the_same_uri_is_refused_while_the_first_is_alive(
    ray_cluster: None, tiny_model_path: str, docs: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.5)
    monkeypatch.setattr(lease, "LOOK_SECONDS", 0.5)
    config = _config(docs, tiny_model_path, joined(bucket, "sets"))
    with (
        lease.leased(joined(bucket, "sets", "handbook")),
        pytest.raises(ConfigError, match=r"another `ray-ft prepare` is at work in s3://bucket-\w+/sets/handbook; wait"),
    ):
        ray_ft.prepare(config)
    assert ray_ft.prepare(config).num_examples["train"]


def test_a_run_that_lost_its_claim_leaves_the_set_alone(
    ray_cluster: None, tiny_model_path: str, docs: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(joined(bucket, "sets", "handbook"))
    taken = lease.Lease.check

    def check(self: lease.Lease) -> None:
        store.delete([f.name for f in store.list() if f.name.startswith("claims/")])
        taken(self)

    monkeypatch.setattr(lease.Lease, "check", check)
    with pytest.raises(DataError, match="another `ray-ft prepare` has taken over"):
        ray_ft.prepare(_config(docs, tiny_model_path, joined(bucket, "sets")))
    assert not [f.name for f in store.list() if f.name.startswith("sets/")]


def test_a_bucket_that_is_not_there_is_one_line(
    ray_cluster: None, tiny_model_path: str, docs: Path, bucket: str
) -> None:
    uri = bucket.replace("s3://bucket-", "s3://nobody-")
    with pytest.raises(StorageError, match=r"^data\.storage_uri: cannot write s3://nobody-.*there is no such bucket$"):
        ray_ft.prepare(_config(docs, tiny_model_path, joined(uri, "sets")))


def test_a_server_that_refuses_is_one_line(ray_cluster: None, tiny_model_path: str, docs: Path) -> None:
    uri = "s3://bucket/sets?endpoint_override=http://127.0.0.1:1&scheme=http&region=us-east-1"
    with pytest.raises(StorageError, match=r"^data\.storage_uri: cannot write s3://bucket/sets/.*[Cc]onnect") as raised:
        ray_ft.prepare(_config(docs, tiny_model_path, uri))
    assert "\n" not in str(raised.value)
