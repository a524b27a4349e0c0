"""Calls over real HTTP: through the gateway, to a provider, and into the books."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
import requests
from django.db import IntegrityError, connection
from django.utils import timezone
from pytest_django import Settings

from budgets import actions as budgets
from budgets import ledger
from budgets.models import Breaker, LedgerEntry, Reservation, Window
from budgets.prices import price_of
from gateway import calls, database, teller
from gateway.admission import admit
from gateway.admitted import Admission
from gateway.dialects.messages import Messages
from gateway.models import Call
from machines import tokens
from machines.limits.payer import payer_of
from machines.models import Machine
from projects.models import User
from tests.gateway import provider as playing
from tests.gateway import servers
from tests.gateway.conftest import MODEL
from tests.gateway.conftest import Call as Calling
from tests.gateway.provider import STREAM, WHOLE, WRITTEN, Provider
from tests.gateway.servers import until

pytestmark = pytest.mark.django_db(transaction=True)

COST_MICROS = 12 * 3 + 1500 + (200 * 375 + 100 * 600) // 100 + WRITTEN * 15


def concluded() -> Call:
    """The only call, once it has been settled."""
    return until(lambda: Call.objects.exclude(state__in=calls.OPEN).first())


def used() -> LedgerEntry:
    """The only entry of consumption."""
    return LedgerEntry.objects.exclude(kind="limit").get()


def admitted(token: str, body: dict[str, object]) -> Admission:
    """Let a call in, and nothing else."""

    async def admitting() -> Admission:
        try:
            return await admit(token, json.dumps(body).encode(), Messages())
        finally:
            await teller.close()
            await database.close()

    return asyncio.run(admitting())


def books_are_right() -> bool:
    return not ledger.verify() and not Reservation.objects.filter(state="held").exists()


@contextmanager
def no_event(kind: str) -> Iterator[None]:
    """The database refuses events of this kind."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE events_event ADD CONSTRAINT none_of_these CHECK (kind <> '{kind}')")
        try:
            yield
        finally:
            cursor.execute("ALTER TABLE events_event DROP CONSTRAINT none_of_these")


class TestForwarding:
    def test_a_stream_arrives_byte_for_byte_and_is_settled_by_its_own_figures(
        self, provider: Provider, call: Calling
    ) -> None:
        answer = call(stream=True)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.content == STREAM
        done = concluded()
        assert (done.state, done.cost_micros, done.number) == ("done", COST_MICROS, 1)
        assert (done.input_tokens, done.cached_tokens, done.cache_write_tokens) == (12, 5000, 300)
        assert (done.output_tokens, done.request_id, done.offline) == (WRITTEN, "req_provider", False)
        assert Window.objects.get().spent == COST_MICROS
        assert used().kind == "usage"
        assert books_are_right()

    def test_an_answer_in_one_piece_too(self, provider: Provider, call: Calling) -> None:
        assert call().json() == WHOLE
        assert concluded().cost_micros == COST_MICROS
        assert books_are_right()

    def test_the_books_are_closed_before_the_answer_ends(self, provider: Provider, call: Calling) -> None:
        for number in range(1, 4):
            call()
            assert Window.objects.get().reserved == 0
            assert Call.objects.get(number=number).state == "done"

    def test_the_provider_sees_the_real_key_and_nothing_of_ours(
        self, provider: Provider, call: Calling, token: str
    ) -> None:
        call()
        seen = provider.received[0]
        assert seen.path == "/v1/messages?beta=true"
        assert seen.headers["x-api-key"] == "the-real-key"
        assert seen.headers["anthropic-version"] == "2023-06-01"
        assert seen.headers["accept-encoding"] == "identity"
        assert "authorization" not in seen.headers
        assert token not in str(seen)

    def test_the_answer_is_cut_to_what_is_left(
        self, provider: Provider, call: Calling, machine: Machine, owner: User
    ) -> None:
        budgets.set_limit(machine.project, "money", 100_000, by=owner)
        call(max_tokens=64_000)
        granted = json.loads(provider.received[0].body)["max_tokens"]
        assert 1024 < granted < 64_000
        assert granted == Reservation.objects.get().units
        assert Reservation.objects.get().held["money"] <= 100_000


class TestLanding:
    def test_the_agent_is_told_to_wrap_up_once_the_last_of_the_budget_is_broken_into(
        self, provider: Provider, call: Calling, machine: Machine, owner: User
    ) -> None:
        budgets.set_limit(machine.project, "money", 100_000, by=owner, landing_percent=0)
        call()
        budgets.set_limit(machine.project, "money", 50_000, by=owner, landing_percent=50)
        call()
        usual, landing = (json.loads(one.body)["messages"][-1]["content"] for one in provider.received)
        assert usual == "Say hello."
        assert landing[0] == {"type": "text", "text": "Say hello."}
        assert "almost spent" in landing[-1]["text"]


class TestRefusing:
    def test_a_spent_budget_is_402_before_the_first_byte_and_pauses_the_machine(
        self, provider: Provider, call: Calling, machine: Machine, owner: User
    ) -> None:
        budgets.set_limit(machine.project, "money", 10, by=owner)
        answer = call(stream=True)
        assert answer.status_code == 402
        body = answer.json()
        assert body["error"]["type"] == "billing_error"
        assert "Raise the limit with `bin/autovibe budget set demo money" in body["error"]["message"]
        assert body["request_id"] == answer.headers["request-id"]
        assert not provider.received
        machine.refresh_from_db()
        assert (machine.state, machine.paused_for) == ("pausing", "budget")

    @pytest.mark.parametrize("changes", [{"output_config": 5}, {"messages": [5]}, {"tools": 5}])
    def test_a_malformed_request_is_400_and_nothing_is_held(
        self, provider: Provider, call: Calling, changes: dict[str, object]
    ) -> None:
        answer = call(max_tokens=500_000, **changes)
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
        assert not Reservation.objects.exists()
        assert not provider.received

    def test_an_oversized_call_pauses_its_own_machine_and_nobody_else(
        self, provider: Provider, call: Calling, machine: Machine
    ) -> None:
        """Its agent would ask the same again; all others have their money still."""
        Window.objects.update(limit=2_000_000)
        answer = call(messages=[{"role": "user", "content": "x" * 700_000}])
        assert answer.status_code == 402
        assert (
            "has 2.00 USD of its 2.00 USD left, enough for other calls" in answer.json()["error"]["message"]
        )
        machine.refresh_from_db()
        assert (machine.state, machine.paused_for) == ("pausing", "budget")
        assert Window.objects.get().exhausted_at is None
        assert budgets.has_room(budgets.Payer(machine.project_id))

    def test_a_dead_token_opens_nothing(
        self, provider: Provider, call: Calling, machine: Machine, gateway: str
    ) -> None:
        tokens.revoke(machine)
        answer = call()
        assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")
        for path in ("/v1/models", "/guest/v1/report", "/v1/messages/count_tokens"):
            method = "GET" if path == "/v1/models" else "POST"
            assert requests.request(method, gateway + path, json={}, timeout=10).status_code == 401
        assert not provider.received

    def test_a_token_may_come_as_an_api_key(self, provider: Provider, gateway: str, token: str) -> None:
        answer = requests.get(f"{gateway}/v1/models", headers={"x-api-key": token}, timeout=10)
        assert answer.status_code == 200

    def test_an_unknown_price_is_not_called(self, provider: Provider, call: Calling) -> None:
        answer = call(model="claude-foo-99")
        assert answer.status_code == 400
        assert "no price for the model" in answer.json()["error"]["message"]
        assert not provider.received

    @pytest.mark.parametrize(
        "path",
        ["/v1/files", "/v1/models/..%2ffiles", "/v1/models/%2e%2e/files", "/v1/models/x%2f..%2f..%2ffiles"],
    )
    def test_other_paths_are_not_served(
        self, provider: Provider, gateway: str, token: str, path: str
    ) -> None:
        """Our key opens them, so nothing may climb there."""
        prepared = requests.Request("GET", gateway, headers={"x-api-key": token}).prepare()
        prepared.url = gateway + path
        assert requests.Session().send(prepared, timeout=10).status_code == 404
        assert not provider.received


class TestProviderErrors:
    @pytest.mark.parametrize(
        ("status", "kind"), [(429, "rate_limit_error"), (529, "overloaded_error"), (500, "api_error")]
    )
    def test_they_pass_and_cost_nothing(
        self, provider: Provider, call: Calling, status: int, kind: str
    ) -> None:
        provider.answer = playing.refusing(status, kind, **{"retry-after": "3"})
        answer = call(stream=True)
        assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)
        assert answer.headers["retry-after"] == "3"
        assert (concluded().state, concluded().status) == ("released", status)
        assert Window.objects.get().spent == 0
        assert books_are_right()

    def test_a_refused_key_is_the_operators_trouble_and_not_the_agents(
        self, provider: Provider, call: Calling
    ) -> None:
        provider.answer = playing.refusing(401, "authentication_error")
        answer = call()
        assert answer.status_code == 502
        assert "ANTHROPIC_API_KEY" in answer.json()["error"]["message"]
        assert concluded().state == "released"

    def test_an_unreachable_provider_costs_nothing(
        self, provider: Provider, call: Calling, settings: Settings
    ) -> None:
        settings.ANTHROPIC_BASE_URL = "http://127.0.0.1:1"
        answer = call()
        assert (answer.status_code, answer.json()["error"]["type"]) == (502, "api_error")
        assert concluded().state == "released"
        assert books_are_right()

    def test_a_request_that_got_lost_is_charged_in_full(self, provider: Provider, call: Calling) -> None:
        provider.answer = playing.silent
        assert call().status_code == 502
        lost = concluded()
        assert lost.state == "failed"
        assert lost.cost_micros == Reservation.objects.get().held["money"] > COST_MICROS
        assert used().kind == "assumed"
        assert books_are_right()

    def test_half_an_answer_is_charged_with_the_most_it_can_have_been(
        self, provider: Provider, call: Calling
    ) -> None:
        provider.answer = playing.cut_off
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            _ = call(stream=True).content
        half = concluded()
        assert half.state == "failed"
        assert "broke off" in half.error
        assert (half.input_tokens, half.output_tokens) == (12, 2000)
        assert half.cost_micros == COST_MICROS + (2000 - WRITTEN) * 15
        assert books_are_right()

    def test_an_answer_without_figures_is_charged_in_full(self, provider: Provider, call: Calling) -> None:
        async def without(request: object) -> playing.web.StreamResponse:
            return playing.web.json_response({"content": []})

        provider.answer = without
        assert call().json() == {"content": []}
        assert concluded().cost_micros == Reservation.objects.get().held["money"]
        assert "no usage figures" in concluded().error


class TestHangingUp:
    def test_the_provider_is_told_at_once_and_the_call_is_settled(
        self, provider: Provider, call: Calling
    ) -> None:
        provider.answer = playing.never_ending
        answer = call(stream=True)
        assert next(answer.iter_content(1))
        answer.close()
        assert provider.hung_up.wait(5)
        gone = concluded()
        assert (gone.state, gone.output_tokens) == ("failed", 2000)
        assert "hung up" in gone.error
        assert books_are_right()


class TestStopping:
    def test_a_call_under_way_is_settled(self, provider: Provider, token: str) -> None:
        provider.answer = playing.never_ending
        body = {"model": "claude-sonnet-4-5", "max_tokens": 2000, "stream": True, "messages": []}
        with servers.gateway() as url:
            answer = requests.post(
                f"{url}/v1/messages", json=body, headers={"x-api-key": token}, stream=True, timeout=10
            )
            assert next(answer.iter_content(1))
        assert concluded().state == "failed"
        assert books_are_right()


class TestUnderLoad:
    def test_twenty_agents_at_once_do_not_spend_more_than_there_is(
        self, provider: Provider, call: Calling, machine: Machine, owner: User
    ) -> None:
        budgets.set_limit(machine.project, "money", 250_000, by=owner)
        with ThreadPoolExecutor(20) as agents:
            answers = list(agents.map(lambda _: call(stream=True).content, range(40)))
        assert set(answers) == {STREAM}
        assert Window.objects.get().spent == 40 * COST_MICROS <= 250_000
        assert sorted(Call.objects.values_list("number", flat=True)) == list(range(1, 41))
        assert books_are_right()


class TestAdmit:
    def test_what_was_held_is_given_back_when_the_call_cannot_be_made(
        self, machine: Machine, token: str
    ) -> None:
        """Neither the checkpoint nor the word that it was missed can be written."""
        Machine.objects.update(type="unknown")
        with no_event("checkpoint.missed"), pytest.raises(IntegrityError):
            admitted(token, {"model": MODEL, "max_tokens": 2000, "messages": []})
        assert Call.objects.get().state == "released"
        assert Window.objects.get().spent == 0
        assert books_are_right()


class TestReap:
    def test_it_closes_calls_whose_gateway_died(self, machine: Machine, settings: Settings) -> None:
        hold = budgets.reserve_call(
            "call:x",
            payer=payer_of(machine),
            price=price_of("claude-sonnet-4-5"),
            input_tokens=1000,
            output_tokens=1000,
            seconds=-1,
        )
        assert isinstance(hold, budgets.Grant)
        Call.objects.create(
            machine=machine,
            number=1,
            reservation_id=hold.reservation_id,
            model="claude-sonnet-4-5",
            started_at=timezone.now() - timedelta(seconds=settings.GATEWAY_RESERVATION_SECONDS + 1),
        )
        assert calls.reap() == 1
        assert calls.reap() == 0
        closed = Call.objects.get()
        assert (closed.state, closed.cost_micros) == ("failed", Reservation.objects.get().held["money"])
        assert "charged at its upper bound" in closed.error
        assert books_are_right()


class TestFreeCalls:
    def test_counting_tokens_is_passed_on_and_leaves_no_trace(
        self, provider: Provider, gateway: str, token: str
    ) -> None:
        answer = requests.post(
            f"{gateway}/v1/messages/count_tokens",
            json={"model": "m"},
            headers={"x-api-key": token},
            timeout=10,
        )
        assert answer.json() == {"input_tokens": 7}
        assert not Call.objects.exists()


class TestHolders:
    @pytest.mark.parametrize("holder", ["system", "hub", "project", "member", "machine"])
    def test_a_call_has_to_fit_the_limits_of_everyone_it_is_made_for(
        self, provider: Provider, call: Calling, machine: Machine, owner: User, holder: str
    ) -> None:
        Machine.objects.update(created_by=owner)
        project = machine.project
        whose = {
            "system": budgets.Holder.of_system(),
            "hub": budgets.Holder.of_hub("primary"),
            "project": budgets.Holder.of_project(project),
            "member": budgets.Holder.of_member(project, owner),
            "machine": budgets.Holder.of_machine(project, machine.id, "Machine m12"),
        }
        budgets.change_limit(whose[holder], "calls", 1, by=owner)
        assert (call().status_code, call().status_code) == (200, 402)
        assert len(provider.received) == 1


class TestCircuitBreaker:
    def test_while_it_is_open_no_call_is_let_in_and_the_machine_is_set_aside(
        self, provider: Provider, call: Calling, machine: Machine
    ) -> None:
        Breaker.objects.create(project=machine.project, state="open", sentence="It spends ten times as fast.")
        refused = call()
        assert (refused.status_code, refused.json()["error"]["message"]) == (
            402,
            "It spends ten times as fast.",
        )
        machine.refresh_from_db()
        assert (machine.state, machine.paused_for) == ("pausing", "breaker")
        assert not provider.received
        assert books_are_right()

    def test_the_one_machine_on_probation_is_let_in(
        self, provider: Provider, call: Calling, machine: Machine
    ) -> None:
        Breaker.objects.create(
            project=machine.project, state="half_open", sentence="Too fast.", probe=machine.id
        )
        assert call().status_code == 200
