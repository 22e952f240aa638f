"""Adapters that come and go over HTTP: versions, aliases, what is refused, and what running answers keep."""

import concurrent.futures
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from deployed_endpoint import BASE, DeployedEndpoint, deployed_endpoint

from ray_ft.serving.access.keys import ApiKey
from ray_ft.serving.operation.gate import _missing_scope
from ray_ft.serving.registry.registry import VERSIONS
from ray_ft.serving.replica.loading import AdapterReplica


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[DeployedEndpoint]:
    with deployed_endpoint(tmp_path) as endpoint:
        yield endpoint


@pytest.fixture
def client(endpoint: DeployedEndpoint) -> openai.OpenAI:
    return openai.OpenAI(base_url="http://testserver/v1", api_key="none", http_client=endpoint.client)


# --- names and versions -----------------------------------------------------------------------------------------------


def test_models_are_listed_base_first_with_versions_and_aliases(endpoint: DeployedEndpoint) -> None:
    endpoint.load("support", b"one")
    endpoint.load("support", b"two", load_inplace=True)
    rows = endpoint.client.get("/v1/models").json()["data"]
    assert [row["id"] for row in rows] == [BASE, "handbook", "support"]
    old, new = endpoint.versions("support")
    about = rows[2]["ray_ft"]
    assert (about["version"], about["versions"], about["aliases"], about["state"]) == (
        new,
        [old, new],
        ["latest"],
        "ready",
    )
    assert {"id", "object", "created", "owned_by", "root", "parent", "max_model_len"} < rows[2].keys()


@pytest.mark.parametrize(
    "form", ["{}", "{}@latest", "{}@{id}", "{}@{short}", "{}@sha256:{short}", f"{BASE}:{{}}", f"{BASE}:{{}}@{{id}}"]
)
def test_a_version_has_many_names(endpoint: DeployedEndpoint, form: str) -> None:
    (id,) = endpoint.versions("handbook")
    name = form.format("handbook", id=id, short=id[:6])
    assert endpoint.answered_by(name) == id
    quoted = name.replace("@", "%40").replace(":", "%3A")
    for path in (name, quoted):
        assert endpoint.client.get(f"/v1/models/{path}").json()["ray_ft"]["version"] == id


@pytest.mark.parametrize(
    "name", ["nobody", "handbook@", "handbook@nothing", "handbook@abc", "exp:none", "../handbook", ""]
)
def test_an_unknown_model_is_not_found(endpoint: DeployedEndpoint, name: str) -> None:
    response = endpoint.ask(name)
    error = response.json()["error"]
    assert (response.status_code, error["type"], error["param"], error["code"]) == (
        404, "invalid_request_error", "model", "model_not_found",
    )  # fmt: skip


def test_a_reply_says_in_which_version_it_was_answered(endpoint: DeployedEndpoint) -> None:
    (id,) = endpoint.versions("handbook")
    response = endpoint.ask("handbook")
    assert (response.json()["system_fingerprint"], response.headers["x-ray-ft-model-version"]) == (id, id)
    assert response.json()["ray_ft"].items() >= {"adapter": "handbook", "version": id, "base": BASE}.items()
    assert endpoint.ask(BASE).json()["ray_ft"]["adapter"] is None


def test_an_alias_moves_and_goes(endpoint: DeployedEndpoint) -> None:
    endpoint.load("support", b"one")
    endpoint.load("support", b"two", load_inplace=True)
    old, new = endpoint.versions("support")
    aliases = "/v1/adapters/support/aliases"
    for version in (old, new):
        assert (
            endpoint.client.post(aliases, json={"alias": "prod", "version": version[:8]}).json()["aliases"]["prod"]
            == version
        )
        assert endpoint.answered_by("support@prod") == version
    assert endpoint.client.post(aliases, json={"alias": "latest", "version": old}).status_code == 200
    assert endpoint.answered_by("support") == old
    assert endpoint.client.post(aliases, json={"alias": "prod"}).status_code == 200
    assert endpoint.ask("support@prod").status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"alias": "a", "version": "none"}, 404),
        ({"alias": "latest"}, 400),
        ({"alias": "cafe12"}, 400),
        ({"name": "x"}, 400),
    ],
)
def test_what_cannot_be_an_alias_is_refused(endpoint: DeployedEndpoint, body: dict[str, Any], status: int) -> None:
    before = endpoint.registry.state
    response = endpoint.client.post("/v1/adapters/handbook/aliases", json=body)
    assert (response.status_code, response.json()["error"]["type"]) == (status, "invalid_request_error")
    assert endpoint.registry.state is before


def test_adapters_are_shown_with_their_versions(endpoint: DeployedEndpoint) -> None:
    row = endpoint.client.get("/v1/adapters/handbook").json()
    assert row["aliases"] == {"latest": row["versions"][0]["version"]}
    assert row["versions"][0]["state"] == "ready"
    assert "no probe.json" in row["versions"][0]["probe"]["note"]
    assert [a["id"] for a in endpoint.client.get("/v1/adapters").json()["data"]] == ["handbook"]
    assert endpoint.client.get("/v1/adapters/nobody").status_code == 404


# --- vLLM's routes ----------------------------------------------------------------------------------------------------


def test_load_and_unload_answer_as_vllm_does(endpoint: DeployedEndpoint) -> None:
    loaded = endpoint.load("support", b"one")
    assert (loaded.status_code, loaded.text) == (200, "Success: LoRA adapter 'support' added successfully.")
    assert endpoint.answered_by("support") == endpoint.versions("support")[0]
    unloaded = endpoint.client.post("/v1/unload_lora_adapter", json={"lora_name": "support"})
    assert (unloaded.status_code, unloaded.text) == (200, "Success: LoRA adapter 'support' removed successfully.")
    assert endpoint.ask("support").status_code == 404
    assert [name.partition("#")[0] for name in endpoint.model.adapters] == endpoint.versions("handbook")


def test_load_and_unload_refuse_as_vllm_does(endpoint: DeployedEndpoint, tmp_path: Path) -> None:
    def refused(route: str, **body: Any) -> tuple[int, str]:
        response = endpoint.client.post(f"/v1/{route}_lora_adapter", json=body)
        error = response.json()["error"]
        assert error["code"] == response.status_code
        return response.status_code, error["type"]

    here = endpoint.adapter("here", b"x")
    outside = tmp_path / "outside"
    outside.mkdir()
    assert refused("load", lora_name="x") == (400, "InvalidUserInput")
    assert refused("load", lora_path=here) == (400, "InvalidUserInput")
    assert refused("load", lora_name="handbook", lora_path=here) == (400, "InvalidUserInput")
    assert refused("load", lora_name=BASE, lora_path=here) == (400, "InvalidUserInput")
    assert refused("load", lora_name="x@y", lora_path=here) == (400, "InvalidUserInput")
    assert refused("load", lora_name="x", lora_path=f"{here}/nothing") == (404, "NotFoundError")
    assert refused("load", lora_name="x", lora_path=f"{here}/../../outside") == (404, "NotFoundError")
    assert refused("load", lora_name="x", lora_path="../outside") == (404, "NotFoundError")
    assert refused("load", lora_name="x", lora_path=str(outside)) == (404, "NotFoundError")
    assert refused("load", lora_name="bad", lora_path=endpoint.adapter("bad", b"bad")) == (400, "BadRequestError")
    assert refused("load", lora_name="x", lora_path="a\0b") == (404, "NotFoundError")
    assert refused("unload") == (400, "InvalidUserInput")
    assert refused("unload", lora_name="nobody") == (404, "NotFoundError")
    assert endpoint.registry.ids == (BASE, "handbook", "bad")


def test_a_path_may_be_given_from_a_root_on(endpoint: DeployedEndpoint) -> None:
    endpoint.adapter("support", b"one")
    body = {"lora_name": "support", "lora_path": "support"}
    assert endpoint.client.post("/v1/load_lora_adapter", json=body).status_code == 200


def test_a_name_whose_adapter_failed_is_free_to_be_loaded_again(endpoint: DeployedEndpoint) -> None:
    assert endpoint.load("support", b"bad").status_code == 400
    assert endpoint.load("support", b"good").status_code == 200
    assert endpoint.load("support", b"better").json()["error"]["type"] == "InvalidUserInput"


def test_of_two_who_load_a_name_at_once_one_has_it(endpoint: DeployedEndpoint) -> None:
    first = in_the_background(endpoint.load, "cold", b"slow")
    until_named(endpoint, "cold")
    assert endpoint.load("cold", b"other").json()["error"]["type"] == "InvalidUserInput"
    endpoint.model.go.set()
    assert first.result(timeout=10).status_code == 200


def test_a_full_disk_ends_no_answer(endpoint: DeployedEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    path = endpoint.adapter("support", b"one")
    with monkeypatch.context() as context:
        context.setattr(Path, "write_text", full)
        response = endpoint.client.post("/v1/load_lora_adapter", json={"lora_name": "support", "lora_path": path})
    assert (response.status_code, response.json()["error"]["code"]) == (507, "store_full")
    assert endpoint.ask("support").status_code == 404
    assert endpoint.ask("handbook").status_code == 200
    assert endpoint.client.post(
        "/v1/load_lora_adapter", json={"lora_name": "support", "lora_path": path}
    ).text.startswith("Success")


def test_a_copy_that_cannot_be_told_breaks_no_unload(
    endpoint: DeployedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone() -> None:
        raise RuntimeError("the replica has died")

    monkeypatch.setattr(endpoint.replica, "sync", gone)
    assert endpoint.load("support", b"one").status_code == 200
    assert endpoint.client.post("/v1/unload_lora_adapter", json={"lora_name": "support"}).status_code == 200
    assert endpoint.ask("support").status_code == 404


# --- what is not ready ------------------------------------------------------------------------------------------------


def test_an_adapter_that_failed_its_gate_is_refused_once_with_the_reason(
    endpoint: DeployedEndpoint, client: openai.OpenAI
) -> None:
    endpoint.load("broken", b"bad")
    row = endpoint.client.get("/v1/adapters/broken").json()["versions"][0]
    assert (row["state"], row["reason"]) == ("failed", "does not fit this base: 3 keys missing")
    with pytest.raises(openai.BadRequestError, match="3 keys missing") as refused:
        client.completions.create(model="broken", prompt="once")
    assert refused.value.code == "adapter_not_ready"
    assert refused.value.response.headers["x-should-retry"] == "false"


def test_a_retrained_adapter_that_fails_leaves_the_old_one_in_its_place(endpoint: DeployedEndpoint) -> None:
    endpoint.load("support", b"one")
    assert endpoint.load("support", b"bad", load_inplace=True).status_code == 400
    old, failed = endpoint.versions("support")
    assert endpoint.answered_by("support") == old
    assert endpoint.ask(f"support@{failed}").json()["error"]["code"] == "adapter_not_ready"
    assert endpoint.load("support", b"three", load_inplace=True).status_code == 200
    assert endpoint.answered_by("support") == endpoint.versions("support")[-1]


def in_the_background(call: Any, *arguments: Any) -> "concurrent.futures.Future[Any]":
    return concurrent.futures.ThreadPoolExecutor(1).submit(call, *arguments)


def until_named(endpoint: DeployedEndpoint, name: str) -> None:
    waited = threading.Event()
    while name not in endpoint.registry.ids:
        waited.wait(0.001)


def test_a_cold_adapter_is_waited_for(endpoint: DeployedEndpoint) -> None:
    loading = in_the_background(endpoint.load, "cold", b"slow")
    until_named(endpoint, "cold")
    asked = in_the_background(endpoint.answered_by, "cold")
    assert endpoint.answered_by("handbook") == endpoint.versions("handbook")[0]  # nobody else waits
    assert not asked.done()
    endpoint.model.go.set()
    assert asked.result(timeout=10) == endpoint.versions("cold")[0]
    assert loading.result(timeout=10).status_code == 200


def test_a_cold_adapter_is_not_waited_for_too_long(tmp_path: Path) -> None:
    with deployed_endpoint(tmp_path, adapter_wait_s=0.05) as endpoint:
        loading = in_the_background(endpoint.load, "cold", b"slow")
        until_named(endpoint, "cold")
        for fields in ({}, {"stream": True}):
            response = endpoint.ask("cold", **fields)
            assert (response.status_code, response.json()["error"]["code"]) == (503, "adapter_loading")
            assert int(response.headers["retry-after"]) >= 1
        endpoint.model.go.set()
        assert loading.result(timeout=10).status_code == 200
        assert endpoint.ask("cold").status_code == 200


# --- what stays what it is --------------------------------------------------------------------------------------------


def test_a_retrained_adapter_answers_new_requests_and_leaves_running_ones(endpoint: DeployedEndpoint) -> None:
    endpoint.load("support", b"one")
    with endpoint.registry.lease(endpoint.registry.find("support").adapter):  # a stream that is still open
        endpoint.load("support", b"two", load_inplace=True)
        old, new = endpoint.versions("support")
        assert (endpoint.answered_by("support"), endpoint.answered_by(f"support@{old}")) == (new, old)
        endpoint.client.post("/v1/unload_lora_adapter", json={"lora_name": "support"})
        assert {name.partition("#")[0] for name in endpoint.model.adapters} >= {old}
    assert not (endpoint.registry.folder / VERSIONS / old).exists()


def test_a_folder_that_is_overwritten_or_deleted_changes_nothing(endpoint: DeployedEndpoint) -> None:
    endpoint.load("support", b"one")
    before = endpoint.answered_by("support")
    endpoint.adapter("support", b"overwritten")
    assert endpoint.answered_by("support") == before
    for file in (endpoint.root / "support").iterdir():
        file.unlink()
    again = AdapterReplica(type(endpoint.model)(), endpoint.registry.folder, max_new_tokens=20)
    again.residency.sync()
    held = again.residency.load(before).result(timeout=10)
    assert (held.verdict.reason, held.name.partition("#")[0]) == ("", before)
    again.close()


def test_a_copy_that_is_not_what_was_deployed_does_not_answer(endpoint: DeployedEndpoint) -> None:
    (id,) = endpoint.versions("handbook")
    (endpoint.registry.folder / VERSIONS / id / "adapter_model.safetensors").write_bytes(b"tampered")
    response = endpoint.ask("handbook")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "adapter_not_ready")
    assert "not what was deployed" in response.json()["error"]["message"]


def test_every_load_has_a_name_of_its_own_in_the_engine(endpoint: DeployedEndpoint) -> None:
    names = set()
    for _ in range(3):
        endpoint.load("support", b"one")
        names |= set(endpoint.model.adapters)
        endpoint.client.post("/v1/unload_lora_adapter", json={"lora_name": "support"})
    assert len({name for name in names if not name.startswith(endpoint.versions("handbook")[0])}) == 3


def test_only_the_newest_versions_are_kept(endpoint: DeployedEndpoint) -> None:
    for i in range(6):
        endpoint.load("support", b"%d" % i, load_inplace=True)
    assert len(endpoint.versions("support")) == 3
    assert endpoint.answered_by("support") == endpoint.versions("support")[-1]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/load_lora_adapter"), ("POST", "/v1/unload_lora_adapter"), ("POST", "/v1/adapters/a/b/aliases"),
        ("POST", "/v1/experiments"), ("GET", "/v1/feedback"),
    ],
)  # fmt: skip
def test_what_changes_what_is_served_is_for_admins(endpoint: DeployedEndpoint, method: str, path: str) -> None:
    assert endpoint.client.request(method, path, json={}).status_code != 405  # there is such a route
    assert _missing_scope(ApiKey("someone"), method, path) == "admin"


def test_every_route_is_described(endpoint: DeployedEndpoint) -> None:
    paths = endpoint.client.get("/openapi.json").json()["paths"]
    assert {"/v1/load_lora_adapter", "/v1/adapters/{name}/aliases", "/v1/compare", "/v1/feedback"} < paths.keys()
