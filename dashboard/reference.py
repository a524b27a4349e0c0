"""The API's reference, read from the OpenAPI description that the API itself publishes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator

Json = dict[str, Any]
TONES = {"GET": "info", "POST": "ok", "PUT": "warn", "PATCH": "warn", "DELETE": "bad"}
EXAMPLES: Json = {"string": "…", "integer": 0, "number": 0, "boolean": False, "object": {}}
DEPTH = 4  # of what is inside of one another
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
    """Something that is sent, in the path, the query, a header, or the body; or that is answered."""

    name: str
    place: str
    type: str
    required: bool
    text: str


@dataclass(frozen=True)
class Answer:
    """What may come back when it went well."""

    status: str
    text: str
    fields: list[Parameter]
    example: str


@dataclass(frozen=True)
class Problem:
    """What may come back when it did not."""

    status: str
    text: str


@dataclass(frozen=True)
class Route:
    """One method of one address."""

    id: str
    method: str
    tone: str
    path: str
    summary: str
    text: str
    parameters: list[Parameter]
    answers: list[Answer]
    problems: list[Problem]
    curl: str


@dataclass(frozen=True)
class Reference:
    """All routes by tag, and what is said of each tag."""

    tags: dict[str, str]
    routes: dict[str, list[Route]]


@lru_cache(maxsize=8)
def read(origin: str) -> Reference:
    """The reference for a server at `origin`. The description does not change while the process lives."""
    schema: Json = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    found: dict[str, list[Route]] = {}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            for tag in operation.get("tags", ["other"]):
                found.setdefault(tag, []).append(_route(schema, origin, path, method.upper(), operation))
    said = {tag["name"]: tag["description"] for tag in schema["tags"]}
    tags = {name: text for name, text in said.items() if name in found}
    return Reference(tags, {name: found[name] for name in tags})


def _route(schema: Json, origin: str, path: str, method: str, operation: Json) -> Route:
    body, example = _content(operation.get("requestBody", {}))
    answers = [
        _answer(schema, status, one) for status, one in operation["responses"].items() if status < "400"
    ]
    return Route(
        id=operation["operationId"],
        method=method,
        tone=TONES.get(method, "neutral"),
        path=path,
        summary=operation["summary"],
        text=_plain(operation.get("description", "")),
        parameters=[_parameter(schema, one) for one in operation["parameters"]]
        + list(_fields(schema, body, "body")),
        answers=answers,
        problems=list(_problems(schema, operation)),
        curl=_curl(schema, origin + path, method, body, example),
    )


def _answer(schema: Json, status: str, one: Json) -> Answer:
    part, example = _content(one)
    shown = "" if example is None else json.dumps(example, indent=2, ensure_ascii=False)
    return Answer(status, _plain(one.get("description", "")), list(_fields(schema, part, "answer")), shown)


def _problems(schema: Json, operation: Json) -> Iterator[Problem]:
    for status, one in operation["responses"].items():
        if status >= "400":
            yield Problem(status, _plain(_resolved(schema, one).get("description", "")))


def _content(holder: Json) -> tuple[Json, Any]:
    """The schema of a body, and its example."""
    content = holder.get("content", {}).get("application/json", {})
    examples: Json = content.get("examples", {})
    example = next((one["value"] for one in examples.values()), None)
    return content.get("schema", {}), example


def _parameter(schema: Json, one: Json) -> Parameter:
    kind = _type(schema, one.get("schema", {}))
    text = _plain(one.get("description", ""))
    return Parameter(one["name"], one["in"], kind, one.get("required", False), text)


def _fields(
    schema: Json, part: Json, place: str, before: str = "", depth: int = DEPTH
) -> Iterator[Parameter]:
    """What is in a body, and what is in that, with the way to it: `results[].handle`."""
    part = _resolved(schema, part)
    if not depth:
        return
    if "items" in part:
        yield from _fields(schema, part["items"], place, f"{before}[]", depth - 1)
    for name, one in part.get("properties", {}).items():
        way = f"{before}.{name}" if before else name
        required = name in part.get("required", [])
        yield Parameter(way, place, _type(schema, one), required, _plain(one.get("description", "")))
        yield from _fields(schema, one, place, way, depth - 1)


def _plain(text: str) -> str:
    """Without its line breaks and marks."""
    return " ".join(text.replace("`", "").split())


def _resolved(schema: Json, part: Json) -> Json:
    """Follow a reference into the components; of alternatives, take the first that is not null."""
    for several in ("allOf", "oneOf", "anyOf"):
        if several in part:
            said = [one for one in part[several] if one.get("type") != "null"]
            return _resolved(schema, said[0])
    if "$ref" not in part:
        return part
    _, _, kind, name = part["$ref"].split("/")
    found: Json = schema["components"][kind][name]
    return found


def _type(schema: Json, part: Json) -> str:
    null = " or null" if {"type": "null"} in part.get("oneOf", []) else ""
    part = _resolved(schema, part)
    if "enum" in part:
        return " | ".join("null" if one is None else str(one) or "“”" for one in part["enum"]) + null
    kind = part.get("type", "any")
    kinds = [str(one) for one in (kind if isinstance(kind, list) else [kind])]
    if kinds[0] == "array":
        kinds[0] = f"list of {_type(schema, part.get('items', {}))}"
    elif said := part.get("format"):
        kinds[0] = str(said)
    return " or ".join(kinds) + null


def _curl(schema: Json, path: str, method: str, body: Json, example: Any) -> str:
    """A command that works once the handles in it are yours."""
    filled = path.replace("{reference}", "m1.c3" if "/checkpoints/" in path else "m1").replace(
        "{slug}", "demo"
    )
    lines = [f"curl -H 'Authorization: Bearer av_…' {filled}"]
    if method != "GET":
        lines[0] = lines[0].replace("curl ", f"curl -X {method} ", 1)
    part = _resolved(schema, body)
    made = {name: _example(name, part["properties"][name]) for name in part.get("required", [])}
    if sent := example or made:
        said = json.dumps(sent, ensure_ascii=False)
        lines.append(f"     -H 'Content-Type: application/json' -d '{said}'")
    return " \\\n".join(lines)


def _example(name: str, part: Json) -> Any:
    return _TYPICAL.get(name, EXAMPLES.get(str(part.get("type", "string")), "…"))
