"""prepare on archives, packed lines and large row groups: the set is that of the same content in files and lines."""

import gzip
import hashlib
import json
import logging
import random
import tarfile
from pathlib import Path

import pytest

from ray_ft.artifacts import TrainingSet
from ray_ft.config import DataConfig, DatasetConfig, ModelConfig
from ray_ft.data.prepare import datasets_digest, prepare_training_set, sources_digest
from ray_ft.recipes import Paragraph

pytestmark = pytest.mark.ray


def _prepare(data: DataConfig, output: Path, model_path: str) -> TrainingSet:
    inputs = sources_digest(data)["digest"] if data.sources else datasets_digest(data)["digest"]
    return prepare_training_set(
        data,
        model=ModelConfig(name="builtin:tiny", max_seq_len=256),
        model_path=model_path,
        output_path=str(output),
        seed=0,
        inputs_digest=inputs,
    )


def _contents(made: TrainingSet) -> dict[str, str]:
    files = sorted(p for p in Path(made.path).rglob("*") if p.is_file())
    return {str(p.relative_to(made.path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _words(draw: random.Random, number: int) -> str:
    return " ".join("".join(draw.choices("abcdefghilmnorstu", k=draw.randint(3, 9))) for _ in range(number))


def test_a_packed_tar_becomes_the_set_of_its_folder(ray_cluster: None, tiny_model_path: str, tmp_path: Path) -> None:
    draw, folder = random.Random(0), tmp_path / "wiki"
    folder.mkdir()
    for i in range(40):
        (folder / f"{i}.md").write_text(f"# Page {i}\n\n{_words(draw, 60)}\n")
    with tarfile.open(tmp_path / "packed.tar.gz", "w:gz") as archive:
        archive.add(folder, arcname=".")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "packed.tar.gz").rename(tmp_path / "elsewhere" / "wiki.tar.gz")
    sets = [
        _prepare(DataConfig(sources=(str(source),), recipes=(Paragraph(),)), tmp_path / name, tiny_model_path)
        for name, source in (("a", folder), ("b", tmp_path / "elsewhere" / "wiki.tar.gz"))
    ]
    assert sets[0].files == {"ok": 40}
    first, second = map(_contents, sets)
    assert {name: first[name] for name in first if name.startswith("shards/")} != {}
    differing = {name for name in first if first[name] != second.get(name)}
    assert differing <= {"manifest.json", "README.md"}  # which name the sources
    assert not list((tmp_path / "b.work").glob("scratch*"))


@pytest.mark.parametrize("kind", ["parquet", "jsonl.gz"])
def test_what_can_only_be_read_from_its_beginning_gives_what_its_lines_do(
    ray_cluster: None, tiny_model_path: str, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    draw = random.Random(0)
    rows = [{"text": _words(draw, 700)} for _ in range(600)]  # 3 MB in slices of half a MiB
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "chats.jsonl").write_bytes(lines)
    path = tmp_path / f"chats.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_bytes(gzip.compress(lines))
    made = []
    with caplog.at_level(logging.INFO, logger="ray_ft"):
        for name, source in (("a", tmp_path / "plain" / "chats.jsonl"), ("b", path)):
            made.append(_prepare(DataConfig(datasets=(DatasetConfig(str(source)),)), tmp_path / name, tiny_model_path))
    assert "into pieces" in caplog.text
    found = [
        {(e["completion"], e["split"]) for e in pq.read_table(Path(one.path) / "examples.parquet").to_pylist()}
        for one in made
    ]
    assert len(found[0]) == 600
    assert found[0] == found[1]
    assert made[0].num_examples == made[1].num_examples
