"""The default engine is vLLM's where that can run, and transformers' elsewhere."""

from types import SimpleNamespace

import pytest
import ray
import torch

from ray_ft.config import parse_config
from ray_ft.engines import AutoEngine, TransformersEngine, VLLMEngine
from ray_ft.errors import ConfigError

MINIMAL = {"run_name": "x", "model": {"name": "m"}, "data": {"sources": ["docs"], "recipes": ["qa"]}}


@pytest.mark.parametrize(
    ("installed", "cluster", "local", "expected"),
    [
        (True, {"GPU": 2.0}, False, "vllm"),
        (True, {"CPU": 2.0}, True, "transformers"),  # a cluster without GPUs answers without
        (True, None, True, "vllm"),
        (True, None, False, "transformers"),
        (False, {"GPU": 2.0}, True, "transformers"),
    ],
)
def test_vllm_answers_where_it_is_installed_and_there_are_gpus(
    monkeypatch: pytest.MonkeyPatch, installed: bool, cluster: dict[str, float] | None, local: bool, expected: str
) -> None:
    monkeypatch.setattr("ray_ft.engines.auto.is_installed", lambda: installed)
    monkeypatch.setattr(ray, "is_initialized", lambda: cluster is not None)
    monkeypatch.setattr(ray, "cluster_resources", lambda: cluster)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: local)
    assert AutoEngine().resolved().name == expected
    assert AutoEngine().resolved().resolved() == AutoEngine().resolved()


def test_the_settings_of_auto_are_those_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = AutoEngine(dtype="bfloat16", batch_size=3, max_adapters=5)
    assert engine._engine(has_gpus=True) == VLLMEngine(dtype="bfloat16", batch_size=3, max_adapters=5)
    assert engine._engine(has_gpus=False) == TransformersEngine(dtype="bfloat16", batch_size=3, max_adapters=5)
    packed = AutoEngine(quantization="nf4")
    assert packed._engine(has_gpus=True) == TransformersEngine(quantization="nf4")


def test_auto_is_the_default_and_a_process_without_a_gpu_loads_transformers(
    tiny_model_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parse_config(MINIMAL).engine == AutoEngine()
    loaded = []
    monkeypatch.setattr(
        "ray_ft.engines.transformers.model.load_model", lambda *given, **more: loaded.append(given) or SimpleNamespace()
    )
    monkeypatch.setattr("ray_ft.engines.auto.is_installed", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    AutoEngine().load(tiny_model_path, {})
    assert loaded == [(tiny_model_path, {})]
    assert AutoEngine().writer_identity(tiny_model_path)["name"] == "transformers"


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ({"name": "transformers", "batch_size": 0}, r"engine\.batch_size: 0 must be at least 1"),
        ({"name": "vllm", "tensor_parallel": 0}, r"engine\.tensor_parallel: 0 must be at least 1"),
        ({"name": "vllm", "gpu_memory_fraction": 1.5}, r"engine\.gpu_memory_fraction: 1\.5 must be above 0"),
        ({"name": "vllm", "max_adapters": -1}, r"engine\.max_adapters: -1 must be at least 0"),
    ],
)
def test_values_out_of_range_are_named(engine: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config({**MINIMAL, "engine": engine})
    with pytest.raises(ConfigError, match=message.replace("engine", "data.generator", 1)):
        parse_config({**MINIMAL, "data": {**MINIMAL["data"], "generator": engine}})  # type: ignore[dict-item]
