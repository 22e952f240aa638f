"""Routes, bodies, streams and errors of the API over a scripted model, without Ray."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from scripted_api import CATALOGUE, CONTEXT, MAX_NEW_TOKENS, chat, completion, error_of, events_of, post
from scripted_model import ScriptedModel

from ray_ft.serving.api.routes import create_api
from ray_ft.serving.replica.replica import ModelReplica

# --- models and health ------------------------------------------------------------------------------------------------

NOTHING_CACHED = {"prompt_tokens_details": {"cached_tokens": 0}}


def test_models_are_listed_base_first(client: TestClient) -> None:
    body = client.get("/v1/models").json()
    assert body["object"] == "list"
    assert [(m["id"], m["root"], m["parent"], m["max_model_len"]) for m in body["data"]] == [
        ("builtin:tiny", "builtin:tiny", None, CONTEXT),
        ("org/handbook", "builtin:tiny", "builtin:tiny", CONTEXT),
    ]
    assert body["data"][1]["ray_ft"] == {"kind": "adapter", "version": "bbbbbbbbbbbb"}


@pytest.mark.parametrize("name", ["builtin:tiny", "builtin%3Atiny", "org/handbook", "org%2Fhandbook"])
def test_one_model_is_found_by_its_name(client: TestClient, name: str) -> None:
    assert client.get(f"/v1/models/{name}").json()["object"] == "model"


def test_health_names_the_models(client: TestClient) -> None:
    assert client.get("/health").json() == {
        "status": "ok",
        "models": ["builtin:tiny", "org/handbook"],
        "num_open": 0,
    }


def test_a_model_that_has_stopped_is_no_fault_of_who_asks(client: TestClient, model: ScriptedModel) -> None:
    model.close()
    response = post(client, completion())
    assert (response.status_code, error_of(response)["code"]) == (503, "engine_error")
    assert "retry-after" in response.headers


def test_health_fails_once_the_model_has_gone(model: ScriptedModel) -> None:
    replica = ModelReplica(model, max_new_tokens=1)
    replica.close()
    response = TestClient(create_api(CATALOGUE, replica)).get("/health")
    assert (response.status_code, response.json()["error"]["type"]) == (503, "server_error")


# --- answers ----------------------------------------------------------------------------------------------------------


def test_a_chat_answer_has_the_shape_clients_expect(client: TestClient) -> None:
    body = post(client, chat()).json()
    assert body["id"].startswith("chatcmpl-")
    assert body["object"] == "chat.completion"
    assert (body["model"], body["system_fingerprint"]) == ("org/handbook", "bbbbbbbbbbbb")
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "org/handbook 7 0.0: user=hello", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert body["usage"] == {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5} | NOTHING_CACHED


def test_a_completion_goes_to_the_base_without_a_template(client: TestClient) -> None:
    body = post(client, completion()).json()
    assert body["object"] == "text_completion"
    assert body["choices"][0]["text"] == "None 7 0.0: once"


def test_an_adapter_may_be_named_after_its_base(client: TestClient) -> None:
    body = post(client, chat(model="builtin:tiny:org/handbook")).json()
    assert body["model"] == "builtin:tiny:org/handbook"
    assert body["choices"][0]["message"]["content"].startswith("org/handbook")


def test_nothing_is_added_to_the_conversation(client: TestClient, model: ScriptedModel) -> None:
    messages = [
        {"role": "developer", "content": "be brief", "name": "ops"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "c"},
        {"role": "tool", "content": "d"},
    ]
    post(client, chat(messages=messages))
    assert model.prompt(model.requests[0]) == "system=be brief user=ab assistant=c tool=d"


def test_sampling_reaches_the_engine(client: TestClient, model: ScriptedModel) -> None:
    post(client, chat(temperature=0.5, top_p=0.9, stop=["x", "y"], max_tokens=3, max_completion_tokens=4))
    request = model.requests[0]
    assert (request.temperature, request.top_p, request.stop, request.max_new_tokens) == (0.5, 0.9, ("x", "y"), 4)


def test_an_answer_is_greedy_and_as_long_as_allowed_unless_told_otherwise(
    client: TestClient, model: ScriptedModel
) -> None:
    post(client, chat())
    assert (model.requests[0].temperature, model.requests[0].max_new_tokens) == (0.0, MAX_NEW_TOKENS)


def test_an_answer_without_a_limit_takes_the_rest_of_the_context(client: TestClient, model: ScriptedModel) -> None:
    post(client, completion(prompt=" ".join(["w"] * (CONTEXT - 3))))
    assert model.requests[0].max_new_tokens == 3


def test_samples_without_a_seed_differ(client: TestClient, model: ScriptedModel) -> None:
    for _ in range(2):
        post(client, chat(seed=None, temperature=1))
    assert model.requests[0].seed != model.requests[1].seed


def test_a_cut_answer_says_so(client: TestClient) -> None:
    choice = post(client, chat(max_tokens=2)).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("org/handbook 7", "length")


def test_choices_are_numbered_prompt_by_prompt_and_the_prompt_is_counted_once(client: TestClient) -> None:
    body = post(client, completion(prompt=["one", "two words"], n=2)).json()
    assert [(c["index"], c["text"]) for c in body["choices"]] == [
        (0, "None 7 0.0: one"),
        (1, "None 8 0.0: one"),
        (2, "None 7 0.0: two words"),
        (3, "None 8 0.0: two words"),
    ]
    # prompts 1 + 2 words, each once; answers 4 + 4 + 5 + 5 words
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 18, "total_tokens": 21} | NOTHING_CACHED


def test_more_prompts_than_may_be_open_are_all_answered(client: TestClient) -> None:
    body = post(client, completion(prompt=[f"p{i}" for i in range(30)])).json()
    assert [c["text"].split()[-1] for c in body["choices"]] == [f"p{i}" for i in range(30)]


def test_unknown_fields_are_named_in_a_header(client: TestClient) -> None:
    response = post(client, chat(user="u", metadata={}, zeal=9, temprature=1))
    assert (response.status_code, response.headers["x-ray-ft-ignored"]) == (200, "temprature, zeal")


@pytest.mark.parametrize("route", ["chat/completions", "completions"])
def test_a_strict_server_refuses_unknown_fields(model: ScriptedModel, route: str) -> None:
    replica = ModelReplica(model, max_new_tokens=MAX_NEW_TOKENS)
    strict = create_api(CATALOGUE, replica, is_strict=True)
    asked = chat() if route == "chat/completions" else completion()
    client = TestClient(strict)
    for fields, status in (({"user": "u", "metadata": {}}, 200), ({"zeal": 9, "temprature": 1}, 400)):
        response = client.post(f"/v1/{route}", json=asked | fields)
        assert response.status_code == status
    error = error_of(response)
    assert (error["code"], error["param"]) == ("unsupported_parameter", "temprature")


@pytest.mark.parametrize(
    "fields",
    [
        {"logprobs": False}, {"presence_penalty": 0}, {"tools": []}, {"response_format": {"type": "text"}},
        {"logit_bias": {}}, {"frequency_penalty": None}, {"top_k": -1}, {"tool_choice": "auto"},
        {"reasoning_effort": "low"}, {"service_tier": "auto"}, {"n": 1}, {"stop": None}, {"parallel_tool_calls": True},
    ],
)  # fmt: skip
def test_fields_that_ask_for_nothing_are_accepted(client: TestClient, fields: dict[str, Any]) -> None:
    response = post(client, chat(**fields))
    assert response.status_code == 200
    assert "x-ray-ft-ignored" not in response.headers


# --- streams ----------------------------------------------------------------------------------------------------------


def test_a_chat_stream_opens_with_the_role_and_joins_to_the_whole_answer(client: TestClient) -> None:
    response = post(client, chat(stream=True))
    assert response.headers["content-type"].startswith("text/event-stream")
    *chunks, done = events_of(response)
    assert done == "[DONE]"
    assert {c["object"] for c in chunks} == {"chat.completion.chunk"}
    assert len({(c["id"], c["created"], c["model"]) for c in chunks}) == 1
    deltas = [c["choices"][0]["delta"] for c in chunks]
    assert deltas[0]["role"] == "assistant"
    assert "".join(d.get("content", "") for d in deltas) == "org/handbook 7 0.0: user=hello"
    assert [c["choices"][0]["finish_reason"] for c in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert deltas[-1] == {}
    assert all("usage" not in c for c in chunks)


def test_a_stream_counts_its_tokens_when_asked(client: TestClient) -> None:
    *chunks, usage, done = events_of(post(client, chat(stream=True, stream_options={"include_usage": True})))
    assert done == "[DONE]"
    assert [c["usage"] for c in chunks] == [None] * len(chunks)
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5} | NOTHING_CACHED


def test_a_completion_stream_carries_every_choice(client: TestClient) -> None:
    *chunks, _ = events_of(post(client, completion(stream=True, prompt=["a", "b"], n=2)))
    texts = [""] * 4
    for chunk in chunks:
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert texts == ["None 7 0.0: a", "None 8 0.0: a", "None 7 0.0: b", "None 8 0.0: b"]
    assert sum(c["choices"][0]["finish_reason"] == "stop" for c in chunks) == 4


def test_a_stream_that_breaks_ends_in_an_error_and_not_in_done(client: TestClient) -> None:
    *chunks, last = events_of(post(client, chat(stream=True, messages=[{"role": "user", "content": "a explode"}])))
    assert chunks
    assert last == {
        "error": {
            "message": "the engine failed: the device is on fire",
            "type": "server_error",
            "param": None,
            "code": "engine_error",
        }
    }


def test_what_can_be_refused_is_refused_before_a_stream_starts(client: TestClient) -> None:
    response = post(client, completion(stream=True, prompt="w " * CONTEXT))
    assert (response.status_code, response.json()["error"]["code"]) == (400, "context_length_exceeded")


# --- errors -----------------------------------------------------------------------------------------------------------


def test_an_unknown_model_is_named_with_those_that_exist(client: TestClient) -> None:
    for response in (post(client, chat(model="gpt-4")), client.get("/v1/models/gpt-4")):
        error = error_of(response)
        assert response.status_code == 404
        assert (error["code"], error["param"]) == ("model_not_found", "model")
        assert "org/handbook" in error["message"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": "hello"}, "messages"),
        ({"model": None}, "model"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": MAX_NEW_TOKENS + 1}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"n": 9}, "n"),
        ({"seed": "x"}, "seed"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": 5}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_its_field(client: TestClient, fields: dict[str, Any], param: str) -> None:
    response = post(client, chat(**fields))
    error = error_of(response)
    assert (response.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"min_tokens": 3}, "min_tokens"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"structured_outputs": {"regex": "a+"}}, "structured_outputs"),
        ({"echo": True}, "echo"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"chat_template_kwargs": {"chat_template": "{{ 1 }}"}}, "chat_template_kwargs"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"),
    ],
)  # fmt: skip
def test_what_is_not_implemented_is_refused_by_name(client: TestClient, fields: dict[str, Any], param: str) -> None:
    response = post(client, chat(**fields))
    error = error_of(response)
    assert (response.status_code, error["code"], error["param"]) == (400, "unsupported_parameter", param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [[1], "a"]}, "prompt"),
        ({"prompt": ["a", [1]]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"suffix": "x"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"logprobs": True}, "logprobs"),
        ({"logprobs": 6}, "logprobs"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"top_logprobs": 2}, "top_logprobs"),
    ],
)  # fmt: skip
def test_completions_refuse_what_they_cannot_do(client: TestClient, fields: dict[str, Any], param: str) -> None:
    response = post(client, completion(**fields))
    assert (response.status_code, error_of(response)["param"]) == (400, param)


def test_a_missing_field_is_named(client: TestClient) -> None:
    response = client.post("/v1/chat/completions", json={"model": "builtin:tiny"})
    assert (response.status_code, error_of(response)["param"]) == (400, "messages")


def test_a_prompt_beyond_the_context_is_refused_with_the_numbers(client: TestClient) -> None:
    response = post(client, completion(prompt="w " * 40, max_tokens=15))
    error = error_of(response)
    assert (response.status_code, error["code"]) == (400, "context_length_exceeded")
    assert all(number in error["message"] for number in ("41 tokens", "15", f"{CONTEXT} tokens"))


def test_the_engines_own_refusal_keeps_its_words(client: TestClient) -> None:
    response = post(client, completion(prompt=""))
    assert (response.status_code, error_of(response)["message"]) == (
        400,
        "the prompt is empty; give at least one token",
    )


def test_one_bad_prompt_refuses_the_whole_request_before_any_work(client: TestClient, model: ScriptedModel) -> None:
    assert post(client, completion(prompt=["good", ""])).status_code == 400
    assert post(client, completion()).status_code == 200


def test_an_engine_failure_is_a_server_error_and_others_go_on(client: TestClient) -> None:
    response = post(client, completion(prompt="explode"))
    assert (response.status_code, error_of(response)["code"]) == (500, "engine_error")
    assert post(client, completion()).status_code == 200


def test_a_bug_leaves_as_json(model: ScriptedModel) -> None:
    class Broken(ModelReplica):
        async def answer(self, ask: Any) -> Any:
            return 5

    replica = Broken(model, max_new_tokens=5)
    response = post(TestClient(create_api(CATALOGUE, replica), raise_server_exceptions=False), completion())
    replica.close()
    assert (response.status_code, error_of(response)["type"]) == (500, "server_error")


def test_invalid_json_is_refused(client: TestClient) -> None:
    response = client.post("/v1/completions", content=b'{"model": ', headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert "not valid JSON" in error_of(response)["message"]


@pytest.mark.parametrize("body", [b"[]", b"5", b'"text"', b""])
def test_a_body_of_another_shape_is_refused(client: TestClient, body: bytes) -> None:
    response = client.post("/v1/completions", content=body, headers={"content-type": "application/json"})
    assert (response.status_code, error_of(response)["type"]) == (400, "invalid_request_error")


def test_another_content_type_is_refused(client: TestClient) -> None:
    response = client.post("/v1/completions", data={"model": "x"})
    assert (response.status_code, error_of(response)["type"]) == (415, "invalid_request_error")


def test_a_huge_body_is_refused(client: TestClient) -> None:
    response = post(client, completion(prompt="x" * 9_000_000))
    assert (response.status_code, error_of(response)["type"]) == (413, "invalid_request_error")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/embeddings", 404), ("POST", "/nope", 404), ("GET", "/v1/completions", 405), ("PUT", "/health", 405)],
)
def test_wrong_routes_and_methods_answer_in_json(client: TestClient, method: str, path: str, status: int) -> None:
    response = client.request(method, path)
    assert (response.status_code, error_of(response)["type"]) == (status, "invalid_request_error")
    assert path in error_of(response)["message"]


def test_the_greeting_of_a_deployment_holds_a_request_that_works(client: TestClient) -> None:
    import shlex

    from ray_ft.artifacts import Endpoint
    from ray_ft.serving.starting import greeting

    command = greeting(Endpoint("http://127.0.0.1:1", CATALOGUE.ids)).split("Try:\n")[1].replace("\\\n", "")
    words = shlex.split(command)
    assert words[0] == "curl"
    path = words[1].removeprefix("http://127.0.0.1:1")
    assert client.post(path, json=json.loads(words[words.index("-d") + 1])).status_code == 200


def test_bodies_hold_text_of_any_script_unescaped(client: TestClient) -> None:
    response = post(client, completion(prompt="日本 é", stream=True))
    assert "日本 é" in "".join(e["choices"][0]["text"] for e in events_of(response) if e != "[DONE]")
