"""What shape an answer has to have, as one JSON schema: of a response format, or of calls that it must make."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictStr

from ray_ft.serving.api.bodies.messages import Tool
from ray_ft.serving.refusals import ApiError, invalid, unsupported


class JsonSchemaFormat(BaseModel):
    """A schema and its name; an answer always keeps to it, whatever `strict` says."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)
    name: StrictStr | None = None
    json_schema: dict[str, Any] | None = Field(None, alias="schema")


class ResponseFormat(BaseModel):
    """The shape of the answer: `text`, `json_object` or `json_schema`."""

    model_config = ConfigDict(extra="allow")
    type: StrictStr
    json_schema: JsonSchemaFormat | None = None

    def schema_text(self) -> str:
        """The JSON schema to keep to; empty for free text."""
        if self.type == "text":
            return ""
        if self.type == "json_object":
            return '{"type": "object"}'
        if self.type != "json_schema":
            raise unsupported("response_format", f"only text, json_object and json_schema are, not {self.type[:40]}")
        if self.json_schema is None or self.json_schema.json_schema is None:
            where = "response_format.json_schema.schema"
            raise invalid(f"{where}: a JSON schema is required", param=where)
        return json.dumps(self.json_schema.json_schema)


def guided_schema(given: dict[str, Any] | str) -> str:
    """The schema of vLLM's `guided_json`, which may be text."""
    if isinstance(given, dict):
        return json.dumps(given)
    try:
        known = json.loads(given)
    except (ValueError, RecursionError):
        known = None
    if not isinstance(known, dict):
        raise invalid("guided_json: a JSON schema is required, as an object or as text", param="guided_json")
    return given


def calls_schema(tools: Sequence[Tool], *, only: str | None, is_parallel: bool) -> str:
    """The schema of an array of calls, at least one: of the tool named `only`, else of any. Raises ApiError."""
    chosen = [tool for tool in tools if only is None or tool.function.name == only]
    if not chosen:
        raise _no_such_tool(only, tools)
    items = [_call_schema(tool, f"#/items/anyOf/{number}") for number, tool in enumerate(chosen)]
    most = {} if is_parallel and only is None else {"maxItems": 1}
    return json.dumps({"type": "array", "minItems": 1, **most, "items": {"anyOf": items}})


def _call_schema(tool: Tool, place: str) -> dict[str, Any]:
    parameters = tool.function.parameters or {"type": "object"}
    return {
        "type": "object",
        "properties": {
            "name": {"const": tool.function.name},
            "arguments": _moved(parameters, f"{place}/properties/arguments"),
        },
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _moved(schema: Any, place: str) -> Any:
    """A schema that becomes part of another one: its references to itself follow it to its place."""
    if isinstance(schema, dict):
        return {
            key: place + value[1:] if key == "$ref" and isinstance(value, str) and value.startswith("#") else
            _moved(value, place)
            for key, value in schema.items()
        }  # fmt: skip
    return [_moved(item, place) for item in schema] if isinstance(schema, list) else schema


def _no_such_tool(name: str | None, tools: Sequence[Tool]) -> ApiError:
    known = ", ".join(tool.function.name for tool in tools) or "none"
    return invalid(f"tool_choice: no tool {(name or '')[:64]!r} is given; given are: {known}", param="tool_choice")
