"""Models side by side, experiments, shadows, and what people say of replies."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deployed_endpoint import BASE, DeployedEndpoint, deployed_endpoint

from ray_ft.data.ingest.records import Origin, read_line
from ray_ft.serving.registry import feedback, traffic


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[DeployedEndpoint]:
    with deployed_endpoint(tmp_path) as endpoint:
        endpoint.load("support", b"one")
        endpoint.load("support", b"two", load_inplace=True)
        yield endpoint


def post(endpoint: DeployedEndpoint, path: str, **body: Any) -> Any:
    return endpoint.client.post(f"/v1/{path}", json=body)


def events_of(response: Any) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


USER = [{"role": "user", "content": "hello"}]


# --- side by side -----------------------------------------------------------------------------------------------------


def test_models_answer_the_same_prompt_with_the_same_seed(endpoint: DeployedEndpoint) -> None:
    old, new = endpoint.versions("support")
    models = [BASE, "support", f"support@{old}"]
    body = post(endpoint, "compare", models=models, messages=USER, temperature=0.5, max_tokens=9).json()
    assert [(arm["arm"], arm["version"]) for arm in body["arms"]][1:] == [("support", new), (f"support@{old}", old)]
    texts = [arm["response"]["choices"][0]["message"]["content"] for arm in body["arms"]]
    assert texts[0].startswith(f"None {body['seed']} 0.5: user=hello")
    assert {text.split(" ", 1)[1] for text in texts} == {f"{body['seed']} 0.5: user=hello"}
    assert [text.partition("#")[0] for text in texts[1:]] == [new, old]
    assert all(arm["response"]["object"] == "chat.completion" and arm["seconds"] >= 0 for arm in body["arms"])


def test_an_arm_that_cannot_answer_leaves_the_others_alone(endpoint: DeployedEndpoint) -> None:
    endpoint.load("broken", b"bad")
    arms = post(endpoint, "compare", models=["broken", BASE], prompt="once").json()["arms"]
    assert (arms[0]["response"], arms[0]["error"]["code"]) == (None, "adapter_not_ready")
    assert arms[1]["response"]["choices"][0]["text"].endswith("once")


def test_chunks_of_a_comparison_name_their_arm(endpoint: DeployedEndpoint) -> None:
    endpoint.load("broken", b"bad")
    models = ["support", "broken", BASE]
    events = events_of(post(endpoint, "compare", models=models, messages=USER, seed=3, stream=True))
    assert events.pop() == "[DONE]"
    texts: Counter[str] = Counter()
    for arm in ("support", BASE):
        own = [e for e in events if e["arm"] == arm]
        texts[arm] = "".join(c["delta"].get("content", "") for e in own for c in e.get("choices", ()))  # type: ignore[assignment]
        assert own[0]["choices"][0]["delta"]["role"] == "assistant"
        assert own[-2]["choices"][0]["finish_reason"] == "stop"
        assert own[-1]["usage"]["completion_tokens"] > 0
    assert texts[BASE] == "None 3 0.0: user=hello"
    assert [e["error"]["code"] for e in events if e["arm"] == "broken"] == ["adapter_not_ready"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"models": []}, "models"),
        ({"models": [BASE, BASE]}, "models"),
        ({"models": [BASE] * 17}, "models"),
        ({"models": [BASE, "nobody"]}, "model"),
        ({"models": [BASE], "messages": [{"role": "robot", "content": ""}]}, "messages[0].role"),
        ({"models": [BASE], "temperature": 9}, "temperature"),
    ],
)
def test_a_comparison_that_cannot_be_made_is_refused(
    endpoint: DeployedEndpoint, fields: dict[str, Any], param: str
) -> None:
    response = post(endpoint, "compare", **({"messages": USER} | fields))
    error = response.json()["error"]
    assert (response.status_code in (400, 404), error["type"], error["param"]) == (True, "invalid_request_error", param)


# --- experiments and shadows ------------------------------------------------------------------------------------------


def test_an_experiment_gives_each_user_one_arm_by_the_weights(endpoint: DeployedEndpoint) -> None:
    old, new = endpoint.versions("support")
    arms = {"support": 3, f"support@{old}": 1}
    assert post(endpoint, "experiments", experiments={"tone": arms}).json()["experiments"] == {"tone": arms}
    drawn = [endpoint.registry.find("exp:tone", user=f"user-{i}").version for i in range(400)]
    assert 260 < drawn.count(new) < 340
    assert drawn == [endpoint.registry.find("exp:tone", user=f"user-{i}").version for i in range(400)]
    for user in ("user-1", "user-2"):
        response = endpoint.ask("exp:tone", user=user)
        version = endpoint.registry.find("exp:tone", user=user).version
        told = response.json()["ray_ft"]
        assert (told["experiment"], told["version"]) == ("tone", version)
        assert told["arm"] in arms
        assert response.json()["choices"][0]["text"].startswith(version)
    assert {endpoint.answered_by("exp:tone") for _ in range(60)} == {old, new}
    endpoint.load("support", b"three", load_inplace=True)
    endpoint.load("support", b"four", load_inplace=True)
    assert old in endpoint.versions("support")  # an arm is not let go of
    post(endpoint, "experiments", experiments={"tone": None})
    assert endpoint.ask("exp:tone").status_code == 404


@pytest.mark.parametrize(
    "fields",
    [
        {"experiments": {"a": {}}},
        {"experiments": {"a": {"support": 0}}},
        {"experiments": {"a": {"nobody": 1}}},
        {"experiments": {"a": {"exp:b": 1}}},
        {"experiments": {"a b": {"support": 1}}},
        {"shadows": [{"of": BASE, "to": "nobody"}]},
        {"shadows": [{"of": BASE, "to": "support", "sample": 2}]},
        {"arms": {}},
    ],
)
def test_an_experiment_that_means_nothing_is_refused(endpoint: DeployedEndpoint, fields: dict[str, Any]) -> None:
    before = endpoint.registry.state
    assert post(endpoint, "experiments", **fields).status_code in (400, 404)
    assert endpoint.registry.state is before


def shadow_lines(endpoint: DeployedEndpoint, number: int) -> list[dict[str, Any]]:
    path, waited = endpoint.registry.folder.parent / traffic.SHADOW_FILE, threading.Event()
    while not path.is_file() or path.read_text().count("\n") < number:
        waited.wait(0.001)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_shadow_is_asked_in_the_background_and_answers_nobody(endpoint: DeployedEndpoint) -> None:
    post(endpoint, "experiments", shadows=[{"of": BASE, "to": "support", "sample": 1.0}])
    reply = endpoint.ask(BASE).json()
    streamed = events_of(endpoint.ask(BASE, stream=True))[0]["id"]
    assert endpoint.answered_by("handbook") == endpoint.versions("handbook")[0]  # of which there is no shadow
    lines = shadow_lines(endpoint, 2)
    assert reply["choices"][0]["text"] == "None 7 0.0: once"
    new = endpoint.versions("support")[1]
    assert {(line["id"], line["to"], line["version"]) for line in lines} == {
        (reply["id"], "support", new), (streamed, "support", new),
    }  # fmt: skip
    shadows = [r for r in endpoint.model.requests if r.is_background]
    assert [str(r.adapter).partition("#")[0] for r in shadows] == [new, new]


def test_a_shadow_that_breaks_or_is_too_slow_harms_no_reply(
    endpoint: DeployedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(endpoint, "experiments", shadows=[{"of": BASE, "to": "support", "sample": 1.0}])
    original, waiting = endpoint.replica.answer, asyncio.Event()

    async def slow(ask: Any) -> Any:
        if ask.is_background:
            await waiting.wait()
            raise RuntimeError("the candidate is broken")
        return await original(ask)

    monkeypatch.setattr(endpoint.replica, "answer", slow)
    assert all(endpoint.ask(BASE).status_code == 200 for _ in range(traffic.MAX_OPEN + 3))
    counts = endpoint.client.get("/v1/experiments").json()["shadow_answers"]
    assert counts == {"asked": traffic.MAX_OPEN, "dropped": 3}


# --- feedback ---------------------------------------------------------------------------------------------------------


def rows(endpoint: DeployedEndpoint, form: str) -> list[dict[str, Any]]:
    text = endpoint.client.get("/v1/feedback", params={"format": form}).text
    return [json.loads(line) for line in text.splitlines()]


def chat(endpoint: DeployedEndpoint, model: str, **fields: Any) -> tuple[str, str]:
    body = post(endpoint, "chat/completions", model=model, messages=USER, **fields).json()
    return body["id"], body["choices"][0]["message"]["content"]


def test_a_preferred_answer_becomes_a_row_of_preferences(endpoint: DeployedEndpoint) -> None:
    arms = post(endpoint, "compare", models=[BASE, "support"], messages=USER, seed=1).json()["arms"]
    base, tuned = (arm["response"] for arm in arms)
    given = post(endpoint, "feedback", id=tuned["id"], preferred_over=base["id"], comment="clearer")
    assert (given.status_code, given.json()["model"]) == (200, f"support@{arms[1]['version']}")
    chosen, rejected = (
        [{"role": "assistant", "content": r["choices"][0]["message"]["content"]}] for r in (tuned, base)
    )
    assert rows(endpoint, "preference") == [{"prompt": USER, "chosen": chosen, "rejected": rejected}]


def test_scores_of_one_prompt_are_set_against_each_other(endpoint: DeployedEndpoint) -> None:
    answers = [chat(endpoint, "support", seed=i) for i in range(3)]
    for (id, _), score in zip(answers, (0.2, -1, 0.9), strict=True):
        assert post(endpoint, "feedback", id=id, score=score).status_code == 200
    (row,) = rows(endpoint, "preference")
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == (answers[2][1], answers[1][1])


def test_liked_answers_are_what_training_reads(endpoint: DeployedEndpoint) -> None:
    liked, disliked = chat(endpoint, "support", seed=1), chat(endpoint, "support", seed=2)
    streamed = events_of(endpoint.ask("support", stream=True))
    for id, score in ((liked[0], 1), (disliked[0], 1), (disliked[0], -1), (streamed[0]["id"], 0.5)):
        assert post(endpoint, "feedback", id=id, score=score).status_code == 200
    made = rows(endpoint, "messages")
    assert made[0] == {"messages": [*USER, {"role": "assistant", "content": liked[1]}]}
    assert made[1]["completion"] == "".join(e["choices"][0]["text"] for e in streamed[:-1])
    records = [read_line(json.dumps(row).encode(), Origin("x", "x")) for row in made]
    assert [(record.reason, len(record.examples)) for record in records] == [("", 1), ("", 1)]


def test_who_changes_their_mind_teaches_the_last_word_alone(endpoint: DeployedEndpoint) -> None:
    first, second = chat(endpoint, "support", seed=1), chat(endpoint, "support", seed=2)
    for one, other in ((first, second), (second, first)):
        assert post(endpoint, "feedback", id=one[0], preferred_over=other[0]).status_code == 200
    (row,) = rows(endpoint, "preference")
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == (second[1], first[1])


def test_a_comment_takes_no_rating_back(endpoint: DeployedEndpoint) -> None:
    id, text = chat(endpoint, "support")
    for said in ({"score": 1}, {"comment": "names the file"}):
        assert post(endpoint, "feedback", id=id, **said).status_code == 200
    (row,) = rows(endpoint, "messages")
    assert row["messages"][-1]["content"] == text


def test_one_choice_of_several_is_rated(endpoint: DeployedEndpoint) -> None:
    body = endpoint.ask("support", n=2, temperature=1.0).json()
    assert post(endpoint, "feedback", id=body["id"], index=1, preferred_over=body["id"]).status_code == 200
    (row,) = rows(endpoint, "preference")
    assert (row["chosen"], row["rejected"]) == (body["choices"][1]["text"], body["choices"][0]["text"])


def test_feedback_that_cannot_be_joined_is_refused(endpoint: DeployedEndpoint) -> None:
    id, _ = chat(endpoint, BASE)
    other = endpoint.ask(BASE).json()["id"]
    refused = [
        ({"id": "chatcmpl-x", "score": 1}, 404, "id"), ({"id": id, "preferred_over": "x"}, 404, "preferred_over"),
        ({"id": id}, 400, "score"), ({"id": id, "score": 2}, 400, "score"), ({"score": 1}, 400, "id"),
        ({"id": id, "preferred_over": other}, 400, "preferred_over"),
        ({"id": id, "preferred_over": id}, 400, "preferred_over"), ({"id": id, "stars": 5}, 400, "stars"),
    ]  # fmt: skip
    for body, status, param in refused:
        response = post(endpoint, "feedback", **body)
        assert (response.status_code, response.json()["error"]["param"]) == (status, param)
    assert rows(endpoint, "raw") == []


def test_only_the_latest_replies_are_remembered(endpoint: DeployedEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "MAX_REPLIES", 2)
    ids = [chat(endpoint, BASE, seed=i)[0] for i in range(3)]
    assert [post(endpoint, "feedback", id=id, score=1).status_code for id in ids] == [404, 200, 200]


def test_feedback_on_a_full_disk_is_not_thanked_for(
    endpoint: DeployedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = chat(endpoint, BASE, seed=1)[0], chat(endpoint, BASE, seed=2)[0]
    post(endpoint, "feedback", id=first, score=1)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(feedback.os, "fsync", full)
        response = post(endpoint, "feedback", id=second, score=1)
    assert (response.status_code, response.json()["error"]["code"]) == (507, "store_full")
    assert [row["id"] for row in rows(endpoint, "raw")] == [first]
    monkeypatch.setattr(feedback, "MAX_FILE_BYTES", 10)
    assert post(endpoint, "feedback", id=second, score=1).status_code == 507
