"""The proof that what is loaded is what was trained: it passes for the same weights alone."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from probed_adapter import write_probed_adapter

from ray_ft.engines import GenerateRequest, LoadedModel, TransformersEngine
from ray_ft.engines.probe import MAX_TOKENS, PROBE_FILE, Probe, arithmetic_of, read_probe, replay


@pytest.fixture(scope="module")
def adapters(tiny_model_path: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("probed")
    return {name: write_probed_adapter(tiny_model_path, folder / name, seed=i) for i, name in enumerate("ab")}


@pytest.fixture(scope="module")
def model(tiny_model_path: str, adapters: dict[str, str]) -> Iterator[LoadedModel]:
    model = TransformersEngine().load(tiny_model_path, adapters)
    yield model
    model.close()


def probe_of(folder: str | Path) -> Probe:
    probe = read_probe(Path(folder))
    assert probe is not None
    return probe


def test_the_adapter_that_was_trained_passes_and_no_other(model: LoadedModel, adapters: dict[str, str]) -> None:
    for name, folder in adapters.items():
        found = {asked: replay(model, asked, probe_of(folder), arithmetic="float32") for asked in adapters}
        assert found[name]["passed"]
        assert found[name]["mean_difference"] < 1e-4
        assert (found[name]["agreement"], found[name]["num_places"]) == (1.0, 12)
        (other,) = (asked for asked in adapters if asked != name)
        assert not found[other]["passed"]
        assert found[other]["mean_difference"] > 10 * found[other]["tolerance"]


def test_an_adapter_that_was_loaded_without_effect_is_told_from_rounding(
    model: LoadedModel, adapters: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = model.submit

    def base_alone(request: GenerateRequest, deliver: object) -> object:
        return original(GenerateRequest(**{**vars(request), "adapter": None}), deliver)  # type: ignore[arg-type]

    monkeypatch.setattr(model, "submit", base_alone)
    for arithmetic in ("float32", "16 bits", "quantised"):
        found = replay(model, "a", probe_of(adapters["a"]), arithmetic=arithmetic)
        assert not found["passed"]
        assert found["mean_difference"] == found["base_difference"]


def test_a_probe_asks_short_prompts_and_nothing_of_the_data(adapters: dict[str, str]) -> None:
    probe = probe_of(adapters["a"])
    assert max(len(place.prompt) for place in probe.places) <= MAX_TOKENS
    assert probe.about_base == {"base_model": "x"}
    assert len((Path(adapters["a"]) / PROBE_FILE).read_bytes()) < 20_000


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"places": []}', '{"places": [{"prompt": [], "likeliest": []}]}'])
def test_a_damaged_probe_is_no_proof(adapters: dict[str, str], tmp_path: Path, text: str) -> None:
    folder = Path(shutil.copytree(adapters["a"], tmp_path / "a"))
    (folder / PROBE_FILE).write_text(text)
    with pytest.raises(ValueError, match=r"probe\.json is damaged"):
        read_probe(folder)
    (folder / PROBE_FILE).unlink()
    assert read_probe(folder) is None


def test_the_coarser_arithmetic_counts(model: LoadedModel, adapters: dict[str, str]) -> None:
    found = replay(model, "a", probe_of(adapters["a"]), arithmetic=arithmetic_of("bfloat16", is_quantised=False))
    assert found["tolerance"] == 0.15
    assert json.dumps(found)
    kinds = [arithmetic_of(*k[:1], is_quantised=k[1]) for k in (("fp32", False), ("fp16", False), ("fp32", True))]
    assert kinds == ["float32", "16 bits", "quantised"]
