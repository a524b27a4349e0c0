"""Hostile agents before a greedy provider: one that bills a token for each byte it reads, and all it may write.

What it billed is the truth; the ledger may say more, never less, and no budget is overrun by a single micro-unit.
"""

import asyncio
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest
from aiohttp import web
from django.db import connection
from django.db.models import F, Sum

from budgets import actions as budgets
from budgets import ledger
from budgets.models import LedgerEntry, Reservation, Window
from gateway.calls import OPEN
from gateway.models import Call
from machines.models import Machine
from projects.models import User
from tests.gateway.conftest import MODEL
from tests.gateway.conftest import Call as Calling
from tests.gateway.provider import Provider, begin, event
from tests.gateway.servers import until

pytestmark = pytest.mark.django_db(transaction=True)

INPUT, OUTPUT = 3, 15  # micros a token, of the model that is asked


class Greedy:
    """The provider's own books."""

    def __init__(self) -> None:
        self.billed_micros = 0
        self.calls = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        asked = json.loads(body)
        usage = {"input_tokens": len(body), "output_tokens": asked["max_tokens"]}
        self.billed_micros += usage["input_tokens"] * INPUT + usage["output_tokens"] * OUTPUT
        self.calls += 1
        if not asked.get("stream"):
            return web.json_response({"id": "msg", "type": "message", "content": [], "usage": usage})
        response = await begin(request)
        start = {**usage, "output_tokens": 1}
        await response.write(event("message_start", message={"id": "msg", "usage": start}))
        for number in range(10):
            await response.write(event("content_block_delta", index=0, delta={"text": f"word {number}"}))
            await asyncio.sleep(0)
        await response.write(event("message_delta", delta={"stop_reason": "max_tokens"}, usage=usage))
        await response.write(event("message_stop"))
        return response


@pytest.fixture
def greedy(provider: Provider) -> Greedy:
    made = Greedy()
    provider.answer = made.answer
    return made


@pytest.fixture
def purse(machine: Machine, owner: User) -> int:
    """A quarter of a dollar, some tokens, and so many calls; all of it may be used, none of it is kept back."""
    budgets.set_limit(machine.project, "money", 250_000, by=owner, landing_percent=0)
    budgets.set_limit(machine.project, "tokens", 90_000, by=owner, landing_percent=0)
    budgets.set_limit(machine.project, "calls", 150, by=owner, landing_percent=0, period="day")
    return 250_000


@pytest.fixture
def watched(machine: Machine) -> Iterator[None]:
    """Nothing is overrun at any moment that is looked at, and at the end nothing is held or missing."""
    yield
    until(lambda: not Call.objects.filter(state__in=OPEN).exists(), seconds=30)
    assert not Window.objects.filter(spent__gt=F("limit") - F("reserved")).exists()
    assert not Window.objects.filter(overrun__gt=0).exists()
    assert not Reservation.objects.filter(state="held").exists()
    assert not ledger.verify()


def heard(call: Calling, number: int, *, max_tokens: int) -> int:
    """Ask, a stream every other time, and hear the answer to its end: only then is the call on the books."""
    answer = call(stream=number % 2 == 0, max_tokens=max_tokens)
    assert answer.content
    return answer.status_code


def entered() -> int:
    return int(LedgerEntry.objects.aggregate(total=Sum("micros", default=0))["total"])


@pytest.mark.usefixtures("watched")
class TestOvershoot:
    def test_two_hundred_calls_at_once_are_billed_no_more_than_there_is(
        self, greedy: Greedy, call: Calling, purse: int
    ) -> None:
        with ThreadPoolExecutor(50) as agents:
            answers = list(agents.map(lambda n: heard(call, n, max_tokens=1100), range(200)))
        assert set(answers) <= {200, 402, 429}
        assert greedy.calls == answers.count(200) > 3
        assert greedy.billed_micros == entered() <= purse

    @pytest.mark.parametrize("padding", [0, 1_000, 20_000, 60_000])
    def test_a_prompt_of_which_every_byte_is_a_token_is_held_in_full_or_refused(
        self, greedy: Greedy, call: Calling, purse: int, padding: int
    ) -> None:
        odd = "".join(chr(0x4E00 + n % 20_000) for n in range(padding // 3))
        for _ in range(5):
            call(max_tokens=1500, messages=[{"role": "user", "content": odd or "x"}])
        assert greedy.billed_micros == entered() <= purse

    def test_a_growing_conversation_is_held_by_what_the_provider_counted_before(
        self, greedy: Greedy, call: Calling, purse: int
    ) -> None:
        turns = [{"role": "user", "content": "Begin."}]
        for number in range(12):
            call(max_tokens=1024, messages=turns)
            turns = [
                *turns,
                {"role": "assistant", "content": "ok " * number},
                {"role": "user", "content": "é" * 99},
            ]
        assert greedy.calls > 3
        assert greedy.billed_micros == entered() <= purse


def talk(address: str, token: str, *, until_bytes: int) -> int:
    """Ask for a stream, read so many bytes of the answer, and hang up; returns how many came."""
    body = json.dumps(
        {"model": MODEL, "max_tokens": 1024, "stream": True, "messages": [{"role": "user", "content": "Go."}]}
    ).encode()
    at = urlsplit(address)
    head = (
        f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {token}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    got = 0
    with socket.create_connection((at.hostname, at.port), timeout=20) as agent:
        agent.sendall(head.encode() + body)
        while got < until_bytes and (chunk := agent.recv(min(until_bytes - got, 4096))):
            got += len(chunk)
            if chunk.endswith(b"0\r\n\r\n"):
                break
    return got


@pytest.mark.usefixtures("watched")
class TestHangingUp:
    def test_at_any_byte_of_the_answer_it_is_charged_at_least_as_the_provider_does(
        self,
        greedy: Greedy,
        gateway: str,
        token: str,
        machine: Machine,
        owner: User,
        request: pytest.FixtureRequest,
    ) -> None:
        budgets.set_limit(machine.project, "money", 10**9, by=owner)
        whole = talk(gateway, token, until_bytes=10**6)
        step = 1 if request.config.getoption("--whole") else 41
        with ThreadPoolExecutor(20) as agents:
            list(agents.map(lambda n: talk(gateway, token, until_bytes=n), range(1, whole, step)))
        until(lambda: not Call.objects.filter(state__in=OPEN).exists(), seconds=60)
        assert greedy.billed_micros <= entered()
        assert Call.objects.count() == 1 + len(range(1, whole, step))


@contextmanager
def a_database_that_cuts_connections(every_seconds: float) -> Iterator[None]:
    """All connections but ours are cut, again and again."""
    parameters = connection.get_connection_params()
    for name in ("cursor_factory", "context", "prepare_threshold"):
        parameters.pop(name, None)
    stop = False

    def cut() -> None:
        with psycopg.connect(**parameters, autocommit=True, application_name="the axe") as axe:
            while not stop:
                axe.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND pid <> pg_backend_pid() AND query LIKE '%%gateway_%%'"
                )
                axe.execute("SELECT pg_sleep(%s)", [every_seconds])

    with ThreadPoolExecutor(1) as hand:
        swinging = hand.submit(cut)
        try:
            yield
        finally:
            stop = True
            swinging.result()


@pytest.mark.usefixtures("watched")
class TestBrokenDatabase:
    def test_connections_that_are_cut_cost_nobody_anything(
        self, greedy: Greedy, call: Calling, machine: Machine, owner: User
    ) -> None:
        """What was asked is asked again, and neither granted nor charged twice."""
        budgets.set_limit(machine.project, "money", 10**8, by=owner)
        with a_database_that_cuts_connections(0.5), ThreadPoolExecutor(10) as agents:
            answers = list(agents.map(lambda n: heard(call, n, max_tokens=1024), range(80)))
        assert set(answers) == {200}
        assert greedy.calls == 80
        assert greedy.billed_micros == entered()
