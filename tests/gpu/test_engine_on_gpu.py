"""The transformers engine on a GPU: recorded steps and the decode kernel answer as plain transformers and PEFT do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from random_adapter import write_random_adapter

from ray_ft.engines import GenerateRequest, LoadedModel, TransformersEngine

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")]
NUM_TOKENS = 24
PROMPTS = [tuple(range(5, 5 + length)) for length in (3, 40, 150, 17, 80)]


@pytest.fixture(scope="module")
def adapters(tiny_model_path: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("adapters")
    return {f"a{i}": write_random_adapter(tiny_model_path, folder / f"a{i}", seed=i, r=4 + 4 * i) for i in range(3)}


@pytest.fixture(scope="module")
def model(tiny_model_path: str, adapters: dict[str, str]) -> Iterator[LoadedModel]:
    loaded = TransformersEngine(dtype="float32").load(tiny_model_path, adapters)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def oracle(tiny_model_path: str, adapters: dict[str, str]) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny_model_path, dtype=torch.float32).cuda()
    tuned: Any = PeftModel.from_pretrained(base, adapters["a0"], adapter_name="a0")
    for name in ("a1", "a2"):
        tuned.load_adapter(adapters[name], adapter_name=name)
    return tuned.eval()


def plainly(oracle: Any, prompt: tuple[int, ...], adapter: str | None) -> list[int]:
    ids = torch.tensor([prompt], device="cuda")
    asked = {"max_new_tokens": NUM_TOKENS, "min_new_tokens": NUM_TOKENS, "do_sample": False}
    if adapter is None:
        with oracle.disable_adapter():
            out = oracle.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **asked)
    else:
        oracle.set_adapter(adapter)
        out = oracle.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **asked)
    return out[0, len(prompt) :].tolist()


@pytest.mark.parametrize("adapter", [None, "a0", "a2"])
def test_a_single_answer_is_plain_transformers(model: LoadedModel, oracle: Any, adapter: str | None) -> None:
    request = GenerateRequest(PROMPTS[1], adapter=adapter, max_new_tokens=NUM_TOKENS, ignore_end=True)
    assert list(model.generate([request])[0].token_ids) == plainly(oracle, PROMPTS[1], adapter)


def test_many_answers_of_base_and_adapters_are_those_of_each_alone(model: LoadedModel, oracle: Any) -> None:
    asked = [(prompt, adapter) for prompt in PROMPTS for adapter in (None, "a0", "a1", "a2")]
    requests = [GenerateRequest(p, adapter=a, max_new_tokens=NUM_TOKENS, ignore_end=True) for p, a in asked]
    together = [list(result.token_ids) for result in model.generate(requests)]
    expected = [plainly(oracle, *one) for one in asked]
    # float32 on a GPU sums in another order for another batch, which may tip a near tie
    assert sum(a == b for a, b in zip(together, expected, strict=True)) >= len(asked) - 1


def test_steps_are_recorded(model: LoadedModel) -> None:
    graphs = model._scheduler._passes.graphs  # type: ignore[attr-defined]
    assert {has_adapters for _, has_adapters in graphs._recorded} == {False, True}


def test_an_adapter_that_comes_later_answers_and_the_others_go_on(
    model: LoadedModel, oracle: Any, tiny_model_path: str, tmp_path: Path
) -> None:
    late = write_random_adapter(tiny_model_path, tmp_path / "late", seed=9, r=64)
    model.load_adapter("late", late)
    requests = [
        GenerateRequest(PROMPTS[1], adapter=name, max_new_tokens=NUM_TOKENS, ignore_end=True)
        for name in ("late", "a0", None)
    ]
    answers = [list(result.token_ids) for result in model.generate(requests)]
    assert answers[1:] == [plainly(oracle, PROMPTS[1], name) for name in ("a0", None)]
    assert answers[0] not in answers[1:]
    model.unload_adapter("late")
    assert "late" not in model.status().adapters


def test_likelihoods_are_those_of_a_cpu(model: LoadedModel, tiny_model_path: str) -> None:
    text = "def release(lock):\n    return lock.release()\n" * 20
    with_cpu = TransformersEngine(dtype="float32")
    found = model.negative_log_likelihood([text], adapter=None)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        on_cpu = with_cpu.load(tiny_model_path, {})
    assert found == pytest.approx(on_cpu.negative_log_likelihood([text], adapter=None)[0], rel=1e-4)
