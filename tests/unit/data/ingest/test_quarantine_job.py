"""Files that fail, in a whole job: the set is made without them, they are listed, and tried again when asked.

The job runs without a cluster: what Ray would map over rows is called on them, one after the other.
"""

import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pdf_files import manual

from ray_ft.artifacts import TrainingSet
from ray_ft.config import DataConfig, ModelConfig
from ray_ft.data.build.publish import QUARANTINE
from ray_ft.data.prepare import prepare_training_set
from ray_ft.recipes import Paragraph


@pytest.fixture(autouse=True)
def without_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_here(rows: list[dict[str, Any]], function: Any, job: Any, **_: Any) -> Iterator[str]:
        for row in rows:
            yield function(row, job=job)["result"]

    monkeypatch.setattr("ray_ft.data.ingest.stage.run_tasks", run_here)
    monkeypatch.setattr("ray_ft.data.build.stage.run_tasks", run_here)
    monkeypatch.setattr("ray_ft.data.ingest.stage.num_cpus", lambda: 1)


def _prepare(archive: Path, output: Path, model_path: str, *, retry_quarantined: bool = False) -> TrainingSet:
    return prepare_training_set(
        DataConfig(sources=(str(archive),), recipes=(Paragraph(),), validation_fraction=0.1, test_fraction=0.2),
        model=ModelConfig(name="builtin:tiny", max_seq_len=256),
        model_path=model_path,
        output_path=str(output),
        seed=0,
        inputs_digest="fingerprint",
        retry_quarantined=retry_quarantined,
    )


def test_an_archive_with_bad_files_becomes_a_set_and_its_quarantine_can_be_retried(
    tmp_path: Path, tiny_model_path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with zipfile.ZipFile(tmp_path / "wiki.zip", "w") as archive:
        for i in range(12):
            archive.writestr(f"page_{i}.md", f"# Page {i}\n\nRoute {i} takes {20 + i} minutes in summer.\n")
        archive.writestr("manual.pdf", manual(3))
        archive.writestr("torn.pdf", manual(3)[:500])
        archive.writestr("torn.docx", b"PK\x03\x04 and no more")
    made = _prepare(tmp_path / "wiki.zip", tmp_path / "data", tiny_model_path)
    assert made.files == {"ok": 13, "quarantined: damaged": 2}
    rows = pq.read_table(tmp_path / "data" / QUARANTINE).to_pylist()
    assert {row["path"]: row["reason"] for row in rows} == dict.fromkeys(("wiki/torn.docx", "wiki/torn.pdf"), "damaged")

    with caplog.at_level(logging.INFO, logger="ray_ft"):
        again = _prepare(tmp_path / "wiki.zip", tmp_path / "data", tiny_model_path, retry_quarantined=True)
    assert "taking over 13 of 15 files, reading 2" in caplog.text
    assert (again.files, again.data_digest) == (made.files, made.data_digest)
