"""Every route of the gateway × whoever may call: machines with a living token, and nobody else."""

from typing import Any

import pytest
import requests

from machines import tokens
from machines.models import Machine
from projects.models import ApiToken, User

pytestmark = pytest.mark.django_db(transaction=True)

CHAT: dict[str, Any] = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hi"}]}
MESSAGE: dict[str, Any] = {**CHAT, "model": "claude-sonnet-4-5", "max_tokens": 10}
ROUTES: list[tuple[str, str, Any]] = [
    ("POST", "/v1/messages", MESSAGE),
    ("POST", "/v1/messages/count_tokens", MESSAGE),
    ("POST", "/v1/chat/completions", CHAT),
    ("POST", "/v1/responses", {"model": "gpt-5", "input": "Hi"}),
    ("GET", "/v1/models", None),
    ("GET", "/v1/models/claude-sonnet-4-5", None),
    ("POST", "/guest/v1/report", {"run": "none", "lines": []}),
    ("POST", "/guest/v1/budget-requests", {"resource": "money", "amount": 1}),
]


def ask(gateway: str, method: str, path: str, body: Any, key: str) -> int:
    headers = {"anthropic-version": "2023-06-01", **({"authorization": f"Bearer {key}"} if key else {})}
    return requests.request(method, gateway + path, json=body, headers=headers, timeout=20).status_code


@pytest.mark.parametrize(("method", "path", "body"), ROUTES, ids=[f"{one} {two}" for one, two, _ in ROUTES])
def test_it_is_for_machines_that_work(
    method: str, path: str, body: Any, gateway: str, token: str, machine: Machine, owner: User
) -> None:
    admin = User.objects.create_superuser("root")
    strangers = {"nobody": "", "a guess": "avm_guess", "an administrator": ApiToken.mint(admin, "x")[1]}

    answers = {name: ask(gateway, method, path, body, key) for name, key in strangers.items()}
    known = ask(gateway, method, path, body, token)
    tokens.revoke(machine)
    answers["a machine whose token died"] = ask(gateway, method, path, body, token)

    assert set(answers.values()) == {401}, answers
    assert known != 401
    assert known < 500
