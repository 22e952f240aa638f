"""What OpenAI's clients and others rely on, by the rows of the table in docs/guides/serve.md, over a scripted model."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from openai import APIError, BadRequestError, NotFoundError, OpenAI
from scripted_api import CONTEXT, chat, completion, error_of, events_of, post
from scripted_model import ScriptedModel

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "find_page",
        "description": "finds",
        "parameters": {
            "type": "object",
            "properties": {"of": {"$ref": "#/$defs/t"}},
            "$defs": {"t": {"type": "string"}},
        },
    },
}
HELLO: Any = [{"role": "user", "content": "hello"}]
ASK: Any = {"model": "org/handbook", "messages": HELLO, "seed": 7}
ANSWER = "org/handbook 7 0.0: user=hello"


# --- models, answers, streams -----------------------------------------------------------------------------------------


def test_models_are_listed_and_found_by_any_spelling(openai: OpenAI) -> None:
    assert [m.id for m in openai.models.list()] == ["builtin:tiny", "org/handbook"]
    assert openai.models.retrieve("org/handbook").id == "org/handbook"
    with pytest.raises(NotFoundError):
        openai.models.retrieve("org/other")


def test_every_reply_says_which_version_answered(openai: OpenAI) -> None:
    raw = openai.chat.completions.with_raw_response.create(**ASK)
    assert raw.headers["x-ray-ft-model-version"] == "bbbbbbbbbbbb"
    answer = raw.parse()
    assert answer.system_fingerprint == "bbbbbbbbbbbb"
    assert (answer.model_extra or {})["ray_ft"] == {
        "adapter": "org/handbook", "version": "bbbbbbbbbbbb", "base": "builtin:tiny", "base_version": "aaaaaaaaaaaa",
        "engine": "scripted", "quantization": "none",
    }  # fmt: skip


@pytest.mark.parametrize("fields", [{}, {"n": 2}, {"stream_options": {"include_usage": True}}])
def test_the_first_and_the_last_chunk_say_which_version_answered(client: TestClient, fields: dict[str, Any]) -> None:
    for body in (chat(**fields), completion(**fields)):
        response = post(client, body | {"stream": True})
        *chunks, _ = events_of(response)
        assert response.headers["x-ray-ft-model-version"] == chunks[0]["ray_ft"]["version"]
        assert ["ray_ft" in chunk for chunk in chunks] == [True, *[False] * (len(chunks) - 2), True]


def test_a_stream_reads_as_the_whole_answer(openai: OpenAI) -> None:
    chunks = list(openai.chat.completions.create(**ASK, stream=True, n=2, stream_options={"include_usage": True}))
    texts = ["", ""]
    for chunk in chunks[:-1]:
        assert chunk.usage is None
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [ANSWER, ANSWER.replace("7", "8")]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 8


@pytest.mark.parametrize(("prompt", "num_choices"), [("a b", 1), (["a", "b"], 2), ([0, 1], 1), ([[0], [1, 0]], 2)])
def test_prompts_may_be_texts_and_token_ids(
    openai: OpenAI, model: ScriptedModel, prompt: Any, num_choices: int
) -> None:
    model.token_ids("a b")
    answer = openai.completions.create(model="builtin:tiny", prompt=prompt, n=2, seed=1)
    assert [c.index for c in answer.choices] == list(range(2 * num_choices))
    assert answer.choices[0].text == f"None 1 0.0: {model.prompt(model.requests[0])}"
    assert model.requests[0].prompt == ((0, 1) if num_choices == 1 else (0,))


@pytest.mark.parametrize("stream", [False, True])
def test_a_completion_repeats_its_prompt_where_asked(client: TestClient, model: ScriptedModel, stream: bool) -> None:
    model.token_ids("zero one")
    for prompt, text in (("once", "once"), ([1, 0], "one zero")):
        response = post(client, completion(prompt=prompt, echo=True, stream=stream))
        bodies = events_of(response)[:-1] if stream else [response.json()]
        assert "".join(body["choices"][0]["text"] for body in bodies) == f"{text}None 7 0.0: {text}"


def test_everything_that_shapes_sampling_reaches_the_engine(openai: OpenAI, model: ScriptedModel) -> None:
    extra = {"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.2, "ignore_eos": True}
    openai.chat.completions.create(
        **ASK, temperature=0.5, presence_penalty=-1, frequency_penalty=1.5, logit_bias={"3": -100, "17": 2},
        extra_body=extra | {"chat_template_kwargs": {"enable_thinking": False}},
    )  # fmt: skip
    asked = model.requests[0]
    assert (asked.top_k, asked.min_p, asked.repetition_penalty, asked.ignore_end) == (5, 0.1, 1.2, True)
    assert (asked.presence_penalty, asked.frequency_penalty) == (-1, 1.5)
    assert asked.logit_bias == ((3, -100), (17, 2))
    assert model.template_kwargs == {"enable_thinking": False}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"top_k": -2}, "top_k"), ({"min_p": 1.1}, "min_p"), ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"presence_penalty": 2.1}, "presence_penalty"), ({"frequency_penalty": -3}, "frequency_penalty"),
        ({"logit_bias": {"x": 1}}, "logit_bias"), ({"logit_bias": {"5": 101}}, "logit_bias"),
        ({"logit_bias": [1]}, "logit_bias"), ({"ignore_eos": 1}, "ignore_eos"), ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"), ({"logprobs": 1}, "logprobs"),
        ({"stop": ["x" * 257]}, "stop[0]"), ({"stop": "x" * 257}, "stop"),
        ({"response_format": {}}, "response_format.type"), ({"guided_json": "{"}, "guided_json"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        ({"tools": [{"type": "function", "function": {"name": "no spaces"}}]}, "tools[0].function.name"),
        ({"tool_choice": "required"}, "tool_choice"), ({"tool_choice": "perhaps"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "["}}]}]},
         "messages[0].tool_calls[0].function.arguments"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}, 5]}]}, "messages[0].content[1]"),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused_with_its_field(client: TestClient, fields: dict[str, Any], param: str) -> None:
    response = post(client, chat(**fields))
    error = error_of(response)
    assert (response.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert response.headers["x-should-retry"] == "false"


# --- log-probabilities ------------------------------------------------------------------------------------------------


def test_log_probabilities_of_a_chat_come_with_bytes_and_the_likeliest(openai: OpenAI) -> None:
    logprobs = openai.chat.completions.create(**ASK, logprobs=True, top_logprobs=2).choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert [(t.token, t.logprob) for t in logprobs.content] == [
        ("org/handbook ", 0), ("7 ", -0.125), ("0.0: ", -0.25), ("user=hello", -0.375),
    ]  # fmt: skip
    assert logprobs.content[1].bytes == [55, 32]
    assert [(t.token, t.logprob) for t in logprobs.content[1].top_logprobs] == [("7 ", -0.125), ("other", -0.815)]


def test_log_probabilities_of_a_stream_are_those_of_the_whole_answer(client: TestClient) -> None:
    whole = post(client, chat(logprobs=True)).json()["choices"][0]["logprobs"]["content"]
    chunks = events_of(post(client, chat(logprobs=True, stream=True)))[:-1]
    told = [chunk["choices"][0]["logprobs"] for chunk in chunks]
    assert [token for one in told if one for token in one["content"]] == whole
    assert all(token["top_logprobs"] == [] for token in whole)


def test_log_probabilities_of_a_completion_have_the_older_shape(openai: OpenAI, client: TestClient) -> None:
    whole = openai.completions.create(model="builtin:tiny", prompt="é x", seed=1, logprobs=1).choices[0].logprobs
    assert whole is not None
    assert whole.tokens == ["None ", "1 ", "0.0: ", "é ", "x"]
    assert whole.text_offset == [0, 5, 7, 12, 14]
    assert whole.token_logprobs == [0, -0.125, -0.25, -0.375, -0.5]
    assert whole.top_logprobs == [{"None ": 0}, {"1 ": -0.125}, {"0.0: ": -0.25}, {"é ": -0.375}, {"x": -0.5}]
    chunks = events_of(post(client, completion(prompt="é x", seed=1, logprobs=1, stream=True)))[:-1]
    offsets = [offset for chunk in chunks for offset in chunk["choices"][0]["logprobs"]["text_offset"]]
    assert offsets == whole.text_offset


def test_half_a_character_has_no_bytes_and_no_probability_of_nothing_breaks_the_json() -> None:
    from ray_ft.engines import TokenLogprob
    from ray_ft.serving.api.bodies.logprobs import chat_logprobs

    (told,) = chat_logprobs([TokenLogprob(1, "\ufffd", float("-inf"))])["content"]
    assert (told["bytes"], told["logprob"]) == (None, -9999.0)


# --- structure and tools ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "schema"),
    [
        ({"response_format": {"type": "json_object"}}, {"type": "object"}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "array"}}}},
            {"type": "array"},
        ),
        ({"guided_json": {"type": "array"}}, {"type": "array"}),
        ({"guided_json": '{"type": "array"}'}, {"type": "array"}),
    ],
)
def test_an_answer_keeps_to_the_schema_asked_for(
    client: TestClient, model: ScriptedModel, fields: dict[str, Any], schema: dict[str, Any]
) -> None:
    assert post(client, chat(**fields)).status_code == 200
    assert json.loads(model.requests[0].schema) == schema


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"guided_json": {}}, "guided_json"),
        ({"tools": [TOOL], "tool_choice": "required"}, "tool_choice"),
    ],
)
def test_without_a_grammar_a_shape_is_refused_and_the_package_named(
    client: TestClient, model: ScriptedModel, fields: dict[str, Any], param: str
) -> None:
    model.has_grammar = False
    response = post(client, chat(**fields))
    error = error_of(response)
    assert (response.status_code, error["code"], error["param"]) == (400, "unsupported_parameter", param)
    assert "ray_ft[grammar]" in error["message"]


def test_tools_reach_the_template_and_calls_come_back(openai: OpenAI, model: ScriptedModel) -> None:
    model.says = 'Well: <tool_call>\n{"name": "find_page", "arguments": {"of": "é"}}\n</tool_call>'
    answer = openai.chat.completions.create(**ASK, tools=[TOOL])
    assert model.prompt(model.requests[0]) == "tools=find_page user=hello"
    (choice,) = answer.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "Well: ")
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("find_page", {"of": "é"})
    # the answer goes back as it came
    messages = [*HELLO, choice.message, {"role": "tool", "tool_call_id": call.id, "content": "page 3"}]
    openai.chat.completions.create(model="org/handbook", messages=messages, tools=[TOOL])
    called = '<tool_call>{"name": "find_page", "arguments": {"of": "\\u00e9"}}</tool_call>'
    assert model.prompt(model.requests[1]) == (
        f"tools=find_page user=hello assistant=Well: {called} tool={call.id}:page 3"
    )


def test_calls_come_in_a_stream_and_nothing_of_their_tags(openai: OpenAI, model: ScriptedModel) -> None:
    call = '<tool_call> {"name": "find_page", "arguments": {}} </tool_call>'
    model.says = f"a < b {call}\n{call}"
    chunks = list(openai.chat.completions.create(**ASK, tools=[TOOL], stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == "a < b "
    calls = [call for delta in deltas for call in delta.tool_calls or ()]
    assert [(c.index, c.function.name if c.function else "") for c in calls] == [(0, "find_page"), (1, "find_page")]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    "says",
    [
        "plain text", "<tool_call> no json </tool_call>", '<tool_call> {"name": "unknown"} </tool_call> and more',
        '<tool_call> {"name": ["find_page"]} </tool_call>', "<tool_call> open", "ends in <tool_",
    ],
)  # fmt: skip
def test_what_is_no_call_stays_text(client: TestClient, model: ScriptedModel, says: str) -> None:
    model.says = says
    choice = post(client, chat(tools=[TOOL])).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (says, "stop")
    *chunks, _ = events_of(post(client, chat(tools=[TOOL], stream=True)))
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == says


@pytest.mark.parametrize(
    ("choice", "most"), [("required", None), ({"type": "function", "function": {"name": "find_page"}}, 1)]
)
def test_an_answer_that_has_to_call_is_a_list_of_calls(
    client: TestClient, model: ScriptedModel, choice: Any, most: int | None
) -> None:
    model.says = '[{"name": "find_page", "arguments": {"of": "a"}}]'
    for stream in (False, True):
        response = post(client, chat(tools=[TOOL], tool_choice=choice, stream=stream))
        last = events_of(response)[-2] if stream else response.json()
        assert last["choices"][0]["finish_reason"] == "tool_calls"
    schema = json.loads(model.requests[0].schema)
    assert (schema["minItems"], schema.get("maxItems")) == (1, most)
    arguments = schema["items"]["anyOf"][0]["properties"]["arguments"]
    assert arguments["properties"]["of"]["$ref"] == "#/items/anyOf/0/properties/arguments/$defs/t"


def test_a_call_that_was_cut_stays_text(client: TestClient, model: ScriptedModel) -> None:
    model.says = '[{"name": "find_page", "arguments": {"of": "a"}}]'
    choice = post(client, chat(tools=[TOOL], tool_choice="required", max_tokens=2)).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ('[{"name": "find_page",', "length")


def test_tools_are_hidden_where_no_call_is_wanted(client: TestClient, model: ScriptedModel) -> None:
    assert post(client, chat(tools=[TOOL], tool_choice="none")).status_code == 200
    assert model.prompt(model.requests[0]) == "user=hello"


def test_a_template_without_a_place_for_tools_is_no_silent_loss(client: TestClient, model: ScriptedModel) -> None:
    with_tools = model.apply_chat_template
    model.apply_chat_template = lambda messages, tools=None, adapter=None: with_tools(messages)  # type: ignore[method-assign]
    response = post(client, chat(tools=[TOOL]))
    assert (response.status_code, error_of(response)["param"]) == (400, "tools")


def test_a_template_that_fails_on_what_it_is_given_refuses_the_request(
    client: TestClient, model: ScriptedModel
) -> None:
    model.apply_chat_template = lambda messages, depth=0, adapter=None: str(1 // depth)  # type: ignore[method-assign]
    response = post(client, chat(chat_template_kwargs={"depth": 0}))
    assert (response.status_code, error_of(response)["param"]) == (400, "messages")


# --- token ids --------------------------------------------------------------------------------------------------------


def test_texts_and_conversations_are_tokenised_as_they_are_asked(client: TestClient, model: ScriptedModel) -> None:
    body = client.post("/tokenize", json={"model": "builtin:tiny", "prompt": "a b a", "return_token_strs": True}).json()
    assert body == {"count": 3, "max_model_len": CONTEXT, "tokens": [0, 1, 0], "token_strs": ["a", "b", "a"]}
    body = client.post("/tokenize", json={"messages": HELLO, "tools": [TOOL]}).json()
    assert model.detokenize(body["tokens"]) == "tools=find_page user=hello"
    assert client.post("/detokenize", json={"tokens": [1, 0]}).json() == {"prompt": "b a"}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "prompt"), ("/tokenize", {"messages": []}, "messages"),
        ("/tokenize", {"prompt": "x" * 60_000}, "prompt"), ("/detokenize", {"tokens": [-1]}, "tokens"),
        ("/detokenize", {"tokens": ["a"]}, "tokens[0]"), ("/tokenize", {"prompt": "a", "model": "other"}, "model"),
        ("/tokenize", {"messages": [{"role": "user", "content": "x"}], "add_generation_prompt": False},
         "add_generation_prompt"),
    ],
)  # fmt: skip
def test_what_cannot_be_tokenised_is_refused(client: TestClient, path: str, body: Any, param: str) -> None:
    response = client.post(path, json=body)
    assert (response.status_code // 100, error_of(response)["param"]) == (4, param)


# --- fields, errors ---------------------------------------------------------------------------------------------------


def test_ignored_fields_of_any_name_are_told_in_plain_ascii(client: TestClient) -> None:
    response = post(client, chat(**{"naïve\r\nset-cookie: a=b": 1, "z,1": 2, "日": 3}))
    assert response.status_code == 200
    assert response.headers["x-ray-ft-ignored"] == "na%C3%AFve%0D%0Aset-cookie:%20a=b, z%2C1, %E6%97%A5"
    assert "set-cookie" not in response.headers
    many = post(client, chat(**{f"field{i}": 1 for i in range(1000)})).headers["x-ray-ft-ignored"]
    assert many.endswith(", and 980 more")


def test_errors_fill_the_clients_exceptions(openai: OpenAI) -> None:
    with pytest.raises(BadRequestError) as refused:
        openai.chat.completions.create(**ASK, temperature=3)
    assert (refused.value.param, refused.value.type) == ("temperature", "invalid_request_error")
    with pytest.raises(NotFoundError) as missing:
        openai.chat.completions.create(model="gpt-4", messages=HELLO)
    assert missing.value.code == "model_not_found"
    with pytest.raises(APIError, match="on fire"):
        list(
            openai.chat.completions.create(
                model="org/handbook", messages=[{"role": "user", "content": "a explode"}], stream=True
            )
        )


@pytest.mark.parametrize(
    ("fields", "param"), [({"prompt": "x " * 40_000}, "prompt"), ({"prompt": [1] * 60}, "prompt"),
                          ({"messages": [{"role": "user", "content": "x" * 60_000}]}, "messages")]
)  # fmt: skip
def test_a_prompt_beyond_the_context_has_its_own_code(client: TestClient, fields: dict[str, Any], param: str) -> None:
    body = (chat if "messages" in fields else completion)(**fields)
    error = error_of(post(client, body))
    assert (error["code"], error["param"]) == ("context_length_exceeded", param)


@pytest.mark.parametrize(
    ("fields", "numbers"),
    [
        ({"prompt": ["a"] * 129}, ("129", "128")), ({"prompt": [[1]] * 20_000}, ("20000", "128")),
        ({"prompt": ["a"] * 65, "n": 2}, ("130", "128")), ({"prompt": [1] * (2**20 + 1)}, ("1048576",)),
    ],
)  # fmt: skip
def test_choices_are_bounded_over_all_prompts(
    client: TestClient, model: ScriptedModel, fields: dict[str, Any], numbers: tuple[str, ...]
) -> None:
    response = post(client, completion(**fields))
    message = error_of(response)["message"]
    assert response.status_code == 400
    assert all(number in message for number in numbers)
    assert model.requests == []


def test_the_document_describes_bodies_and_errors_as_they_are(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    operations = {
        (path, method): known for path, methods in document["paths"].items() for method, known in methods.items()
    }
    assert {path for path, method in operations if method == "post"} == {
        "/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize",
    }  # fmt: skip
    for known in operations.values():
        assert set(known["responses"]) == {"200", "4XX", "5XX"}
        assert known["responses"]["4XX"]["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorBody")
    fields = document["components"]["schemas"]["ChatBody"]["properties"]
    assert {"messages", "tools", "logprobs", "logit_bias", "response_format", "top_k"} <= set(fields)
