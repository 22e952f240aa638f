"""A set of files that changed while they were read is nobody's up-to-date set."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from ray_ft import api, artifacts
from ray_ft.api import data as data_module
from ray_ft.artifacts import TrainingSet, digest
from ray_ft.config import parse_config
from ray_ft.data import prepare as prepare_module
from ray_ft.errors import ConfigError


@pytest.mark.parametrize("has_changed", [False, True])
def test_a_set_of_other_content_than_was_listed_is_not_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_changed: bool
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# Ferry\n")
    raw = {
        "run_name": "r", "output_dir": str(tmp_path), "model": {"name": "builtin:tiny"},
        "data": {"sources": [str(tmp_path / "docs")], "recipes": [{"name": "paragraph"}]},
    }  # fmt: skip
    config = parse_config(raw)

    def made(*_: Any, output_path: str, inputs_digest: str, **__: Any) -> TrainingSet:
        Path(output_path).mkdir(parents=True)
        fingerprint = digest(inputs_digest, ["docs/a.md"]) if has_changed else inputs_digest
        return TrainingSet(
            path=output_path, recipes=(), num_documents={}, num_examples={}, num_rows={}, num_tokens={},
            num_target_tokens={}, num_questions=0, files={}, max_seq_len=64, tokenizer_digest="", template_digest="",
            data_digest="d", fingerprint=fingerprint,
        )  # fmt: skip

    monkeypatch.setattr(prepare_module, "prepare_training_set", made)
    monkeypatch.setattr(data_module, "ray_session", lambda config: nullcontext())
    monkeypatch.setattr(data_module, "base_path", lambda config, tokenizer_only: "")
    first = api.prepare(config)
    if has_changed:
        with pytest.raises(ConfigError, match=r"made from other data \(sources.changed_while_read: true -> null\)"):
            api.prepare(config)
    else:
        assert api.prepare(config) == first == artifacts.load(TrainingSet, config.run_path)
