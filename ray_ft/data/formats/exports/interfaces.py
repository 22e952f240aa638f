"""JSON and YAML: OpenAPI and JSON Schema as documents of what they describe; other small files as configuration."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ray_ft.data.formats.assemble import Piece, assemble
from ray_ft.data.formats.base import Parsed, Unreadable
from ray_ft.data.formats.code import parse_plain_code
from ray_ft.data.formats.lightweight.markdown.parse import read_markdown

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
MAX_CONFIGURATION = 2**16  # characters; longer JSON is data
MAX_DEPTH = 6  # of properties in properties
MAX_PROPERTIES = 500
BOUNDS = {"minimum": "at least", "maximum": "at most"}
YAML_MARKS = ("openapi:", "swagger:", "asyncapi:", '"openapi"', '"swagger"', "'openapi'")


def parse_json(text: str) -> Parsed:
    """A description's blocks, else lines of configuration. Raises Unreadable for long files of data."""
    if len(text) <= MAX_CONFIGURATION or _may_describe(text):
        try:
            value = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            value = None  # with comments, or broken: lines
        if (described := _described(value)) is not None:
            return described
    if len(text) > MAX_CONFIGURATION:
        raise Unreadable("data, not text")
    return replace(parse_plain_code(text), language="json")


def parse_yaml(text: str) -> Parsed:
    """An API description's blocks, else lines of configuration."""
    if any(line.startswith(YAML_MARKS) for line in text[:4096].split("\n")):
        described = _described(_yaml_without_aliases(text))
        if described is not None:
            return described
    return replace(parse_plain_code(text), language="yaml")


def _may_describe(text: str) -> bool:
    head = text[:4096]
    return any(mark in head for mark in ('"openapi"', '"swagger"', '"$schema"', '"asyncapi"'))


def _yaml_without_aliases(text: str) -> Any:
    """What YAML's safe loader makes of one document, else None; a few aliases would make gigabytes of a file."""
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("aliases are not read")
            return super().compose_node(parent, index)

    loader = Loader(text)
    try:
        return loader.get_single_data()
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    finally:
        loader.dispose()


def _described(value: Any) -> Parsed | None:
    """The document of a description; None for what is none."""
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("paths"), dict) and ("openapi" in value or "swagger" in value):
        pieces = list(_openapi(value))
    elif "json-schema.org" in str(value.get("$schema", "")) and not {"openapi", "swagger"} & value.keys():
        pieces = list(_schema_document(value))
    else:
        return None
    whole, blocks = assemble(pieces)
    title = next((piece.text for piece in pieces if piece.type == "heading"), "")
    return Parsed(whole, blocks, {"title": title} if title else {}) if blocks else None


def _openapi(api: Mapping[str, Any]) -> Iterator[Piece]:
    """The API's own words, each operation with parameters, body and answers, and each schema with its properties."""
    info = _mapping(api.get("info"))
    yield Piece("heading", _line(info.get("title")) or "API", 1)
    yield from _prose(info.get("description"))
    for path, operations in _mapping(api.get("paths")).items():
        shared = _list(_mapping(operations).get("parameters"))
        for method in METHODS:
            operation = _mapping(operations).get(method)
            if isinstance(operation, dict):
                yield from _operation(api, f"{method.upper()} {path}", operation, shared)
    schemas = _mapping(_mapping(api.get("components")).get("schemas")) or _mapping(api.get("definitions"))
    for name, schema in schemas.items():
        yield Piece("heading", str(name), 2)
        yield from _schema(api, _mapping(schema))


def _operation(api: Mapping[str, Any], route: str, operation: Mapping[str, Any], shared: list[Any]) -> Iterator[Piece]:
    summary = _line(operation.get("summary"))
    yield Piece("heading", f"{route}: {summary}" if summary else route, 2)
    yield from _prose(operation.get("description") or summary)
    parameters = [_resolved(api, p) for p in (*shared, *_list(operation.get("parameters")))]
    rows = [_parameter(api, p) for p in parameters if p.get("name")]
    if rows:
        yield Piece("paragraph", "Parameters:")
        yield Piece("list", "\n".join(rows))
    body = _resolved(api, operation.get("requestBody"))
    for media, content in _mapping(body.get("content")).items():
        yield Piece("paragraph", f"Request body ({media}): {_type(api, _mapping(content).get('schema'))}")
    answers = [
        f"- {code}: {words}" for code, answer in _mapping(operation.get("responses")).items()
        if (words := _line(_resolved(api, answer).get("description")))
    ]  # fmt: skip
    if answers:
        yield Piece("paragraph", "Responses:")
        yield Piece("list", "\n".join(answers))


def _parameter(api: Mapping[str, Any], parameter: Mapping[str, Any]) -> str:
    kind = _type(api, parameter.get("schema") or {k: parameter[k] for k in ("type", "enum") if k in parameter})
    facts = [_line(parameter.get("in")), kind, "required" if parameter.get("required") is True else ""]
    words = _line(parameter.get("description"))
    return f"- `{parameter['name']}` ({', '.join(f for f in facts if f)})" + (f": {words}" if words else "")


def _schema_document(schema: Mapping[str, Any]) -> Iterator[Piece]:
    yield Piece("heading", _line(schema.get("title")) or _line(schema.get("$id")) or "Schema", 1)
    yield from _schema(schema, schema)
    for name, part in (_mapping(schema.get("$defs")) or _mapping(schema.get("definitions"))).items():
        yield Piece("heading", str(name), 2)
        yield from _schema(schema, _mapping(part))


def _schema(root: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Piece]:
    yield from _prose(schema.get("description"))
    rows = list(_properties(root, schema, depth=0))[:MAX_PROPERTIES]
    if rows:
        yield Piece("list", "\n".join(rows))
    elif schema.get("enum"):
        yield Piece("paragraph", _type(root, schema))


def _properties(root: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> Iterator[str]:
    """`- name (type, required): words` for each property, those of inline objects below it."""
    parts = [schema, *(_mapping(part) for part in _list(schema.get("allOf")))]
    for part in parts:
        required = {str(name) for name in _list(part.get("required"))}
        for name, value in _mapping(part.get("properties")).items():
            inner = _mapping(value)
            facts = [_type(root, inner), "required" if str(name) in required else ""]
            words = _line(inner.get("description"))
            shown = f"{'  ' * depth}- `{name}` ({', '.join(f for f in facts if f)})"
            yield shown.replace(" ()", "") + (f": {words}" if words else "")
            nested = _mapping(inner.get("items")) if inner.get("type") == "array" else inner
            if depth < MAX_DEPTH and "$ref" not in nested:
                yield from _properties(root, nested, depth + 1)


def _type(root: Mapping[str, Any], schema: Any) -> str:
    """A schema's type in a few words."""
    schema = _mapping(schema)
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if schema.get("enum"):
        return "one of " + ", ".join(f"`{value}`" for value in _list(schema["enum"])[:20])
    if schema.get("type") == "array":
        return f"array of {_type(root, schema.get('items')) or 'any'}"
    for key, word in (("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")):
        kinds = [_type(root, part) for part in _list(schema.get(key))]
        if any(kinds):
            return word.join(dict.fromkeys(kind for kind in kinds if kind))
    kind = schema.get("type", "")
    words = " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind)
    more = [words, str(schema["format"]) if schema.get("format") else ""]
    more += [
        f"{word} {schema[key]}" for key, word in (("minimum", "at least"), ("maximum", "at most")) if key in schema
    ]
    default = f"default `{schema['default']}`" if isinstance(schema.get("default"), (str, int, float)) else ""
    return ", ".join(part for part in (*more, default) if part)


def _resolved(root: Mapping[str, Any], value: Any) -> dict[str, Any]:
    """What a reference inside the file leads to, one step."""
    given = _mapping(value)
    reference = str(given.get("$ref", ""))
    if not reference.startswith("#/"):
        return given
    found = _mapping(root)
    for part in reference[2:].split("/"):
        found = _mapping(found.get(part.replace("~1", "/").replace("~0", "~")))
    return found


def _prose(words: Any) -> Iterator[Piece]:
    """A description, which may be Markdown; its headings would stand above the operations, so they are paragraphs."""
    if isinstance(words, str) and words.strip():
        for block in read_markdown(words).blocks:
            yield Piece("paragraph" if block.type == "heading" else block.type, block.text)


def _line(words: Any) -> str:
    return " ".join(words.split()) if isinstance(words, str) else ""


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
