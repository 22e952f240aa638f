"""Clients of the API over a scripted model in this process: a plain one, and OpenAI's."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from openai import OpenAI
from scripted_api import CONTEXT, ScriptedApi
from scripted_model import ScriptedModel


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel(max_seq_len=CONTEXT)


@pytest.fixture(scope="session")
def scripted() -> ScriptedApi:
    return ScriptedApi()


@pytest.fixture(scope="session")
def session_client(scripted: ScriptedApi) -> Iterator[TestClient]:
    with TestClient(scripted.app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def api(model: ScriptedModel, scripted: ScriptedApi) -> Any:
    """The ASGI application over the test's model."""
    scripted.begin(model)
    return scripted.app


@pytest.fixture
def client(api: Any, session_client: TestClient) -> TestClient:
    return session_client


@pytest.fixture
def openai(client: TestClient) -> OpenAI:
    """It tries nothing again, so that each failure shows."""

    def send(request: httpx.Request) -> httpx.Response:
        headers = {k: v for k, v in request.headers.items() if k not in ("host", "content-length")}
        path = request.url.raw_path.decode()
        answer = client.request(request.method, path, content=request.read(), headers=headers)
        kept = {k: v for k, v in answer.headers.items() if k != "content-length"}
        return httpx.Response(answer.status_code, headers=kept, content=answer.content)

    http_client = httpx.Client(transport=httpx.MockTransport(send))
    return OpenAI(base_url="http://test/v1", api_key="none", max_retries=0, http_client=http_client)
