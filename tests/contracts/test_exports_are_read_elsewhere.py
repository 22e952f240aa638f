"""What is exported is read by other programs as they read the base, with the logits of the run's own engine.

transformers 4 is read from a folder, RAY_FT_TRANSFORMERS_4, that
`pip install --no-deps --target FOLDER 'transformers==4.57.*' 'huggingface_hub<1' 'tokenizers<0.23'` makes.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stacked import stacked_logits

from ray_ft.artifacts import TunedModel
from ray_ft.engines.transformers.base_weights import load_base
from ray_ft.models.folder import base_digest
from ray_ft.models.tokenizer import load_tokenizer, tokenizer_digest
from ray_ft.strategies import Full, LoRA, Strategy
from ray_ft.training.export.model_folder import export_model
from ray_ft.training.tuned_weights import write_adapter, write_model

pytestmark = pytest.mark.filterwarnings("ignore")

TEXT = "Run invctl backup every night."
SCALING = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
OLDER = """
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
found = {}
for path in sys.argv[1:]:
    tokenizer = AutoTokenizer.from_pretrained(path)
    ids = tokenizer("Run invctl backup every night.")["input_ids"]
    found[path] = {"ids": ids, "pad": tokenizer.pad_token, "template": bool(tokenizer.chat_template)}
    try:
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    except OSError:  # an adapter has no config.json
        continue
    with torch.no_grad():
        found[path]["logits"] = model(torch.tensor([ids])).logits[0].tolist()
print(json.dumps(found))
"""


@pytest.fixture(scope="module", params=["as transformers 4 wrote it", "as transformers 5 writes it"])
def base(request: pytest.FixtureRequest, tiny_model_path: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Llama 3.1 in small: theta 500000 with scaled frequencies, and weights in which these show."""
    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("base")
    shutil.copytree(tiny_model_path, folder, dirs_exist_ok=True)
    weights = load_file(folder / "model.safetensors")
    torch.manual_seed(1)
    weights = {name: w if w.dim() < 2 else w + 0.1 * torch.randn_like(w) for name, w in weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["rope_parameters"] = {**SCALING, "rope_theta": 500000.0}
    if "4" in request.param:
        del config["rope_parameters"], config["dtype"]
        config |= {"rope_theta": 500000.0, "rope_scaling": SCALING, "torch_dtype": "float32"}
        about = json.loads((folder / "tokenizer_config.json").read_text())
        named = {k: about[k] for k in ("bos_token", "eos_token", "pad_token", "model_max_length") if k in about}
        about = {**named, "tokenizer_class": "PreTrainedTokenizerFast"}
        (folder / "tokenizer_config.json").write_text(json.dumps(about))
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


@pytest.fixture(scope="module")
def exported(base: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An adapter, the same merged, and a model of which every weight was tuned."""
    folder = tmp_path_factory.mktemp("exported")
    adapter, whole = _tuned(LoRA(r=4), base, folder), _tuned(Full(), base, folder)
    return {
        "adapter": export_model(adapter, path=str(folder / "x-adapter")),
        "merged": export_model(adapter, path=str(folder / "x-merged"), merge=True),
        "whole": export_model(whole, path=str(folder / "x-whole")),
    }


@pytest.fixture(scope="module")
def own(base: str, exported: dict[str, Path]) -> dict[str, Any]:
    """Logits of the run's own engine: the adapter beside its base, and the whole model."""
    ids = _ids(base)
    loaded = load_base(base, dtype="float32", quantization="none")
    logits = stacked_logits(loaded, base, ids, str(exported["adapter"]))[0]
    whole = _logits(load_base(str(exported["whole"]), dtype="float32", quantization="none"), ids)
    return {"adapter": logits, "merged": logits, "whole": whole}


def _tuned(strategy: Strategy, base: str, folder: Path) -> TunedModel:
    """As training leaves it, with weights moved at random."""
    import torch

    torch.manual_seed(0)
    model: Any = strategy.load_model(base, dtype=torch.float32, device=torch.device("cpu"), seed=0)
    weights = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    for weight in weights.values():
        weight.add_(0.05 * torch.randn_like(weight))
    path = folder / strategy.name
    about = {"base_model": "acme/base", "base_digest": base_digest(base), "tokenizer_digest": tokenizer_digest(base)}
    if strategy.is_adapter:
        write_adapter(model, weights, path, about)
    else:
        write_model(model, weights, path, base, None)
    return TunedModel(
        base_model="acme/base", base_path=base, base_digest=about["base_digest"], path=str(path),
        is_adapter=strategy.is_adapter, strategy=strategy, metrics={}, steps=1, fingerprint="f",
    )  # fmt: skip


def _ids(path: Any) -> list[int]:
    return list(load_tokenizer(path)(TEXT)["input_ids"])


def _logits(model: Any, ids: list[int]) -> Any:
    import torch

    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float()


def _same(found: Any, expected: Any) -> None:
    import torch

    # The same sums in another order: fp32 rounding over four layers.
    torch.testing.assert_close(torch.as_tensor(found), expected, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("kind", ["merged", "whole"])
def test_transformers_5_reads_it(kind: str, base: str, exported: dict[str, Path], own: dict[str, Any]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert AutoTokenizer.from_pretrained(exported[kind])(TEXT)["input_ids"] == _ids(base)
    _same(_logits(AutoModelForCausalLM.from_pretrained(exported[kind]).eval(), _ids(base)), own[kind])


@pytest.mark.parametrize("kind", ["merged", "whole"])
def test_safetensors_alone_finds_the_base_s_names_and_shapes(kind: str, base: str, exported: dict[str, Path]) -> None:
    from safetensors.torch import load_file

    found, expected = load_file(exported[kind] / "model.safetensors"), load_file(Path(base) / "model.safetensors")
    assert {name: w.shape for name, w in found.items()} == {name: w.shape for name, w in expected.items()}


@pytest.mark.parametrize("kind", ["merged", "whole"])
def test_config_json_is_the_base_s_with_what_has_changed(kind: str, base: str, exported: dict[str, Path]) -> None:
    before, after = (json.loads((Path(p) / "config.json").read_text()) for p in (base, exported[kind]))
    assert {name: after[name] for name in before if name != "pad_token_id"} == {
        name: value for name, value in before.items() if name != "pad_token_id"
    }
    assert (after["rope_theta"], after["rope_scaling"]) == (500000.0, SCALING)


@pytest.mark.parametrize("kind", ["adapter", "merged", "whole"])
def test_the_tokenizer_has_a_class_that_both_releases_know(kind: str, base: str, exported: dict[str, Path]) -> None:
    about = json.loads((exported[kind] / "tokenizer_config.json").read_text())
    assert about["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert (exported[kind] / "tokenizer.json").read_bytes() == (Path(base) / "tokenizer.json").read_bytes()


def test_transformers_4_reads_it(base: str, exported: dict[str, Path], own: dict[str, Any]) -> None:
    older = os.environ.get("RAY_FT_TRANSFORMERS_4")
    if not older:
        pytest.skip("RAY_FT_TRANSFORMERS_4 names no folder with transformers 4")
    done = subprocess.run(
        [sys.executable, "-c", OLDER, *map(str, exported.values())],
        env=os.environ | {"PYTHONPATH": older},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    for kind, path in exported.items():
        read = found[str(path)]
        assert (read["ids"], read["pad"], read["template"]) == (_ids(base), "<|pad|>", True)
        if kind != "adapter":
            _same(read["logits"], own[kind])


@pytest.mark.parametrize("kind", ["merged", "whole"])
def test_vllm_reads_it(kind: str, base: str, exported: dict[str, Path], own: dict[str, Any]) -> None:
    vllm = pytest.importorskip("vllm", reason="vLLM is not installed")
    engine = vllm.LLM(model=str(exported[kind]), dtype="float32", enforce_eager=True, max_model_len=128)
    asked = vllm.SamplingParams(max_tokens=1, temperature=0.0, logprobs=1)
    answer = engine.generate({"prompt_token_ids": _ids(base)}, asked)[0].outputs[0]
    expected = own[kind][-1].log_softmax(-1)
    assert answer.token_ids[0] == int(expected.argmax())
    assert answer.logprobs[0][answer.token_ids[0]].logprob == pytest.approx(float(expected.max()), abs=2e-3)
