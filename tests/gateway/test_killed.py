"""The process that a call goes through is killed while the provider answers."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import requests
from aiohttp import web
from django.conf import settings
from django.db.models import Sum
from django.utils import timezone

from autovibe.embedded.lifeline import die_with_parent
from budgets import ledger
from budgets.models import LedgerEntry, Reservation, Window
from gateway import calls
from gateway.models import Call
from tests.gateway.conftest import MODEL
from tests.gateway.provider import Provider, never_ending
from tests.gateway.servers import free_socket, until

pytestmark = pytest.mark.django_db(transaction=True)


class Web:
    """The product's web process, as `bin/dev` runs it."""

    def __init__(self, provider: Provider) -> None:
        self._listening = free_socket()
        self._listening.listen()
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        number = self._listening.fileno()
        argv = ["-m", "uvicorn", "autovibe.asgi:application", "--fd", str(number), "--log-level", "warning"]
        self._process = subprocess.Popen(
            [sys.executable, *argv],
            env={**os.environ, "ANTHROPIC_UPSTREAM_URL": provider.url, "ANTHROPIC_API_KEY": "a-key"},
            pass_fds=[number],
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        self._listening.close()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)


@pytest.fixture
def process(provider: Provider, token: str) -> Iterator[Web]:
    made = Web(provider)
    yield made
    made.kill()


async def never_beginning(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("stream", [True, False], ids=["while it streams", "before the first byte"])
def test_what_was_held_is_charged_once_when_it_expires(
    provider: Provider, process: Web, token: str, stream: bool
) -> None:
    provider.answer = never_ending if stream else never_beginning

    def ask(_: int) -> bytes:
        body = {"model": MODEL, "max_tokens": 2000, "messages": [{"role": "user", "content": "Go."}]}
        headers = {"x-api-key": token, "anthropic-version": "2023-06-01"}
        return requests.post(
            f"{process.url}/v1/messages", json={**body, "stream": stream}, headers=headers, timeout=60
        ).content

    with ThreadPoolExecutor(5) as agents:
        asking = [agents.submit(ask, number) for number in range(5)]
        until(lambda: len(provider.received) == 5, seconds=60)
        process.kill()
        assert all(isinstance(one.exception(30), requests.RequestException) for one in asking)

    window = Window.objects.get(resource="money")
    held = window.reserved
    assert (held > 0, window.spent, Reservation.objects.filter(state="held").count()) == (True, 0, 5)
    assert not ledger.verify()

    assert (calls.reap(), Window.objects.get(pk=window.pk).reserved) == (
        0,
        held,
    )  # its owner may still come back
    long_ago = timezone.now() - timedelta(seconds=settings.GATEWAY_RESERVATION_SECONDS + 1)
    Reservation.objects.update(expires_at=long_ago)
    Call.objects.update(started_at=long_ago)
    assert [calls.reap(), calls.reap()] == [5, 0]

    window.refresh_from_db()
    assert (window.reserved, window.spent, window.overrun) == (0, held, 0)
    entered = LedgerEntry.objects.filter(kind="assumed")
    assert (entered.count(), entered.aggregate(total=Sum("micros"))["total"]) == (5, held)
    assert set(Call.objects.values_list("state", flat=True)) == {Call.State.FAILED}
    assert not ledger.verify()
