"""The API's reference, read from the OpenAPI description that the API itself publishes."""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator

TONES = {"GET": "info", "POST": "ok", "PUT": "warn", "PATCH": "warn", "DELETE": "bad"}
EXAMPLES: dict[str, Any] = {"string": "…", "integer": 0, "number": 0, "boolean": False, "object": {}}
_TYPICAL = {
    "project": "demo",
    "slug": "demo",
    "type": "vibe",
    "prompt": "Write a fizzbuzz with tests and make them pass",
    "checkpoint": "m1.c3",
    "resource": "money",
    "limit": 20_000_000,
    "why": "Before the risky part",
}


@dataclass(frozen=True)
class Parameter:
    """Something that may be sent: in the path, the query, a header, or the body."""

    name: str
    place: str
    type: str
    required: bool
    text: str


@dataclass(frozen=True)
class Route:
    """One method of one address."""

    id: str
    method: str
    tone: str
    path: str
    summary: str
    parameters: list[Parameter]
    curl: str


@lru_cache(maxsize=8)
def routes(origin: str) -> dict[str, list[Route]]:
    """All routes by tag, for a server at `origin`. The description does not change while the process lives."""
    schema: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    found: dict[str, list[Route]] = {}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            for tag in operation.get("tags", ["other"]):
                found.setdefault(tag, []).append(_route(schema, origin, path, method.upper(), operation))
    return found


def _route(schema: dict[str, Any], origin: str, path: str, method: str, operation: dict[str, Any]) -> Route:
    body = _body(schema, operation)
    text = operation.get("description") or operation.get("summary") or ""
    return Route(
        id=operation["operationId"],
        method=method,
        tone=TONES.get(method, "neutral"),
        path=path,
        summary=" ".join(text.split()),
        parameters=[_parameter(one) for one in operation.get("parameters", [])]
        + [_property(schema, name, one, body) for name, one in body.get("properties", {}).items()],
        curl=_curl(origin + path, method, body),
    )


def _parameter(one: dict[str, Any]) -> Parameter:
    kind = _type({}, one.get("schema", {}))
    return Parameter(one["name"], one["in"], kind, one.get("required", False), one.get("description", ""))


def _property(schema: dict[str, Any], name: str, one: dict[str, Any], body: dict[str, Any]) -> Parameter:
    return Parameter(
        name, "body", _type(schema, one), name in body.get("required", []), one.get("description", "")
    )


def _body(schema: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    content = operation.get("requestBody", {}).get("content", {})
    return _resolved(schema, content.get("application/json", {}).get("schema", {}))


def _resolved(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference into the components."""
    if "allOf" in part:
        return _resolved(schema, part["allOf"][0])
    if "$ref" not in part:
        return part
    found: dict[str, Any] = schema["components"]["schemas"][part["$ref"].rpartition("/")[2]]
    return found


def _type(schema: dict[str, Any], part: dict[str, Any]) -> str:
    kind = part.get("type", "object")
    kinds = [one for one in kind if one != "null"] if isinstance(kind, list) else [kind]
    if kinds == ["array"]:
        return f"list of {_type(schema, part.get('items', {}))}s"
    return " or ".join(kinds)


def _curl(path: str, method: str, body: dict[str, Any]) -> str:
    """A command that works once the handles in it are yours."""
    filled = path.replace("{reference}", "m1.c3" if "/checkpoints/" in path else "m1").replace(
        "{slug}", "demo"
    )
    lines = [f"curl -H 'Authorization: Bearer av_…' {filled}"]
    if method != "GET":
        lines[0] = lines[0].replace("curl ", f"curl -X {method} ", 1)
    if example := {name: _example(name, body["properties"][name]) for name in body.get("required", [])}:
        lines.append(
            f"     -H 'Content-Type: application/json' -d '{json.dumps(example, ensure_ascii=False)}'"
        )
    return " \\\n".join(lines)


def _example(name: str, part: dict[str, Any]) -> Any:
    return _TYPICAL.get(name, EXAMPLES.get(str(part.get("type", "string")), "…"))
