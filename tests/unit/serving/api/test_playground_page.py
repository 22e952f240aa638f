"""The playground's files over HTTP; tests/browser has what the page does."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deployed_endpoint import DeployedEndpoint, deployed_endpoint
from fastapi.testclient import TestClient

import ray_ft.serving
from ray_ft.config import ServingConfig
from ray_ft.serving.access.keys import ApiKey, KeyRing
from ray_ft.serving.api.page_routes import PAGES
from ray_ft.serving.api.registry_api import registry_api
from ray_ft.serving.operation.operate import Operations

FOLDER = Path(ray_ft.serving.__file__).parent / "playground"
RING = KeyRing((ApiKey("reader", hashlib.sha256(b"sesame").hexdigest()),))


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedEndpoint]:
    """`endpoint.client` asks behind a gate that wants keys."""
    with deployed_endpoint(tmp_path_factory.mktemp("page")) as endpoint:
        operations = Operations(endpoint.registry, endpoint.desk, ServingConfig(access_log=False), RING)
        api = registry_api(endpoint.desk, operations.backend, watch={})
        operations.install(api)
        with TestClient(api, follow_redirects=False) as client:
            endpoint.client = client
            yield endpoint


@pytest.fixture
def client(endpoint: DeployedEndpoint) -> TestClient:
    return endpoint.client


def test_the_page_is_open_and_what_it_asks_for_is_not(client: TestClient) -> None:
    assert {client.get(path).status_code for path in PAGES} == {200}
    assert client.get("/v1/models").status_code == 401
    assert client.post("/v1/compare", json={}).status_code == 401
    assert client.get("/playground/..%2f..%2fdeploy.py").status_code in (401, 404)


def test_the_files_arrive_as_they_were_written_and_as_what_they_are(client: TestClient) -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(name for name, _ in PAGES.values())
    for path, (name, media_type) in PAGES.items():
        answer = client.get(path)
        assert (answer.content, answer.headers["content-type"]) == ((FOLDER / name).read_bytes(), media_type)
        head = client.head(path)
        assert (head.status_code, head.content) == (200, b"")


def test_every_file_of_the_page_is_packaged() -> None:
    pyproject = (Path(__file__).parents[4] / "pyproject.toml").read_text()
    for file in FOLDER.iterdir():
        assert f'"**/*{file.suffix}"' in pyproject


def test_nothing_runs_that_is_no_file_of_the_endpoint(client: TestClient) -> None:
    headers = client.get("/playground").headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert {policy[name] for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert (policy["require-trusted-types-for"], policy["trusted-types"]) == ("'script'", "'none'")
    assert headers["x-content-type-options"] == "nosniff"
    texts = {file.name: file.read_text() for file in FOLDER.iterdir()}
    assert not re.search(r"https?://|//[a-z]", "".join(texts.values()))
    assert not re.search(r"<style|\son\w+=|style=|<script(?! type=\"module\" src=)", texts["playground.html"])
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(", texts["playground.js"])


@pytest.mark.parametrize("path", ["/", "/playground/"])
def test_a_browser_is_led_to_the_page(client: TestClient, path: str) -> None:
    answer = client.get(path, headers={"accept": "text/html,application/xhtml+xml"})
    assert (answer.status_code, answer.headers["location"]) == (307, "/playground")
    assert client.get(path, headers={"accept": "application/json"}).status_code == 404


def test_below_a_prefix_it_is_led_there(endpoint: DeployedEndpoint) -> None:
    with TestClient(endpoint.api, root_path="/support", follow_redirects=False) as client:
        assert client.get("/support/", headers={"accept": "text/html"}).headers["location"] == "/support/playground"
        page: Any = client.get("/support/playground")
        assert page.status_code == 200
        assert 'src="playground/playground.js"' in page.text
