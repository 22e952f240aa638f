"""Every engine that answers: what is open together does not change each other, and adapters come and go meanwhile."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from random_adapter import write_random_adapter

from ray_ft.engines import ENGINES, GenerateRequest, LoadedModel, TextDelta, WriteRequest
from ray_ft.errors import GenerationError, ModelError
from ray_ft.models.tokenizer import load_tokenizer

PROMPT = "def release(lock):\n    return"
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"supported": {"type": "boolean"}, "kind": {"enum": ["a", "b"]}},
        "required": ["supported", "kind"],
        "additionalProperties": False,
    }
)


@pytest.fixture(scope="module", params=["transformers"])
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def adapters(tiny_model_path: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Eight adapters of four ranks."""
    folder = tmp_path_factory.mktemp("adapters")
    return {f"a{i}": write_random_adapter(tiny_model_path, folder / f"a{i}", seed=i, r=2 ** (i % 4)) for i in range(8)}


@pytest.fixture(scope="module")
def model(engine_name: str, tiny_model_path: str, adapters: dict[str, str]) -> LoadedModel:
    return ENGINES[engine_name]().load(tiny_model_path, adapters)


def asked(number: int, **options: Any) -> GenerateRequest:
    adapter = None if number % 9 == 8 else f"a{number % 9}"
    return GenerateRequest(
        f"{PROMPT} {number} " * (1 + number % 5), **{"adapter": adapter, "max_new_tokens": 4 + number % 21, **options}
    )


def test_64_answers_of_8_adapters_and_the_base_are_those_of_each_alone(model: LoadedModel) -> None:
    requests = [asked(number) for number in range(64)]
    together = model.generate(requests)
    assert together == [model.generate([request])[0] for request in requests]
    assert len({result.text for result in together}) > 32


def test_more_adapters_than_have_room_take_turns(
    engine_name: str, model: LoadedModel, tiny_model_path: str, adapters: dict[str, str]
) -> None:
    narrow = ENGINES[engine_name](max_adapters=2).load(tiny_model_path, adapters)  # type: ignore[call-arg]
    requests = [asked(number) for number in range(18)]
    assert narrow.generate(requests) == model.generate(requests)
    narrow.close()


def test_samples_depend_on_their_seed_and_not_on_their_neighbours(model: LoadedModel) -> None:
    requests = [asked(number, temperature=1.0, top_p=0.9, seed=number) for number in range(12)]
    assert model.generate(requests) == [model.generate([request])[0] for request in requests]


def test_token_ids_and_their_text_are_the_same_prompt(model: LoadedModel) -> None:
    ids = tuple(model.prompt_ids(PROMPT))
    assert model.generate([GenerateRequest(ids)]) == model.generate([GenerateRequest(PROMPT)])
    with pytest.raises(GenerationError, match="token id 999999"):
        model.submit(GenerateRequest((5, 999999)), print)


def test_log_probabilities_add_up_to_the_likelihood_of_the_text(model: LoadedModel, tiny_model_path: str) -> None:
    document = [load_tokenizer(tiny_model_path).bos_token_id, *model.token_ids(PROMPT)]
    request = GenerateRequest(tuple(document), max_new_tokens=6, num_logprobs=3, adapter="a1")
    result = model.generate([request])[0]
    assert len(result.logprobs) == len(result.token_ids) == 6
    for told in result.logprobs:
        assert told.top[0][0] == told.token_id  # greedy
        assert [value for *_, value in told.top] == sorted((value for *_, value in told.top), reverse=True)
    text = PROMPT + result.text
    assert model.token_ids(text) == [*document[1:], *result.token_ids], "the text has to be the same tokens"
    whole, prompt = model.negative_log_likelihood([text, PROMPT], adapter="a1")
    assert -sum(told.logprob for told in result.logprobs) == pytest.approx(whole - prompt, rel=1e-4)


def test_answers_keep_to_a_schema(model: LoadedModel) -> None:
    pytest.importorskip("llguidance")
    requests = [asked(number, schema=SCHEMA, temperature=1.0, seed=number, max_new_tokens=60) for number in range(9)]
    found = [json.loads(result.text) for result in model.generate(requests)]
    assert all(answer["supported"] in (True, False) for answer in found)
    assert {answer["kind"] for answer in found} <= {"a", "b"}
    with pytest.raises(GenerationError, match="schema cannot be kept"):
        model.submit(GenerateRequest(PROMPT, schema='{"type": "no such type"}'), print)


def test_written_data_keeps_to_its_schema_and_comes_as_it_ends(engine_name: str, tiny_model_path: str) -> None:
    pytest.importorskip("llguidance")
    writer = ENGINES[engine_name]().load_writer(tiny_model_path)
    requests = [
        WriteRequest(f"Question {i}?", schema=SCHEMA, temperature=1.0, seed=i, max_new_tokens=60) for i in range(5)
    ]
    written = dict(writer.write([*requests, WriteRequest(" lock" * 10_000, schema=SCHEMA)]))
    assert sorted(written) == list(range(6))
    assert all(json.loads(written[i].text) for i in range(5))
    assert "longer" in written[5].error


def test_a_cancelled_answer_says_no_more_and_frees_its_place(model: LoadedModel) -> None:
    first = threading.Event()
    pieces: list[TextDelta | Exception] = []

    def deliver(item: TextDelta | Exception) -> None:
        pieces.append(item)
        first.set()

    cancel = model.submit(GenerateRequest(PROMPT, max_new_tokens=2000, ignore_end=True), deliver)
    assert first.wait(30)
    cancel()
    model.generate([asked(1), asked(2)])  # at least one pass lies between
    num_pieces = len(pieces)
    model.generate([asked(3)])
    assert len(pieces) == num_pieces
    assert not any(isinstance(piece, Exception) for piece in pieces)
    status = model.status()
    assert (status.num_running, status.num_waiting, status.cached_tokens) == (0, 0, 0)


def test_a_closed_stream_is_cancelled(model: LoadedModel) -> None:
    stream = model.stream(GenerateRequest(PROMPT, max_new_tokens=2000, ignore_end=True))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    model.generate([asked(1), asked(2)])
    assert model.status().num_running == 0


def test_adapters_come_and_go_while_others_answer(
    engine_name: str, model: LoadedModel, adapters: dict[str, str], tiny_model_path: str
) -> None:
    own = ENGINES[engine_name](max_adapters=3).load(tiny_model_path, {"a0": adapters["a0"]})  # type: ignore[call-arg]
    expected = {name: model.generate([GenerateRequest(PROMPT, adapter=name)])[0] for name in adapters}
    stays = GenerateRequest(PROMPT, adapter="a0")
    for cycle in range(20):
        name = f"a{1 + cycle % 7}"
        own.load_adapter(f"{name}.{cycle}", adapters[name])
        both = own.generate([stays, GenerateRequest(PROMPT, adapter=f"{name}.{cycle}")])
        assert both == [expected["a0"], expected[name]]
        own.unload_adapter(f"{name}.{cycle}")
        with pytest.raises(GenerationError, match="no adapter"):
            own.generate([GenerateRequest(PROMPT, adapter=f"{name}.{cycle}")])
    assert own.status().adapters == ("a0",)
    own.close()


def test_an_adapter_that_is_let_go_of_ends_what_it_began(
    engine_name: str, adapters: dict[str, str], tiny_model_path: str
) -> None:
    own = ENGINES[engine_name]().load(tiny_model_path, {"a0": adapters["a0"]})
    request = GenerateRequest(PROMPT, adapter="a0", max_new_tokens=200, ignore_end=True)
    whole = own.generate([request])[0].text
    stream = own.stream(request)
    text = next(stream).text
    own.unload_adapter("a0")
    assert text + "".join(piece.text for piece in stream) == whole
    own.close()


def test_an_adapter_is_refused_by_the_same_gate_later(model: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        model.load_adapter("late", str(tmp_path / "nowhere"))
    assert "late" not in model.status().adapters


def test_a_closed_model_says_so(engine_name: str, tiny_model_path: str) -> None:
    own = ENGINES[engine_name]().load(tiny_model_path, {})
    stream = own.stream(GenerateRequest(PROMPT, max_new_tokens=2000, ignore_end=True))
    next(stream)
    own.close()
    with pytest.raises(GenerationError, match="closed"):
        list(stream)
    with pytest.raises(GenerationError, match="closed"):
        own.generate([GenerateRequest(PROMPT)])
    with pytest.raises(GenerationError, match="closed"):
        own.status()
