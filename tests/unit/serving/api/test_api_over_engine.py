"""What the scripted model cannot show: schemas, calls and log-probabilities of each real engine behind the API."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from catalogue import Catalogue
from each_engine import ENGINE_NAMES, here, make_engine
from fastapi.testclient import TestClient
from scripted_api import error_of, events_of, post

from ray_ft.serving.adapters import ServedModel
from ray_ft.serving.api.routes import create_api
from ray_ft.serving.replica.replica import ModelReplica

TEMPLATE = """{%- if tools %}<|im_start|>system
{% for tool in tools %}{{ tool | tojson }}{% endfor %}<|im_end|>
{% endif %}{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}{% for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>
{%- endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
SCHEMA = {
    "type": "object", "properties": {"ok": {"type": "boolean"}, "of": {"enum": ["bow", "stern"]}},
    "required": ["ok", "of"], "additionalProperties": False,
}  # fmt: skip
TOOL = {"type": "function", "function": {"name": "find_page", "description": "finds a page", "parameters": SCHEMA}}
HELLO = {"model": "tiny", "messages": [{"role": "user", "content": "Where is the rope?"}], "max_tokens": 60}


@pytest.fixture(scope="module", params=ENGINE_NAMES)
def engine_name(request: pytest.FixtureRequest) -> str:
    return here(request.param)


@pytest.fixture(scope="module")
def client(engine_name: str, tiny_model_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    template: Path = tmp_path_factory.mktemp("template") / "template.jinja"
    template.write_text(TEMPLATE)
    model = make_engine(engine_name).load(tiny_model_path, {}, chat_template=str(template))
    replica = ModelReplica(model, max_new_tokens=64)
    api = create_api(Catalogue((ServedModel("tiny", None, None, "a" * 12, 1),)), replica)
    with TestClient(api) as client:
        yield client
    replica.close()


@pytest.mark.parametrize("temperature", [0, 2])
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_of_any_sampling_keeps_to_its_schema(client: TestClient, temperature: int, stream: bool) -> None:
    pytest.importorskip("llguidance")
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    response = post(
        client, HELLO | {"response_format": wanted, "temperature": temperature, "seed": 3, "stream": stream}
    )
    if stream:
        chunks = events_of(response)[:-1]
        text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    else:
        text = response.json()["choices"][0]["message"]["content"]
    assert set(json.loads(text)) == {"ok", "of"}


def test_an_answer_that_has_to_call_calls(client: TestClient) -> None:
    pytest.importorskip("llguidance")
    choice: Any = {"type": "function", "function": {"name": "find_page"}}
    asked = HELLO | {"tools": [TOOL], "tool_choice": choice, "temperature": 1, "seed": 1}
    answer = post(client, asked).json()["choices"][0]
    (call,) = answer["message"]["tool_calls"]
    assert (answer["finish_reason"], answer["message"]["content"]) == ("tool_calls", None)
    assert json.loads(call["function"]["arguments"])["of"] in ("bow", "stern")


def test_a_schema_that_cannot_be_kept_to_is_refused(client: TestClient) -> None:
    pytest.importorskip("llguidance")
    response = post(client, HELLO | {"guided_json": {"type": "nothing that there is"}})
    assert response.status_code == 400
    assert "cannot be kept to" in error_of(response)["message"]


def test_a_greedy_answer_is_its_own_likeliest(client: TestClient) -> None:
    asked = HELLO | {"logprobs": True, "top_logprobs": 3, "max_tokens": 8, "ignore_eos": True}
    body = post(client, asked).json()
    told = body["choices"][0]["logprobs"]["content"]
    assert len(told) == body["usage"]["completion_tokens"] == 8
    assert all(token["top_logprobs"][0]["logprob"] == token["logprob"] <= 0 for token in told)


def test_a_prompt_of_ids_gets_the_answer_of_its_text(client: TestClient) -> None:
    text = "The rope is"
    ids = client.post("/tokenize", json={"prompt": text}).json()["tokens"]
    by_text, by_ids = (
        post(client, {"model": "tiny", "prompt": prompt, "max_tokens": 8, "echo": True}).json()["choices"][0]["text"]
        for prompt in (text, ids)
    )
    assert by_text == by_ids
    assert by_text.startswith(text)
    response = post(client, {"model": "tiny", "prompt": [10**6]})
    assert response.status_code == 400
    assert "1000000" in error_of(response)["message"]


def test_seven_megabytes_are_too_long_before_they_are_tokenised(client: TestClient) -> None:
    for body in ({"prompt": "word " * 1_400_000}, {"messages": [{"role": "user", "content": "word " * 1_400_000}]}):
        response = post(client, {"model": "tiny", **body})
        assert (response.status_code, error_of(response)["code"]) == (400, "context_length_exceeded")
        assert "characters" in error_of(response)["message"]


def test_the_harness_reads_log_likelihoods_of_continuations(client: TestClient, engine_name: str) -> None:
    """As lm-evaluation-harness's local-completions asks and reads: tokens from the context's end, all but the last."""
    contexts, continuations = ["The rope is", "A knot"], [" made fast", " holds the boat"]
    ids = [
        [client.post("/tokenize", json={"prompt": text}).json()["tokens"] for text in texts]
        for texts in (contexts, continuations)
    ]
    asked = {
        "model": "tiny", "prompt": [context + rest for context, rest in zip(*ids, strict=True)], "temperature": 0,
        "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True,
    }  # fmt: skip
    choices = post(client, asked).json()["choices"]
    for choice, context, rest in zip(sorted(choices, key=lambda c: c["index"]), *ids, strict=True):
        told = choice["logprobs"]
        assert [told[key][0] for key in ("token_logprobs", "top_logprobs")] == [None, None]
        assert len(told["tokens"]) == len(told["text_offset"]) == len(context + rest) + 1
        scored, tops = (told[key][len(context) : -1] for key in ("token_logprobs", "top_logprobs"))
        assert len(scored) == len(rest)
        assert all(own <= max(top.values()) <= 0 for own, top in zip(scored, tops, strict=True))
        # what the prompt's own tokens cost is what they cost as an answer
        only = dict.fromkeys(map(str, rest[:1]), 100)
        first = {"model": "tiny", "prompt": context, "max_tokens": 1, "logprobs": 1, "logit_bias": only}
        answered = post(client, first).json()["choices"][0]["logprobs"]
        assert answered["token_logprobs"] == [pytest.approx(scored[0], abs=0.1 if engine_name == "vllm" else 1e-4)]


def test_a_prompt_is_measured_without_an_answer(client: TestClient) -> None:
    asked = {"model": "tiny", "prompt": "The rope is", "max_tokens": 0, "logprobs": 0, "echo": True, "n": 2}
    whole = post(client, asked).json()
    first, second = whole["choices"]
    assert (first["text"], first["finish_reason"]) == ("The rope is", "length")
    assert first["logprobs"] == second["logprobs"]
    assert len(first["logprobs"]["tokens"]) == whole["usage"]["prompt_tokens"] == whole["usage"]["total_tokens"]
    events = post(client, asked | {"stream": True}).text.split("\n\n")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events if event.startswith("data: {")]
    assert [chunk["choices"][0]["logprobs"] for chunk in chunks] == [first["logprobs"], second["logprobs"]]
    assert events[-2] == "data: [DONE]"
    response = post(client, asked | {"prompt": [10**6]})
    assert (response.status_code, "1000000" in error_of(response)["message"]) == (400, True)


@pytest.mark.parametrize("stream", [False, True])
def test_usage_says_how_much_of_a_prompt_had_been_read_before(client: TestClient, stream: bool) -> None:
    said = f"Say once more what the {'stream' if stream else 'answer'} was about, from the first word to the last. " * 4
    asked = HELLO | {"messages": [{"role": "user", "content": said}], "max_tokens": 2, "stream": stream}
    asked |= {"stream_options": {"include_usage": True}} if stream else {}
    cached = []
    for _ in range(2):
        response = post(client, asked)
        usage = events_of(response)[-2]["usage"] if stream else response.json()["usage"]
        cached.append(usage["prompt_tokens_details"]["cached_tokens"])
        assert cached[-1] < usage["prompt_tokens"]
    assert cached[0] < 40 < cached[1]
