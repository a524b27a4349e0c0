"""The table of verbs: every route of the API has a command, and each command asks for what the table says."""

import re
import shlex
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from autovibe import urls
from tests.cli.recorded import ROOT, TOKEN, Recorded

sys.path.insert(0, str(ROOT / "cli"))
from autovibe_cli.__main__ import main
from autovibe_cli.verbs import Verb, table

NAMED = {
    "machine": "m12",
    "checkpoint": "m12.c3",
    "before": "m12.c1",
    "project": "demo",
    "other": "shop",
    "hub": "research",
    "pool": "house",
    "model": "gpt-4o",
    "upstream": "gpu",
    "operation": "9a8f6d1e-2f0b-4f64-8d0e-1b1f6a7c0001",
    "id": "7",
    "name": "team",
    "path": "src/a b.py",
    "prompt": "Say 'hello'",
    "type": "vibe",
    "count": "3",
    "fraction": "0.7",
    "since": "2031-05-01T00:00:00Z",
    "until": "2031-05-08T00:00:00Z",
}
# Whatever a command looks for in an answer.
ANYTHING = {
    "results": [],
    "next": None,
    "id": 7,
    "handle": "m12",
    "state": "terminated",
    "status": "succeeded",
    "finished_at": "2031-05-01T00:00:00Z",
    "verdict": "passed",
    "violations": 0,
    "policy": {},
    "budgets": [],
    "currency": "USD",
    "changes": [],
    "lines": [],
    "waits_for": "",
    "states": {},
}
# The same as others of them, or not for people: CSV, what would come of something, tokens for services.
WITHOUT = re.compile(
    r"\w+ (projects/{}/ledger.csv|resources/projects/{}/budget/|auth/jwt/.*)"
    r"|GET (machines/{}/(checkpoint|rollback)|events/stream|tokens/{}|projects/{}/members/{})/"
)


@pytest.mark.parametrize("verb", table().values(), ids=lambda verb: verb.name)
def test_a_command_asks_for_what_the_table_says(
    verb: Verb, server: Recorded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.otherwise = ANYTHING
    server.answer("GET health/", {"status": "ok"})
    named = {**NAMED, "file": str(tmp_path / "m12.tar")}
    for name, value in {"AUTOVIBE_URL": server.url, "AUTOVIBE_TOKEN": TOKEN, "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    typed = [word.format(**named) for word in shlex.split(verb.command)]
    monkeypatch.setattr("sys.argv", ["autovibe", *typed, "--json"])

    assert main() == 0

    path, _, query = verb.path.partition("?")
    asked = [one for one in server.asked if (one.method, one.path) == (verb.method, path.format(**named))]
    assert asked, [f"{one.method} {one.path}" for one in server.asked]
    assert dict(parse_qsl(query.format(**named))).items() <= asked[-1].query.items()
    assert _texts(verb.body, named).items() <= _texts(asked[-1].body or {}, {}).items()


def test_every_route_of_the_api_has_a_command() -> None:
    served = {f"{verb.method} {_shape(verb.path.partition('?')[0])}" for verb in table().values()}
    missing = [route for route in _routes() if route not in served and not WITHOUT.fullmatch(route)]
    assert missing == []


def _routes() -> list[str]:
    """ "GET machines/{}/log/" """
    methods = ("get", "post", "put", "patch", "delete")
    return [
        f"{method.upper()} {_shape(str(pattern.pattern))}"
        for pattern in urls.api
        for method in methods
        if str(pattern.pattern) and hasattr(getattr(pattern.callback, "cls", None), method)
    ]


def _shape(path: str) -> str:
    """The path with its names left out; the one that is a regular expression is that of shared budgets."""
    if path.startswith("^budgets/"):
        return "budgets/system/"
    return re.sub(r"<[^>]*>|\{\w*\}", "{}", path)


def _texts(body: dict[str, Any], named: dict[str, str]) -> dict[str, str]:
    """Its values as texts: what is typed as 3 is sent as a number."""
    return {
        key: value.format(**named) if isinstance(value, str) and named else str(value)
        for key, value in body.items()
    }
