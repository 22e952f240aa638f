"""Answers with retrieved passages: the words are evaluation's, the sources are told, and nobody else waits."""

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from deployed_endpoint import BASE, DeployedEndpoint, deployed_endpoint, retrieval
from exam_fixtures import write_training_set
from fastapi.testclient import TestClient
from playground_endpoint import RING
from random_embedder import random_embedder
from scripted_api import error_of, events_of

from ray_ft import artifacts
from ray_ft.config import Config, ServingConfig
from ray_ft.errors import ConfigError, MissingArtifactError
from ray_ft.evaluation.systems.prompts import build_prompt
from ray_ft.retrievers import BM25, RETRIEVERS, Index
from ray_ft.retrievers.passages import read_passages
from ray_ft.rows import Chunk, passage_text
from ray_ft.serving.access.keys import KeyRing
from ray_ft.serving.api.registry_api import registry_api
from ray_ft.serving.api.retrieval import MAX_QUESTION_CHARS
from ray_ft.serving.operation.operate import Operations
from ray_ft.serving.passages import PassageSet

QUESTION = "What does widget07a do?"
MESSAGES = [{"role": "user", "content": QUESTION}]


@pytest.fixture(scope="module")
def passages(tmp_path_factory: pytest.TempPathFactory) -> PassageSet:
    folder = tmp_path_factory.mktemp("prepared") / "data"
    write_training_set(folder)
    return PassageSet(str(folder), "handbook", BM25(), 2, 5)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, passages: PassageSet) -> Iterator[DeployedEndpoint]:
    with deployed_endpoint(tmp_path_factory.mktemp("endpoint"), passages=passages) as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(shared: DeployedEndpoint) -> DeployedEndpoint:
    """An endpoint whose model has room for passages."""
    shared.model.max_seq_len = 400
    shared.model.requests.clear()
    return shared


def chat(endpoint: DeployedEndpoint, **fields: Any) -> Any:
    body = {"model": BASE, "messages": MESSAGES, "seed": 1, "retrieval": True} | fields
    return endpoint.client.post("/v1/chat/completions", json=body)


def asked(endpoint: DeployedEndpoint) -> list[str]:
    return [endpoint.model.prompt(request) for request in endpoint.model.requests]


def best(passages: PassageSet, k: int) -> list[Chunk]:
    return BM25().index(read_passages(passages.folder)).search(QUESTION, k)


def test_the_model_is_asked_as_evaluation_asks_it(endpoint: DeployedEndpoint, passages: PassageSet) -> None:
    body = chat(endpoint).json()
    found = best(passages, 2)
    texts = [passage_text(passage) for passage in found]
    evaluated = build_prompt(endpoint.model, QUESTION, texts, system_prompt=None, max_new_tokens=5)
    assert evaluated.num_passages == 2
    assert asked(endpoint) == [evaluated.text]
    sources = body["ray_ft"]["sources"]
    assert [source["text"] for source in sources] == [passage.text for passage in found]
    assert sources[0]["document"] == found[0].document_id.partition(":")[2]
    assert sources[0]["heading"] == "Widgets > Widget 7"
    assert sources[0]["score"] > sources[1]["score"] > 0


def test_a_stream_tells_its_sources_with_its_first_chunk(endpoint: DeployedEndpoint) -> None:
    first, *_ = events_of(chat(endpoint, stream=True, retrieval={"k": 1}))
    assert len(first["ray_ft"]["sources"]) == 1


def test_all_that_are_compared_are_asked_the_same(endpoint: DeployedEndpoint) -> None:
    body = {"models": [BASE, "handbook"], "messages": MESSAGES, "retrieval": {"k": 2}, "seed": 1}
    arms = endpoint.client.post("/v1/compare", json=body).json()["arms"]
    first, second = (arm["response"] for arm in arms)
    assert len(first["ray_ft"]["sources"]) == 2
    assert first["ray_ft"]["sources"] == second["ray_ft"]["sources"]
    assert len(set(asked(endpoint))) == 1
    assert "[2] Widgets > Widget" in asked(endpoint)[0]
    rated = {"id": first["id"], "preferred_over": second["id"]}
    assert endpoint.client.post("/v1/feedback", json=rated).status_code == 200


def test_earlier_turns_and_the_system_message_stay_as_they_are(endpoint: DeployedEndpoint) -> None:
    before = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"},
              {"role": "assistant", "content": "Yes?"}]  # fmt: skip
    assert chat(endpoint, messages=[*before, *MESSAGES]).status_code == 200
    assert asked(endpoint)[0].startswith("system=Be brief. user=Hello assistant=Yes? user=Answer the question with ")


def test_passages_that_leave_no_room_for_an_answer_are_dropped_the_worst_first(
    endpoint: DeployedEndpoint, passages: PassageSet
) -> None:
    full = len(build_prompt(endpoint.model, QUESTION, [passage_text(p) for p in best(passages, 2)],
                            system_prompt=None, max_new_tokens=5).text.split(" "))  # fmt: skip

    def shown(max_seq_len: int, **fields: Any) -> int:
        endpoint.model.max_seq_len = max_seq_len
        return len(chat(endpoint, **fields).json()["ray_ft"]["sources"])

    assert [shown(full + 5), shown(full + 4), shown(full + 5, max_tokens=6), shown(9)] == [2, 1, 1, 0]
    assert asked(endpoint)[-1] == f"user={QUESTION}"


def test_without_it_nothing_is_looked_up(endpoint: DeployedEndpoint) -> None:
    for wanted in (False, None):
        assert "sources" not in chat(endpoint, retrieval=wanted).json()["ray_ft"]
    assert asked(endpoint) == 2 * [f"user={QUESTION}"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"retrieval": {"k": 0}}, "retrieval.k: "),
        ({"retrieval": {"k": 17}}, "retrieval.k: "),
        ({"retrieval": {"n": 1}}, "retrieval.n: "),
        ({"retrieval": "yes"}, "retrieval: "),
        ({"messages": [*MESSAGES, {"role": "assistant", "content": "It"}]}, "the last message must be a user's"),
        ({"messages": [{"role": "user", "content": ""}]}, "the last message must be a user's"),
        ({"messages": [{"role": "user", "content": "a" * (MAX_QUESTION_CHARS + 1)}]}, "8193 characters"),
    ],
)
def test_what_cannot_be_looked_up_is_refused(endpoint: DeployedEndpoint, fields: dict[str, Any], said: str) -> None:
    response = chat(endpoint, **fields)
    assert response.status_code == 400
    assert said in response.json()["error"]["message"]
    assert asked(endpoint) == []


def test_a_completion_has_no_question(endpoint: DeployedEndpoint) -> None:
    body = {"model": BASE, "prompt": "once", "retrieval": True}
    for path, model in (("completions", {}), ("compare", {"models": [BASE]})):
        response = endpoint.client.post(f"/v1/{path}", json=body | model)
        assert (response.status_code, response.json()["error"]["param"]) == (400, "retrieval")


def test_an_endpoint_without_passages_says_what_turns_them_on(tmp_path: Path) -> None:
    with deployed_endpoint(tmp_path) as endpoint:
        for response in (
            chat(endpoint),
            endpoint.client.post("/v1/compare", json={"models": [BASE], "messages": MESSAGES, "retrieval": True}),
        ):
            assert response.status_code == 400
            assert (error_of(response)["param"], error_of(response)["code"]) == ("retrieval", "no_passages")
            assert "serving.retrieval: true" in error_of(response)["message"]
        assert "ray_ft" not in endpoint.client.get("/v1/models").json()


def test_who_may_not_ask_the_runs_adapter_finds_no_passages(endpoint: DeployedEndpoint, passages: PassageSet) -> None:
    (reader,) = RING.keys
    other = replace(reader, id="other", sha256="0" * 64)
    rights: list[tuple[str, ...] | None] = [None, ("hand*",), ("support",)]
    for adapters, status in zip(rights, (200, 200, 400), strict=True):
        ring = KeyRing((replace(reader, adapters=adapters), other))
        operations = Operations(endpoint.registry, endpoint.desk, ServingConfig(access_log=False), ring)
        found = retrieval(operations.backend, passages)
        api = registry_api(endpoint.desk, operations.backend, watch={}, retrieval=found)
        operations.install(api)
        client = TestClient(api, headers={"authorization": "Bearer sesame"})
        answer = client.post("/v1/chat/completions", json={"model": BASE, "messages": MESSAGES, "retrieval": True})
        assert answer.status_code == status
        assert ("ray_ft" in client.get("/v1/models").json()) == (status == 200)


@dataclass(frozen=True)
class SlowRetriever(BM25):
    """Takes until `go` is set."""

    began: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def index(self, passages: list[Chunk]) -> Index:
        self.began.set()
        assert self.go.wait(timeout=30)
        return super().index(passages)


def test_others_are_answered_while_passages_are_looked_up(tmp_path: Path, passages: PassageSet) -> None:
    slow = SlowRetriever()
    with (
        deployed_endpoint(tmp_path, passages=replace(passages, retriever=slow)) as endpoint,
        ThreadPoolExecutor(1) as pool,
    ):
        endpoint.model.max_seq_len = 400
        waiting = pool.submit(chat, endpoint)
        assert slow.began.wait(timeout=30)
        assert chat(endpoint, retrieval=False).status_code == 200
        assert not waiting.done()
        slow.go.set()
        assert len(waiting.result(timeout=30).json()["ray_ft"]["sources"]) == 2


@pytest.mark.parametrize("name", ["dense", "hybrid"])
def test_an_embedding_model_finds_them_too(name: str, tmp_path: Path, passages: PassageSet) -> None:
    chunks = read_passages(passages.folder)
    texts = [*map(passage_text, chunks), QUESTION.replace("?", " ?")]
    retriever = RETRIEVERS[name](model=random_embedder(tmp_path / "embedder", texts))  # type: ignore[call-arg]
    (tmp_path / "endpoint").mkdir()
    with deployed_endpoint(tmp_path / "endpoint", passages=replace(passages, retriever=retriever)) as endpoint:
        endpoint.model.max_seq_len = 400
        sources = chat(endpoint).json()["ray_ft"]["sources"]
    found = retriever.index(chunks).ranked(QUESTION, 2)
    assert [source["id"] for source in sources] == [passage.id for passage, _ in found]
    assert found[0][0].text.startswith("widget07a")


# --- where they come from ---------------------------------------------------------------------------------------------


def test_an_endpoint_keeps_passages_of_its_own(tmp_path: Path, passages: PassageSet) -> None:
    shutil.copytree(passages.folder, tmp_path / "data")
    (tmp_path / "endpoint").mkdir()
    copied = replace(passages, folder=str(tmp_path / "data")).copied_to(tmp_path / "endpoint")
    shutil.rmtree(tmp_path / "data")
    assert read_passages(copied.folder) == read_passages(passages.folder)


def test_documents_without_a_passage_are_said_before_anything_starts(tmp_path: Path, passages: PassageSet) -> None:
    with pytest.raises(ConfigError, match=r"serving\.retrieval: there is no passage in .*passages\.parquet"):
        replace(passages, folder=str(tmp_path)).copied_to(tmp_path)


def test_a_run_offers_its_passages_where_it_is_told_to(tmp_path: Path) -> None:
    config = Config(run_name="handbook", output_dir=str(tmp_path))
    assert PassageSet.of_run(config) is None
    config = replace(config, serving=ServingConfig(retrieval=True))
    with pytest.raises(MissingArtifactError, match="ray-ft prepare"):
        PassageSet.of_run(config)
    made = write_training_set(tmp_path / "handbook" / "data")
    artifacts.save(made, tmp_path / "handbook", {})
    found = PassageSet.of_run(config)
    assert found is not None
    assert (found.folder, found.run, found.num_passages, found.num_answer_tokens) == (made.path, "handbook", 3, 128)
