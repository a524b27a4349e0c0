"""The OpenAPI description: what all views have in common is written into it here, once.

Views say what is their own; the conventions' headers and the answers that any of them may give are added to each.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework.serializers import ChoiceField

Json = dict[str, Any]
EXAMPLES = Path(__file__).with_name("examples.json")
UPDATES = ("put", "patch", "delete")


class MachineScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How machines sign their calls."""

    target_class = "machines.authentication.MachineAuthentication"
    name = "machine"

    def get_security_definition(self, auto_schema: Any) -> Json:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "Inside a machine: the token that it shows the gateway, `avm_…`.",
        }


class Schema(AutoSchema):
    """Summaries are the first sentences of descriptions; what may be null or empty in answers is said to be."""

    def _map_serializer_field(self, field: Any, direction: str, bypass_extensions: bool = False) -> Any:
        if direction == "response":
            _say_when_empty(field)
        return super()._map_serializer_field(field, direction, bypass_extensions)  # type: ignore[no-untyped-call]

    def get_operation_id(self) -> str:
        """Of a POST that is not named otherwise: what its address ends with, such as machines_pause."""
        return str(super().get_operation_id()).removesuffix("_create")

    def get_summary(self) -> str | None:
        given: str | None = super().get_summary()
        return given or re.split(r"(?<=[.:;?])\s", self.get_description().strip(), maxsplit=1)[0].rstrip(
            ".:;"
        )


TAGS = {
    "about": "What there is, who you are to it, and whether it is well.",
    "projects": "What is being evolved: it owns machines, checkpoints and budgets.",
    "members": "Who may do what in a project, and who is invited.",
    "tokens": "Keys to this API. Each is shown once, and can do no more than its owner.",
    "machines": "An agent at work: one prompt, in one guest, spawned from one checkpoint.",
    "machine-types": "Which agents a machine can run.",
    "checkpoints": "States that can be looked into, gone back to, and branched from.",
    "operations": "Long work: what is under way, how far it is, and how it ended.",
    "calls": "The calls of models that machines made, and what was said in them.",
    "budgets": "Limits: what they allow, what is held and spent under them.",
    "resources": "What was used, by project, machine, model and day.",
    "requests": "Asking for more of a budget, and answering.",
    "transfers": "Moving parts of a limit between projects.",
    "pools": "Money that projects share, dealt out anew each day. For administrators.",
    "prices": "What models cost. Reading is for everybody, writing for administrators.",
    "upstreams": "The servers that answer model calls. For administrators.",
    "events": "Who did what, when, and from where; and what happens now.",
    "proxmox": "Whether the cluster is as autovibe needs it. For administrators.",
}


def _say_when_empty(field: Any) -> None:
    """REST framework drops this of fields that are only read."""
    way = list(_columns(field))
    field.allow_null = field.allow_null or field.default is None or any(one.null for one in way)
    if isinstance(field, ChoiceField) and way:
        field.allow_blank = field.allow_blank or bool(getattr(way[-1], "blank", False))


def _columns(field: Any) -> Iterator[Any]:
    """The columns that lead to its value: of `guest.vmid`, the key of the guest and its number."""
    model = getattr(getattr(field.parent, "Meta", None), "model", None)
    for name in (field.source or "").split("."):
        known = {one.name: one for one in model._meta.concrete_fields} if model else {}
        if name in known:
            yield known[name]
        model = known[name].related_model if name in known else None


# By status: the component's name, when it is given, and whether it says when to ask again.
PROBLEMS: dict[int, tuple[str, str, bool]] = {
    400: ("Invalid", "What was sent cannot be right: `detail` says what, `errors` says it by field.", False),
    401: ("Unauthenticated", "Nobody signed in, or the token is unknown, expired or revoked.", False),
    402: ("BudgetExhausted", "A budget does not have what this needs.", False),
    403: ("Forbidden", "You may see this, but not do that.", False),
    404: ("NotFound", "There is no such thing, or none that you may see.", False),
    406: ("NotAcceptable", "`Accept` asks for something else than there is.", False),
    409: (
        "Conflict",
        "Not in this state: `state` is the present one, `possible` what could be asked.",
        False,
    ),
    412: (
        "PreconditionFailed",
        "It is not what `If-Match` says; `current` is what it is, `ETag` its tag.",
        False,
    ),
    413: ("TooLarge", "The body is larger than this address takes.", False),
    415: ("UnsupportedMediaType", "The body is not `application/json`.", False),
    422: ("KeyReused", "The `Idempotency-Key` was used with another body.", False),
    429: ("RateLimited", "More calls in a minute than there may be.", True),
    503: ("Unavailable", "The database is away for the moment.", True),
}
ANY = (400, 401, 406, 429, 503)
RETRY_AFTER = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}
RATE = {
    "RateLimit": {
        "description": "What is left of the minute: `r` calls, and `t` seconds until it is over.",
        "schema": {"type": "string", "examples": ['"default";r=1187;t=42']},
    },
    "RateLimit-Policy": {
        "description": "`q` calls in `w` seconds.",
        "schema": {"type": "string", "examples": ['"default";q=1200;w=60']},
    },
}
PROBLEM: Json = {
    "type": "object",
    "description": "What was refused, and why (RFC 9457).",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "What kind of problem; it stays the same for ever."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is the matter, in a sentence or two for people."},
        "request_id": {
            "type": ["string", "null"],
            "description": "The log knows it by this; tell an operator.",
        },
        "errors": {"description": "By field, what is wrong with it.", "type": ["object", "array"]},
        "state": {"type": "string", "description": "Of a conflict: the present state."},
        "possible": {"type": "array", "items": {"type": "string"}, "description": "What could be asked now."},
        "current": {"description": "Of a failed If-Match: what there is."},
    },
}
KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Any text, new for each new request. The same request again within 24 hours is answered as the "
    "first time, and nothing is done twice.",
    "schema": {"type": "string", "maxLength": 100},
}
IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "The `ETag` of what you have seen: it is only changed if it is still that.",
    "schema": {"type": "string"},
}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "An `ETag` that you have: 304 without a body if it is still that.",
    "schema": {"type": "string"},
}


def complete(result: Json, generator: Any, request: Any, public: bool) -> Json:
    """A hook of drf-spectacular's: what holds for every operation."""
    components = result["components"]
    components["schemas"]["Problem"] = PROBLEM
    components["responses"] = {name: _response(said, again) for name, said, again in PROBLEMS.values()}
    components["headers"] = RATE
    result["tags"] = [{"name": name, "description": said} for name, said in TAGS.items()]
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            _complete(path, method, operation)
    return result


def _response(description: str, again: bool) -> Json:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    headers = {"headers": {"Retry-After": RETRY_AFTER}} if again else {}
    return {"description": description, "content": content, **headers}


def _complete(path: str, method: str, operation: Json) -> None:
    parameters, responses = operation.setdefault("parameters", []), operation["responses"]
    _give_example(operation)
    parameters += [header for header in _headers(method) if header not in parameters]
    for status, answer in responses.items():
        answer.setdefault("description", "")
        answer["headers"] = answer.get("headers", {}) | _answered(method, status)
        if not answer["description"]:
            answer["description"] = DONE.get(status, "")
    if method == "get":
        responses["304"] = {"description": "It is what you have already."}
    for status in _problems(path, method, "requestBody" in operation):
        responses.setdefault(str(status), {"$ref": f"#/components/responses/{PROBLEMS[status][0]}"})
    operation["responses"] = dict(sorted(responses.items()))


def _give_example(operation: Json) -> None:
    """What was really sent and answered; tests/api/examples.py wrote it down."""
    known = _examples().get(operation["operationId"])
    if not known:
        return
    for holder, value in (
        (operation.get("requestBody"), known["request"]),
        (operation["responses"].get(known["status"]), known["answer"]),
    ):
        content = (holder or {}).get("content", {}).get("application/json")
        if content and value is not None:
            content["examples"] = {"example": {"value": value}}


@cache
def _examples() -> Json:
    return dict(json.loads(EXAMPLES.read_text())) if EXAMPLES.exists() else {}


DONE = {
    "200": "Done, or found.",
    "201": "Made.",
    "202": "Begun; `Location` is where to see how far it is.",
    "204": "Done; there is nothing to say.",
}


def _headers(method: str) -> list[Json]:
    if method == "post":
        return [KEY]
    return [IF_MATCH] if method in UPDATES else [IF_NONE_MATCH]


def _answered(method: str, status: str) -> Json:
    headers: Json = {name: {"$ref": f"#/components/headers/{name}"} for name in RATE}
    if method == "get" and status == "200":
        headers["ETag"] = {"description": "Of this answer.", "schema": {"type": "string"}}
    if status == "202":
        headers["Location"] = {
            "description": "The operation.",
            "schema": {"type": "string", "format": "uri-reference"},
        }
        headers["Retry-After"] = RETRY_AFTER
    return headers


def _problems(path: str, method: str, has_body: bool) -> list[int]:
    """What may be answered instead. What is not said to be possible is a defect, which a test looks for."""
    found = [*ANY]
    if not path.endswith(("/v1/", "/me/", "/health/")):
        found += [403, 404, 409]
    if method != "get":
        found += [402, 413]
    if method == "post":
        found += [422]
    if method in UPDATES:
        found += [412]
    return [*found, 415] if has_body else found
