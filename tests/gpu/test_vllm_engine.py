"""The engine on vLLM as it is on a GPU: adapters mixed, what it is asked for, scores, and adapters that come and go.

A small Llama learns a text by heart first, so that its next token is sure enough for 16 bits.
"""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from random_adapter import write_random_adapter

from ray_ft.engines import GenerateRequest, LoadedModel, TextDelta, TransformersEngine, VLLMEngine
from ray_ft.engines.vllm.versions import is_installed
from ray_ft.errors import GenerationError, ModelError

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU"),
    pytest.mark.skipif(not is_installed(), reason="needs vLLM"),
]

TEXT = (
    "def release(lock):\n    if lock.owner is None:\n        raise RuntimeError('not locked')\n    lock.owner = None\n"
)
NAMES: tuple[str | None, ...] = (None, "a", "b")
SECONDS = 60.0
NUM_TOKENS = 24


@pytest.fixture(scope="module")
def folder(tiny_model_path: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Llama with heads of 64 and the tokenizer of builtin:tiny, that knows TEXT."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    path = tmp_path_factory.mktemp("vllm") / "model"
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_path)
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=512, intermediate_size=1024, num_hidden_layers=4, num_attention_heads=8, num_key_value_heads=4,
        vocab_size=4096, max_position_embeddings=4096, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = LlamaForCausalLM(config).cuda()
    ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer.encode(TEXT * 3, add_special_tokens=False)]]).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(80):
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    model.to(torch.bfloat16).save_pretrained(path)
    tokenizer.save_pretrained(path)
    del model, optimizer
    torch.cuda.empty_cache()
    return str(path)


@pytest.fixture(scope="module")
def adapters(folder: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = tmp_path_factory.mktemp("adapters")
    return {
        "a": write_random_adapter(folder, path / "a", seed=1, r=8, std=0.1),
        "b": write_random_adapter(folder, path / "b", seed=2, r=16, std=0.1),
    }


@pytest.fixture(scope="module")
def model(folder: str, adapters: dict[str, str]) -> Iterator[LoadedModel]:
    engine = VLLMEngine(
        dtype="bfloat16", eager=True, tensor_parallel=1, gpu_memory_fraction=0.2, max_adapters=2, max_adapter_rank=16
    )
    loaded = engine.load(folder, adapters)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def plain(folder: str, adapters: dict[str, str]) -> Iterator[LoadedModel]:
    loaded = TransformersEngine(dtype="bfloat16").load(folder, adapters)
    yield loaded
    loaded.close()


def ask(start: int, adapter: str | None = None, **options: Any) -> GenerateRequest:
    return GenerateRequest(TEXT[: 20 + 5 * start], adapter=adapter, **{"max_new_tokens": NUM_TOKENS, **options})


def common(first: str, second: str) -> float:
    """Share of the characters up to where two answers part."""
    length = max(len(first), len(second), 1)
    return next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), length) / length


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_the_base_goes_on_with_what_it_has_learnt(model: LoadedModel) -> None:
    [result] = model.generate([ask(2)])
    assert common(result.text, TEXT[30:]) * len(TEXT[30:]) > 20
    assert result.num_completion_tokens == NUM_TOKENS


def test_base_and_adapters_in_one_batch_answer_as_alone(model: LoadedModel) -> None:
    requests = [ask(start, name, ignore_end=True, num_logprobs=0) for start in range(8) for name in NAMES]
    together = model.generate(requests)
    alone = [model.generate([request])[0] for request in requests]
    assert mean([common(a.text, b.text) for a, b in zip(together, alone, strict=True)]) > 0.8
    for index, name in enumerate(NAMES):  # nobody gets another's answers
        off = [abs(together[index].logprobs[0].logprob - alone[n].logprobs[0].logprob) for n in range(3)]
        assert off[index] < 0.3 * min(value for n, value in enumerate(off) if n != index), name


def test_its_answers_and_scores_are_those_of_the_transformers_engine(model: LoadedModel, plain: LoadedModel) -> None:
    requests = [ask(start, name) for start in range(4) for name in NAMES]
    pairs = zip(model.generate(requests), plain.generate(requests), strict=True)
    assert mean([common(a.text, b.text) for a, b in pairs]) > 0.7
    texts = [TEXT, "something else entirely, and 7 numbers", TEXT * 80, ""]  # the third is longer than a window
    for name in NAMES:
        found, expected = (m.negative_log_likelihood(texts, adapter=name) for m in (model, plain))
        assert found == pytest.approx(expected, rel=0.03, abs=0.5), name
        assert found[3] == 0.0


def test_pieces_arrive_one_after_the_other_and_join_to_the_whole(model: LoadedModel) -> None:
    pieces = list(model.stream(ask(1, "a", ignore_end=True)))
    assert len(pieces) > 2
    whole = model.generate([ask(1, "a", ignore_end=True)])[0]
    assert common("".join(piece.text for piece in pieces), whole.text) > 0.5
    assert sum(len(piece.token_ids) for piece in pieces) == NUM_TOKENS
    assert [piece.finish_reason for piece in pieces] == [None] * (len(pieces) - 1) + ["length"]


def test_a_stop_string_ends_the_answer_and_stays_out_of_it(model: LoadedModel) -> None:
    whole = model.generate([ask(2)])[0].text
    stop = whole[5:9]
    result = model.generate([ask(2, stop=("never said", stop))])[0]
    assert (result.text, result.finish_reason) == (whole[: whole.index(stop)], "stop")
    assert "".join(piece.text for piece in model.stream(ask(2, stop=(stop,)))) == result.text


def test_log_probabilities_are_those_of_the_model(model: LoadedModel, plain: LoadedModel) -> None:
    [found], [expected] = (m.generate([ask(2, num_logprobs=3, max_new_tokens=6)]) for m in (model, plain))
    assert len(found.logprobs) == 6
    for mine, theirs in zip(found.logprobs, expected.logprobs, strict=True):
        assert (mine.token_id, mine.token) == (theirs.token_id, theirs.token)
        assert mine.logprob == pytest.approx(theirs.logprob, abs=0.1)
        assert mine.top[0] == (mine.token_id, mine.token, mine.logprob)
        assert len(mine.top) == 3


def test_sampling_heeds_its_settings(model: LoadedModel) -> None:
    def text(**options: Any) -> str:
        return model.generate([ask(0, temperature=1.5, ignore_end=True, **options)])[0].text

    assert len({text(seed=seed) for seed in range(4)}) > 1
    assert text(seed=3) == text(seed=3)
    greedy = model.generate([ask(0, ignore_end=True)])[0].text
    assert common(text(top_k=1), greedy) > 0.5
    token = model.token_ids("zz")[0]
    [biased] = model.generate([ask(0, logit_bias=((token, 100.0),), max_new_tokens=3, num_logprobs=0)])
    assert [told.token_id for told in biased.logprobs] == [token] * 3


def test_an_answer_keeps_to_a_schema(model: LoadedModel) -> None:
    pytest.importorskip("llguidance")
    schema = json.dumps(
        {
            "type": "object",
            "properties": {"kind": {"enum": ["lock", "key"]}, "open": {"type": "boolean"}},
            "required": ["kind", "open"],
            "additionalProperties": False,
        }
    )
    results = model.generate([ask(start, name, schema=schema, max_new_tokens=60) for start in (0, 1) for name in NAMES])
    for result in results:
        answer = json.loads(result.text)
        assert answer["kind"] in ("lock", "key")
        assert isinstance(answer["open"], bool)
    with pytest.raises(GenerationError, match="cannot be kept to"):
        model.generate([ask(0, schema='{"type": "nothing"}')])


def test_adapters_come_and_go_while_others_answer(
    model: LoadedModel, folder: str, adapters: dict[str, str], tmp_path: Path
) -> None:
    expected = model.generate([ask(3, "b", ignore_end=True)])[0].text
    other = write_random_adapter(folder, tmp_path / "other", seed=9, r=8, std=0.1)
    for _ in range(3):  # more than there is room for on the GPU
        stream = model.stream(ask(3, "b", ignore_end=True, max_new_tokens=200))
        next(stream)
        model.load_adapter("c", other)
        changed = model.generate([ask(3, "c", ignore_end=True)])[0].text
        model.unload_adapter("c")
        model.load_adapter("c", adapters["b"])  # another version under the same name
        assert common(model.generate([ask(3, "c", ignore_end=True)])[0].text, expected) > 0.7
        model.unload_adapter("c")
        assert common(changed, expected) < 1
        assert sum(len(piece.token_ids) for piece in stream) > 150
    assert model.status().adapters == ("a", "b")
    with pytest.raises(GenerationError, match="no adapter 'c'"):
        model.generate([ask(3, "c")])
    large = write_random_adapter(folder, tmp_path / "large", seed=9, r=24)
    with pytest.raises(ModelError, match=r"engine\.max_adapter_rank=24"):
        model.load_adapter("large", large)


def test_a_cancelled_answer_makes_room(model: LoadedModel) -> None:
    first = threading.Event()
    items: list[TextDelta | Exception] = []

    def deliver(item: TextDelta | Exception) -> None:
        items.append(item)
        first.set()

    cancel = model.submit(ask(0, "a", ignore_end=True, max_new_tokens=4000), deliver)
    assert first.wait(SECONDS)
    assert model.status().num_running == 1
    cancel()
    number = len(items)
    model.generate([ask(1)])  # the engine goes on with others
    for _ in range(50):
        if not model.status().num_running:
            break
        model.generate([ask(1, max_new_tokens=2)])
    assert model.status().num_running == 0
    assert len(items) <= number + 1
    assert all(isinstance(item, TextDelta) and item.finish_reason is None for item in items)


def test_a_request_that_vllm_refuses_is_an_error_of_its_own(model: LoadedModel) -> None:
    with pytest.raises(GenerationError, match="top_p"):
        model.generate([ask(0, top_p=0.0)])
    with pytest.raises(GenerationError, match=r"4\d\d\d tokens"):
        model.generate([GenerateRequest(tuple([300] * 4200))])
    assert model.generate([ask(0)])[0].text
