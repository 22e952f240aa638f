"""Answers of a server through the engine openai: a small server on this machine, and our own API in this process."""

import json
import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import openai
import pytest
from catalogue import Catalogue
from scripted_model import ScriptedModel

from ray_ft.api.serving import serve
from ray_ft.config import parse_config
from ray_ft.engines import GenerateRequest, OpenAIEngine, TextDelta, WriteRequest
from ray_ft.engines.openai.model import ServerModel
from ray_ft.errors import ConfigError, GenerationError, ModelError
from ray_ft.evaluation.exam.tasks import TUNED
from ray_ft.evaluation.systems.answering import actor_resources
from ray_ft.serving.adapters import ServedModel
from ray_ft.serving.api.routes import create_api
from ray_ft.serving.replica.replica import ModelReplica

SECONDS = 20.0
ADAPTERS = {TUNED: "org/handbook-v3", "other": "org/other"}


class Handler(BaseHTTPRequestHandler):
    """Streams the model's name and three words; `behaviour` says what else it does."""

    protocol_version = "HTTP/1.0"
    seen: list[dict[str, Any]]
    behaviour: set[str]
    hung_up: threading.Event

    def do_GET(self) -> None:
        length = {"max_model_len": 300} if "tells_context" in self.behaviour else {}
        self._json(
            {"object": "list", "data": [{"id": "base", "object": "model", "created": 0, "owned_by": "x"} | length]}
        )

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append(asked | {"path": self.path})
        if "refuses" in self.behaviour:
            self._json({"error": {"message": "no such thing"}}, 400)
        elif asked.get("echo"):
            self._score(asked)
        else:
            self._stream(asked)

    def _score(self, asked: dict[str, Any]) -> None:
        if "no_echo" in self.behaviour:
            self._json({"error": {"message": "echo is not supported"}}, 400)
            return
        costs = [None, *(-0.25 for _ in asked["prompt"][1:]), -9.0]
        told = None if "no_scores" in self.behaviour else {"token_logprobs": costs, "tokens": [], "text_offset": []}
        self._json(self._body([{"index": 0, "text": "x", "finish_reason": "length", "logprobs": told}]))

    def _stream(self, asked: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            for number, word in enumerate([asked["model"], " one", " two", " three"]):
                logprobs = None
                if "logprobs" in asked:
                    logprobs = {"tokens": [word], "token_logprobs": [-1.5], "text_offset": [0]}
                    logprobs["top_logprobs"] = [{" lock": -2.0, word: -1.5, "\ufffd": -7.0}]
                reason = "length" if number == 3 else None
                self._event(self._body([{"index": 0, "text": word, "finish_reason": reason, "logprobs": logprobs}]))
                if "breaks" in self.behaviour:
                    return
                while "never_ends" in self.behaviour:
                    self._event(self._body([{"index": 0, "text": " and", "finish_reason": None, "logprobs": None}]))
            usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
            self._event(self._body([]) | {"usage": usage})
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            self.hung_up.set()

    def _event(self, body: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(body)}\n\n".encode())
        self.wfile.flush()

    def _body(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": "x", "object": "text_completion", "created": 0, "model": "m", "choices": choices}

    def _json(self, body: dict[str, Any], status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[type[Handler]]:
    handler = type("Bound", (Handler,), {"seen": [], "behaviour": set(), "hung_up": threading.Event()})
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.url = f"http://127.0.0.1:{httpd.server_port}/v1"  # type: ignore[attr-defined]
    threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
    yield handler
    httpd.shutdown()
    httpd.server_close()


def engine_of(server: type[Handler], **settings: Any) -> OpenAIEngine:
    url = server.url  # type: ignore[attr-defined]
    return OpenAIEngine(**{"model": "base", "base_url": url, "adapters": ADAPTERS, "max_retries": 0, **settings})


@pytest.fixture
def model(server: type[Handler], tiny_model_path: str) -> Iterator[ServerModel]:
    loaded = engine_of(server).load(tiny_model_path, {TUNED: "anywhere"})
    assert isinstance(loaded, ServerModel)
    yield loaded
    loaded.close()


def test_base_and_adapters_are_asked_by_their_names_on_the_server(model: ServerModel, server: type[Handler]) -> None:
    requests = [GenerateRequest("def lock", adapter=name) for name in (None, TUNED, None)]
    texts = [result.text for result in model.generate(requests)]
    assert texts == [f"{name} one two three" for name in ("base", "org/handbook-v3", "base")]
    assert {asked["path"] for asked in server.seen} == {"/v1/completions"}
    assert server.seen[0]["prompt"] == model.prompt_ids("def lock")
    with pytest.raises(GenerationError, match="no adapter 'other' is loaded; loaded are: tuned"):
        model.generate([GenerateRequest("x", adapter="other")])
    model.load_adapter("other", "anywhere")
    assert model.generate([GenerateRequest("x", adapter="other")])[0].text.startswith("org/other")
    model.unload_adapter("other")
    assert model.status().adapters == (TUNED,)


def test_pieces_are_delivered_as_they_come_and_the_server_counts(model: ServerModel) -> None:
    pieces = list(model.stream(GenerateRequest("def lock", max_new_tokens=9)))
    assert [piece.text for piece in pieces] == ["base", " one", " two", " three"]
    assert [piece.finish_reason for piece in pieces] == [None, None, None, "length"]
    assert pieces[-1].num_completion_tokens == 4
    assert {piece.num_prompt_tokens for piece in pieces} == {len(model.prompt_ids("def lock"))}


def test_what_a_request_asks_for_is_passed_on(model: ServerModel, server: type[Handler]) -> None:
    model.generate([GenerateRequest("def lock", max_new_tokens=7)])
    plain = {"path", "model", "prompt", "max_tokens", "temperature", "top_p", "seed", "stream", "stream_options"}
    assert set(server.seen[0]) == plain
    request = GenerateRequest(
        (1, 2, 3), temperature=0.5, top_p=0.9, top_k=4, min_p=0.1, stop=("a", ""), seed=5, repetition_penalty=1.2,
        presence_penalty=0.3, frequency_penalty=0.4, logit_bias=((7, -1.0),), schema='{"type": "object"}',
        ignore_end=True,
    )  # fmt: skip
    model.generate([request])
    asked = server.seen[1]
    assert (asked["prompt"], asked["max_tokens"], asked["seed"]) == ([1, 2, 3], 128, 5)
    assert (asked["temperature"], asked["top_p"], asked["top_k"], asked["min_p"]) == (0.5, 0.9, 4, 0.1)
    assert (asked["repetition_penalty"], asked["presence_penalty"], asked["frequency_penalty"]) == (1.2, 0.3, 0.4)
    assert (asked["stop"], asked["logit_bias"], asked["ignore_eos"]) == (["a"], {"7": -1.0}, True)
    assert asked["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_log_probabilities_come_with_the_tokens(model: ServerModel) -> None:
    result = model.generate([GenerateRequest("def lock", num_logprobs=2)])[0]
    assert [told.token for told in result.logprobs] == ["base", " one", " two", " three"]
    [lock] = model.token_ids(" lock")
    for told in result.logprobs:
        assert told.logprob == -1.5
        assert told.top[1] == (lock, " lock", -2.0)
        assert told.top[0][1:] == (told.token, -1.5)


def test_a_cancelled_answer_hangs_up(model: ServerModel, server: type[Handler]) -> None:
    server.behaviour.add("never_ends")
    items: list[TextDelta | Exception] = []
    first = threading.Event()

    def deliver(item: TextDelta | Exception) -> None:
        items.append(item)
        first.set()

    cancel = model.submit(GenerateRequest("def lock"), deliver)
    assert first.wait(SECONDS)
    cancel()
    assert server.hung_up.wait(SECONDS)
    assert all(isinstance(item, TextDelta) for item in items)
    assert model.status().num_running == 0


def test_closing_ends_open_answers_in_an_error(model: ServerModel, server: type[Handler]) -> None:
    server.behaviour.add("never_ends")
    stream = model.stream(GenerateRequest("def lock"))
    next(stream)
    model.close()
    with pytest.raises(GenerationError, match="the model was closed"):
        list(stream)
    for ask in (model.status, lambda: model.generate([GenerateRequest("x")])):
        with pytest.raises(GenerationError, match="the model was closed"):
            ask()
    assert server.hung_up.wait(SECONDS)


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [("refuses", "the server refused: .*no such thing"), ("breaks", "the server ended the answer: its stream broke")],
)
def test_what_goes_wrong_at_the_server_ends_the_answer(
    model: ServerModel, server: type[Handler], behaviour: str, message: str
) -> None:
    server.behaviour.add(behaviour)
    with pytest.raises(GenerationError, match=message):
        model.generate([GenerateRequest("def lock")])


def test_a_server_that_is_not_there_is_named_at_once(tiny_model_path: str) -> None:
    engine = OpenAIEngine(model="base", base_url="http://127.0.0.1:9/v1", max_retries=0)
    with pytest.raises(GenerationError, match=r"http://127\.0\.0\.1:9/v1 \(model base\) does not answer"):
        engine.load(tiny_model_path, {})


def test_texts_are_scored_by_what_the_server_says_of_a_prompt(model: ServerModel, server: type[Handler]) -> None:
    # The server says -0.25 of every token of a prompt after the first.
    text = "def release(lock): return lock.release()"
    num_tokens = len(model._prompts.encode_content(text))
    assert model.negative_log_likelihood([text, ""], adapter=TUNED) == [num_tokens / 4, 0.0]
    asked = server.seen[0]
    assert (asked["model"], asked["echo"], asked["max_tokens"]) == ("org/handbook-v3", True, 1)
    for behaviour in ("no_echo", "no_scores"):
        server.behaviour.clear()
        server.behaviour.add(behaviour)
        with pytest.raises(GenerationError, match=r"evaluation\.num_documents=0") as error:
            model.negative_log_likelihood([text], adapter=None)
        assert "\n" not in str(error.value)


def test_a_prompts_log_probabilities_are_the_servers(model: ServerModel, server: type[Handler]) -> None:
    [told] = model.prompt_logprobs([model.prompt_ids("def release")], adapter=TUNED, num_logprobs=3)
    assert math.isnan(told[0].logprob)
    assert [token.logprob for token in told[1:]] == [-0.25] * (len(told) - 1)
    assert server.seen[0]["logprobs"] == 3


def test_the_context_is_the_servers_or_the_bases_own(
    model: ServerModel, server: type[Handler], tiny_model_path: str
) -> None:
    assert model.max_seq_len == 2048
    server.behaviour.add("tells_context")
    told = engine_of(server).load(tiny_model_path, {})
    given = engine_of(server, max_seq_len=99).load(tiny_model_path, {})
    assert (told.max_seq_len, given.max_seq_len) == (300, 99)
    with pytest.raises(GenerationError, match="no room for an answer in the model's context of 99"):
        given.generate([GenerateRequest(tuple(range(99)))])
    told.close()
    given.close()


def test_adapters_have_to_be_named_on_the_server(server: type[Handler], tiny_model_path: str) -> None:
    with pytest.raises(ModelError, match=r"engine\.adapters: there is no 'tuned' among \['x'\].*serves outputs/a"):
        engine_of(server, adapters={"x": "y"}).load(tiny_model_path, {TUNED: "outputs/a"})


def test_it_evaluates_and_does_not_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    raw: dict[str, Any] = {"run_name": "x", "model": {"name": "m"}, "data": {"sources": ["docs"], "recipes": ["qa"]}}
    config = parse_config({**raw, "engine": {"name": "openai", "model": "base", "adapters": {"tuned": "a"}}})
    assert config.engine == OpenAIEngine(model="base", adapters={"tuned": "a"})
    with pytest.raises(ConfigError, match=r"engine\.name: openai asks a server, which serves already; take auto"):
        serve(config)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"GPU": 8.0, "CPU": 4.0})
    monkeypatch.setattr(ray, "nodes", lambda: [{}, {}])
    assert actor_resources(config.engine, "nowhere", 40) == ({"num_cpus": 1}, 1)  # needs neither a GPU nor the weights


def test_our_own_api_answers_it(tiny_model_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = Catalogue((
        ServedModel("base", None, None, "a" * 12, 1),
        ServedModel("org/handbook-v3", "org/handbook-v3", "base", "b" * 12, 2),
    ))  # fmt: skip
    replica = ModelReplica(ScriptedModel(), max_new_tokens=20)
    transport = httpx.ASGITransport(app=create_api(names, replica))

    def client(engine: OpenAIEngine, kind: str) -> Any:
        http = httpx.AsyncClient(transport=transport)
        return openai.AsyncOpenAI(base_url="http://test/v1", api_key="none", http_client=http, max_retries=0)

    monkeypatch.setattr("ray_ft.engines.openai.model.make_client", client)
    engine = OpenAIEngine(model="base", adapters=ADAPTERS, prompts="text", max_seq_len=100)
    model = engine.load(tiny_model_path, {TUNED: "anywhere"})
    requests = [GenerateRequest("hello there", adapter=name, max_new_tokens=9, seed=3) for name in (None, TUNED)]
    assert [result.text for result in model.generate(requests)] == [
        "None 3 0.0: hello there",
        "org/handbook-v3 3 0.0: hello there",
    ]
    pieces = list(model.stream(requests[1]))
    assert ("".join(piece.text for piece in pieces), pieces[-1].finish_reason) == (
        "org/handbook-v3 3 0.0: hello there",
        "stop",
    )
    assert pieces[-1].num_completion_tokens == 5
    with pytest.raises(GenerationError, match="on fire"):
        model.generate([GenerateRequest("explode", max_new_tokens=9)])
    model.close()
    replica.close()


def test_the_writer_is_as_before(server: type[Handler]) -> None:
    assert engine_of(server).write_batch_size() == 256
    server.behaviour.add("refuses")
    [(place, written)] = engine_of(server).load_writer("").write([WriteRequest("x")])
    assert (place, written.text) == (0, "")
    assert "the server refused" in written.error
