"""Requests made from the API's own OpenAPI document, right and wrong ones: every reply is one that it describes."""

from typing import Any

import pytest
from scripted_api import CONTEXT, ScriptedApi
from scripted_model import ScriptedModel

schemathesis = pytest.importorskip("schemathesis")
pytestmark = pytest.mark.long  # a minute, for making requests

OPERATIONS = {
    "/v1/chat/completions": "POST", "/v1/completions": "POST", "/tokenize": "POST", "/detokenize": "POST",
    "/v1/models": "GET", "/v1/models/{name}": "GET", "/health": "GET",
}  # fmt: skip


@pytest.mark.parametrize("path", OPERATIONS)
def test_replies_are_those_of_the_document(path: str) -> None:
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks as openapi

    scripted = ScriptedApi()
    scripted.begin(ScriptedModel(max_seq_len=CONTEXT))
    operation = schemathesis.openapi.from_asgi("/openapi.json", scripted.app)[path][OPERATIONS[path]]
    wanted = (
        not_a_server_error, openapi.status_code_conformance, openapi.content_type_conformance,
        openapi.response_schema_conformance,
    )  # fmt: skip
    modes = schemathesis.GenerationMode
    for mode in modes if OPERATIONS[path] == "POST" else [modes.POSITIVE]:

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=40, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def check(case: Any) -> None:
            case.call_and_validate(checks=wanted)

        check()
