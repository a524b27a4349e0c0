"""People who sign in: they have passwords, unlike the cast of other tests."""

import base64
import hmac
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from events.models import Event
from projects.models import User

PASSWORD = "correct-horse-battery"
Sign = Callable[..., Client]


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    """Slowness is what the real ones are for."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def alice(people: dict[str, User]) -> User:
    """She has a password."""
    alice = people["alice"]
    alice.set_password(PASSWORD)
    alice.email = "alice@example.org"
    alice.save()
    return alice


@pytest.fixture
def signed_in(alice: User) -> Sign:
    """A browser in which alice has signed in on the page."""

    def sign(**headers: str) -> Client:
        client = Client(headers={"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", **headers})
        assert sign_in(client).status_code == 302
        return client

    return sign


@pytest.fixture
def browser(signed_in: Sign) -> Client:
    return signed_in()


def sign_in(client: Client, name: str = "alice", password: str = PASSWORD, **more: str) -> Any:
    return client.post("/sign-in/", {"username": name, "password": password, **more})


def code(secret: str) -> str:
    """What an authenticator app shows for the key right now (RFC 6238)."""
    moment = (int(time.time()) // 30).to_bytes(8, "big")
    digest = hmac.new(base64.b32decode(secret), moment, "sha1").digest()
    at = digest[-1] & 15
    number = int.from_bytes(digest[at : at + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**6:06d}"


def events(user: User) -> list[str]:
    """Kinds of what was recorded of the user, oldest first."""
    return list(Event.objects.filter(subject=user.subject).order_by("id").values_list("kind", flat=True))


def last(kind: str) -> Event:
    return Event.objects.filter(kind=kind).latest("id")
