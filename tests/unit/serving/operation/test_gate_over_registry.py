"""Keys before adapters that come and go: what a key may not ask it finds under no name, and only admins change it."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deployed_endpoint import DeployedEndpoint, deployed_endpoint
from fastapi.testclient import TestClient

from ray_ft.config import ServingConfig
from ray_ft.serving.access.keys import SCOPES, ApiKey, KeyRing
from ray_ft.serving.api.registry_api import registry_api
from ray_ft.serving.operation.gate import ADMIN_READS, ADMIN_ROUTES
from ray_ft.serving.operation.operate import Operations

ASKING = {"/v1/chat/completions", "/v1/completions", "/v1/compare", "/v1/feedback", "/tokenize", "/detokenize"}


def key(name: str, **rights: Any) -> ApiKey:
    return ApiKey(name, hashlib.sha256(name.encode()).hexdigest(), **rights)


RING = KeyRing((key("all"), key("none", adapters=()), key("boss", scopes=SCOPES)))


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[DeployedEndpoint]:
    """`endpoint.client` asks behind the gate, and shows no key of its own."""
    with deployed_endpoint(tmp_path) as endpoint:
        operations = Operations(endpoint.registry, endpoint.desk, ServingConfig(max_new_tokens=20), RING)
        api = registry_api(endpoint.desk, operations.backend, watch={})
        operations.install(api)
        with TestClient(api, raise_server_exceptions=False) as client:
            endpoint.client = client
            yield endpoint


def statuses(endpoint: DeployedEndpoint, method: str, path: str, body: Any = None) -> list[int]:
    """What the three keys get, in their order."""
    return [
        endpoint.client.request(
            method, path, json=body, headers={"authorization": f"Bearer {secret.id}"}
        ).status_code
        for secret in RING.keys
    ]  # fmt: skip


def test_every_route_that_changes_something_is_an_admins(endpoint: DeployedEndpoint) -> None:
    routes = endpoint.client.app.openapi()["paths"]  # type: ignore[attr-defined]
    assert set(routes) > ASKING
    changing = [path for path, methods in routes.items() if set(methods) - {"get", "head"} and path not in ASKING]
    assert len(changing) >= 4
    for path in changing:
        assert ADMIN_ROUTES.match(path), path
        assert statuses(endpoint, "POST", path.replace("{name}", "handbook"), {})[:2] == [403, 403]


def test_only_an_admin_loads_and_what_it_loads_is_for_those_who_may(endpoint: DeployedEndpoint) -> None:
    body = {"lora_name": "other", "lora_path": endpoint.adapter("other", b"other")}
    assert statuses(endpoint, "POST", "/v1/load_lora_adapter", body) == [403, 403, 200]
    [version] = endpoint.versions("other")
    for name in ("other", f"other@{version}", "builtin:tiny:other", f"other@{version[:6]}"):
        asked = {"model": name, "prompt": "once", "max_tokens": 2}
        found = statuses(endpoint, "POST", "/v1/completions", asked)
        assert found[1] == 404
        assert found[0] == found[2]
    assert statuses(endpoint, "POST", "/v1/completions", {"model": "other", "prompt": "once"}) == [200, 404, 200]
    arms = {"models": ["builtin:tiny", "other"], "prompt": "once", "max_tokens": 2}
    assert statuses(endpoint, "POST", "/v1/compare", arms) == [200, 404, 200]
    assert statuses(endpoint, "GET", "/v1/models/other") == [200, 404, 200]
    assert statuses(endpoint, "GET", "/v1/adapters/other") == [200, 403, 200]
    page = endpoint.client.get("/metrics", headers={"authorization": "Bearer boss"}).text
    assert re.search(rf'completion_tokens_total{{adapter="other",process="[^"]+",version="{version}"}}', page)


def test_what_others_have_written_is_read_by_admins(endpoint: DeployedEndpoint) -> None:
    assert ADMIN_READS.match("/v1/feedback")
    assert [status == 403 for status in statuses(endpoint, "GET", "/v1/feedback")] == [True, True, False]
