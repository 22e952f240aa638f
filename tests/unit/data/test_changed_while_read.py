"""A set is up to date where the sources hold what was read for it, whatever they held before and after."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from ray_ft import api, artifacts
from ray_ft.api import data as data_module
from ray_ft.artifacts import TrainingSet
from ray_ft.config import Config, parse_config
from ray_ft.data import prepare as prepare_module
from ray_ft.data.ingest.listing import sources_digest
from ray_ft.errors import ConfigError, DataError


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# Ferry\n")
    raw = {
        "run_name": "r", "output_dir": str(tmp_path), "model": {"name": "builtin:tiny"},
        "data": {"sources": [str(tmp_path / "docs")], "recipes": [{"name": "paragraph"}]},
    }  # fmt: skip
    monkeypatch.setattr(data_module, "ray_session", lambda config: nullcontext())
    monkeypatch.setattr(data_module, "base_path", lambda config, tokenizer_only: "")
    return parse_config(raw)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page that holds something else while a set is made of it, where its name is told to do so."""
    page = tmp_path / "docs" / "a.md"

    def made(
        data: Any, *, output_path: str, inputs_digest: Callable[[Mapping[str, Any]], str], begin: Any, **_: Any
    ) -> TrainingSet:
        begin()
        Path(output_path).mkdir(parents=True, exist_ok=True)
        before = page.read_text()
        if "for a moment" in before:
            page.write_text(before.replace("for a moment", "and then"))
        read = sources_digest(data)
        page.write_text(before)
        return TrainingSet(
            path=output_path, recipes=(), num_documents={}, num_examples={}, num_rows={}, num_tokens={},
            num_target_tokens={}, num_questions=0, files={}, max_seq_len=64, tokenizer_digest="", template_digest="",
            data_digest="d", fingerprint=inputs_digest(read),
        )  # fmt: skip

    monkeypatch.setattr(prepare_module, "prepare_training_set", made)
    return page


def test_a_set_of_what_the_sources_still_hold_is_up_to_date(config: Config, page: Path) -> None:
    first = api.prepare(config)
    assert api.prepare(config) == first == artifacts.load(TrainingSet, config.run_path)


def test_a_set_of_other_content_than_is_there_is_not_up_to_date(config: Config, page: Path) -> None:
    page.write_text("# Ferry, for a moment\n")
    api.prepare(config)
    with pytest.raises(ConfigError, match=r"made from other data \(sources.digest: "):
        api.prepare(config)


def test_a_forced_run_that_finds_nothing_to_read_leaves_the_set_that_is_there(
    config: Config, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = api.prepare(config)
    monkeypatch.undo()
    page.rename(page.with_suffix(".png"))
    monkeypatch.setattr(data_module, "base_path", lambda config, tokenizer_only: "")
    monkeypatch.setattr(prepare_module, "load_tokenizer", lambda *_: None)
    monkeypatch.setattr(prepare_module, "ChatEncoder", lambda *_, **__: None)
    monkeypatch.setattr(prepare_module, "template_problem", lambda *_: "")
    with pytest.raises(DataError, match="no file of"):
        api.prepare(config, force=True)
    assert artifacts.load(TrainingSet, config.run_path) == first
