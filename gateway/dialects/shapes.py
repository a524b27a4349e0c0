"""The types of what this room reads in a request: where they are others than documented, it is refused by name.

What nobody here reads is left to the provider.
"""

import re
from collections.abc import Container, Iterator, Mapping
from typing import Any

from gateway.errors import Refused

# https://docs.claude.com/en/api/messages: "There is a limit of 100,000 messages in a single request."
LENGTH_MAX = 100_000
_MODEL = re.compile(r"[!-~]{1,100}")  # as long as the ledger's column
# What to call a field, put together only when it is needed: `("messages", 3, "role")`, nested as it comes.
Name = str | int | tuple["Name", ...]

_NAMES = {
    bool: "true or false",
    dict: "an object",
    int: "a whole number",
    list: "a list",
    str: "a string",
}


def expect(name: Name, value: Any, *kinds: type, required: bool = False) -> None:
    """Raises `Refused` (400). Null is as good as left out."""
    # Exactly: JSON knows no subclasses, and Python's True is a number.
    if type(value) in kinds or (value is None and not required):
        return
    raise Refused(400, f"{spelled(name)}: {' or '.join(_NAMES[kind] for kind in kinds)} is required.")


def objects(name: Name, value: Any) -> Iterator[tuple[Name, dict[str, Any]]]:
    """The objects of a list, each with what to call it."""
    expect(name, value, list)
    if value and len(value) > LENGTH_MAX:
        raise Refused(400, f"{spelled(name)}: more than {LENGTH_MAX:,} are not passed on.")
    for index, each in enumerate(value or []):
        if type(each) is not dict:
            expect((name, index), each, dict, required=True)
        yield (name, index), each


def spelled(name: Name) -> str:
    return ".".join(map(spelled, name)) if isinstance(name, tuple) else str(name)


def object_at(name: str, parent: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The object at `key`; empty where there is none."""
    expect(name, parent.get(key), dict)
    return parent.get(key) or {}


def count(name: str, value: Any, most: int) -> int:
    """A number from 1 to `most`."""
    if type(value) is not int or not 1 <= value <= most:
        raise Refused(400, f"{name}: a whole number from 1 to {most:,} is required.")
    return value


def model(parsed: Mapping[str, Any]) -> str:
    """The name of the model asked for."""
    if not isinstance(name := parsed.get("model"), str) or not _MODEL.fullmatch(name):
        raise Refused(400, "model: a name of at most 100 characters, without spaces, is required.")
    return name


def refuse_fields(parsed: Mapping[str, Any], known: Container[str], harmless: Mapping[str, Any]) -> None:
    """Refuse what is neither `known` nor empty nor has the one value that costs the list price.

    The APIs refuse fields they do not know, and so do we: a new one may be a new way to spend.
    """
    for name, value in parsed.items():
        if name in known or value in (None, [], harmless.get(name)):
            continue
        raise Refused(
            400,
            f"{name}: the gateway does not pass this field on, because it cannot tell beforehand what it would cost.",
        )


def refuse_tool(kind: str) -> None:
    """Refuse a tool that is not run by the agent."""
    raise Refused(
        400,
        f"tools: {kind} is run by the provider, and nobody can tell beforehand what it would cost. "
        "Use the agent's own tools instead.",
    )
