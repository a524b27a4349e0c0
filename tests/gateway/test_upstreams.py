"""Several upstreams behind the gateway: who is asked next, how long is waited, and what is never sent twice."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from aiohttp import web
from pytest_django import Settings

from budgets.models import Window
from tests.gateway import provider as playing
from tests.gateway.conftest import MODEL
from tests.gateway.conftest import Call as Calling
from tests.gateway.provider import STREAM, WHOLE, Provider
from tests.gateway.servers import until
from tests.gateway.upstreams import (
    COST_MICROS,
    books_are_right,
    ended,
    entry,
    failing_once,
    posts,
    refusing,
    upstream,
)

pytestmark = pytest.mark.django_db(transaction=True)


class TestTheNextOneIsAsked:
    @pytest.mark.parametrize("status", [401, 402, 403, 404, 429, 500, 503, 529])
    def test_where_one_fails(
        self, two: None, first: Provider, second: Provider, call: Calling, status: int
    ) -> None:
        first.answer = refusing(status)
        assert call(stream=True).content == STREAM
        assert posts(first)[0].body == posts(second)[0].body
        done = ended()
        assert (done.state, done.upstream, done.attempts) == ("done", "second", 2)
        assert done.cost_micros == COST_MICROS
        assert books_are_right()

    def test_where_one_cannot_be_reached(self, second: Provider, first: Provider, call: Calling) -> None:
        first.url = "http://127.0.0.1:1"
        upstream("first", first, priority=1)
        upstream("second", second, priority=2)
        assert call().json() == WHOLE
        assert ended().upstream == "second"

    def test_with_its_own_key_and_nobody_elses(
        self, two: None, first: Provider, second: Provider, call: Calling
    ) -> None:
        first.answer = refusing(529)
        call()
        assert posts(first)[0].headers["x-api-key"] == "sk-first-main"
        assert posts(second)[0].headers["x-api-key"] == "sk-second-main"
        assert "sk-first" not in str(second.received)

    def test_before_one_that_failed_a_moment_ago(
        self, two: None, first: Provider, second: Provider, call: Calling
    ) -> None:
        first.answer = refusing(500)
        call()
        first.answer = None
        call()
        assert (len(posts(first)), len(posts(second))) == (1, 2)

    def test_but_not_for_what_the_agent_did_wrong(
        self, two: None, first: Provider, second: Provider, call: Calling
    ) -> None:
        first.answer = refusing(400)
        assert call().status_code == 400
        assert not second.received
        assert (ended().state, ended().upstream, ended().attempts) == ("released", "first", 1)

    def test_and_the_last_ones_words_are_handed_on(
        self, two: None, first: Provider, second: Provider, call: Calling
    ) -> None:
        first.answer = refusing(500)
        second.answer = refusing(429, retry_after="7")
        answer = call()
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
        assert ended().state == "released"
        assert Window.objects.get().spent == 0
        assert books_are_right()

    def test_by_many_at_once(self, two: None, first: Provider, second: Provider, call: Calling) -> None:
        """The first fails every other time; nobody notices, and nothing is paid for twice."""
        turn = iter(range(1000))

        async def moody(request: web.Request) -> web.StreamResponse:
            return await (refusing(529) if next(turn) % 2 else playing.whole_or_stream)(request)

        first.answer = moody
        with ThreadPoolExecutor(20) as agents:
            answers = list(agents.map(lambda _: call(stream=True).content, range(30)))
        assert set(answers) == {STREAM}
        assert Window.objects.get().spent == 30 * COST_MICROS
        assert books_are_right()


class TestWhatMayHaveBeenBilled:
    def test_is_not_sent_again_but_charged_in_full(
        self, two: None, first: Provider, second: Provider, call: Calling
    ) -> None:
        first.answer = playing.silent
        assert call().status_code == 502
        assert not second.received
        lost = ended()
        assert (lost.state, lost.upstream, lost.attempts) == ("failed", "first", 1)
        assert lost.cost_micros == entry().micros > COST_MICROS
        assert entry().kind == "assumed"

    def test_is_not_sent_again_when_somebody_in_between_gave_up_waiting(
        self, two: None, first: Provider, second: Provider, call: Calling
    ) -> None:
        first.answer = refusing(504)
        assert call().status_code == 504
        assert not second.received

    @pytest.mark.parametrize("status", [408, 504, 524])
    def test_is_charged_in_full_then(self, two: None, first: Provider, call: Calling, status: int) -> None:
        first.answer = refusing(status)
        assert call().status_code == status
        assert (ended().state, entry().kind) == ("failed", "assumed")
        assert ended().cost_micros == entry().micros > COST_MICROS
        assert books_are_right()

    def test_is_not_sent_again_once_the_answer_has_begun(
        self, two: None, first: Provider, second: Provider, call: Calling
    ) -> None:
        first.answer = playing.cut_off
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            _ = call(stream=True).content
        assert not second.received
        assert (ended().upstream, ended().output_tokens) == ("first", 2000)

    def test_is_sent_again_where_nothing_is_billed(
        self, owner: object, first: Provider, second: Provider, call: Calling
    ) -> None:
        upstream("first", first, priority=1, free=True)
        upstream("second", second, priority=2)
        first.answer = playing.silent
        assert call().json() == WHOLE
        assert (ended().upstream, ended().cost_micros) == ("second", COST_MICROS)


class TestWaiting:
    @pytest.fixture
    def only(self, first: Provider, owner: object, settings: Settings) -> Provider:
        settings.GATEWAY_PATIENCE_SECONDS = 10
        upstream("first", first)
        return first

    def test_as_long_as_it_is_asked_to(self, only: Provider, call: Calling) -> None:
        only.answer = failing_once(429, retry_after="1")
        began = time.monotonic()
        assert call().json() == WHOLE
        assert 1 <= time.monotonic() - began < 5
        assert ended().attempts == 2

    def test_a_moment_where_it_is_not_asked_to(self, only: Provider, call: Calling) -> None:
        only.answer = failing_once(529)
        began = time.monotonic()
        assert call(stream=True).content == STREAM
        assert 0.3 < time.monotonic() - began < 5

    def test_not_beyond_the_callers_patience(self, only: Provider, gateway: str, token: str) -> None:
        """It waits ten seconds for the first byte: half of that may be spent here."""
        only.answer = refusing(429, retry_after="6")
        began = time.monotonic()
        answer = requests.post(
            f"{gateway}/v1/messages",
            json={"model": MODEL, "max_tokens": 100, "messages": []},
            headers={"x-api-key": token, "x-stainless-timeout": "10"},
            timeout=10,
        )
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "6")
        assert time.monotonic() - began < 3
        assert len(only.received) == 1

    def test_not_where_it_is_said_to_be_of_no_use(self, only: Provider, call: Calling) -> None:
        only.answer = refusing(429, x_should_retry="false")
        assert call().status_code == 429
        assert len(only.received) == 1

    def test_less_and_less_often(self, only: Provider, call: Calling, settings: Settings) -> None:
        """It says that it can be asked at once, and is wrong again and again."""
        settings.GATEWAY_PATIENCE_SECONDS = 3
        only.answer = refusing(529, retry_after="0")
        assert call().status_code == 529
        assert 2 <= len(only.received) <= 4

    def test_the_others_wait_as_well(self, only: Provider, call: Calling) -> None:
        """What one call was told holds for the next: the provider is not asked before."""
        only.answer = failing_once(429, retry_after="1")
        with ThreadPoolExecutor(2) as agents:
            waiting = agents.submit(call)
            until(lambda: only.received)
            assert call().status_code == 200
            assert waiting.result(10).status_code == 200
        assert len(only.received) == 3

    def test_costs_nothing_when_the_agent_hangs_up_meanwhile(self, only: Provider, call: Calling) -> None:
        only.answer = refusing(429, retry_after="9")
        with pytest.raises(requests.exceptions.ReadTimeout):
            call(timeout=1)
        assert ended().state == "released"
        assert Window.objects.get().spent == 0

    def test_costs_the_bound_when_it_hangs_up_while_the_provider_thinks(
        self, only: Provider, call: Calling
    ) -> None:
        async def slow(request: web.Request) -> web.StreamResponse:
            await playing.asyncio.sleep(30)
            return await playing.whole_or_stream(request)

        only.answer = slow
        with pytest.raises(requests.exceptions.ReadTimeout):
            call(timeout=1)
        assert only.hung_up.wait(5)
        assert ended().state == "failed"
        assert entry().kind == "assumed"
        assert books_are_right()
