"""Keys and upstreams of different kinds: refused, at their limits, free of charge, and what they list."""

from typing import Any

import pytest
import requests
from aiohttp import web

from budgets import actions as budgets
from budgets.models import Window
from events.models import Event
from gateway.models import Upstream, UpstreamKey
from gateway.upstreams import actions, registry
from machines.models import Machine
from tests.gateway import provider as playing
from tests.gateway.conftest import Call as Calling
from tests.gateway.provider import WHOLE, WRITTEN, Provider
from tests.gateway.servers import until
from tests.gateway.upstreams import (
    COST_MICROS,
    books_are_right,
    chat_with,
    ended,
    entry,
    listing,
    posts,
    refusing,
    upstream,
)

pytestmark = pytest.mark.django_db(transaction=True)

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}


class TestRefusedKeys:
    def test_are_put_aside_and_told_of_once(
        self, two: None, first: Provider, second: Provider, call: Calling
    ) -> None:
        first.answer = refusing(401)
        call()
        told = until(lambda: Event.objects.filter(kind="upstream.key_refused").first())
        assert (told.subject, told.data["key"], told.data["status"]) == ("upstream:first", "main", 401)
        call()
        call()
        assert len(posts(first)) == 1
        assert Event.objects.filter(kind="upstream.key_refused").count() == 1
        assert UpstreamKey.objects.get(upstream__name="first").last_error

    def test_come_back_with_a_new_secret(
        self, two: None, first: Provider, second: Provider, call: Calling
    ) -> None:
        first.answer = refusing(401)
        call()
        until(lambda: Event.objects.filter(kind="upstream.key_refused").exists())
        first.answer = None
        actions.set_key(Upstream.objects.get(name="first"), "main", by="alice", secret="sk-new")
        call()
        assert posts(first)[-1].headers["x-api-key"] == "sk-new"

    def test_are_not_put_aside_for_what_one_guest_sent(
        self, two: None, first: Provider, second: Provider, call: Calling
    ) -> None:
        """The provider refuses this request, and takes the key for others."""

        async def this_request(request: web.Request) -> web.StreamResponse:
            return await (refusing(403) if request.method == "POST" else playing.whole_or_stream)(request)

        first.answer = this_request
        call()
        until(lambda: any(each.path == "/v1/models" for each in first.received))
        first.answer = None
        call()
        assert len(posts(first)) == 2
        assert not Event.objects.filter(kind="upstream.key_refused").exists()

    def test_are_not_asked_when_there_is_no_other(
        self, owner: object, first: Provider, call: Calling
    ) -> None:
        upstream("first", first)
        first.answer = refusing(401)
        assert call().status_code == 502
        until(lambda: Event.objects.filter(kind="upstream.key_refused").exists())
        registry.forget()
        answer = call()
        assert answer.status_code == 502
        assert "the key main of the upstream first" in answer.json()["error"]["message"]
        assert len(posts(first)) == 1


class TestLimitsPerMinute:
    def test_calls_go_to_the_next_key_and_then_to_nobody(
        self, owner: object, first: Provider, call: Calling
    ) -> None:
        made = upstream("first", first, "a", "b")
        for label in ("a", "b"):
            actions.set_key(made, label, by="alice", requests_per_minute=1)
        assert [call().status_code for _ in range(3)] == [200, 200, 429]
        assert sorted(each.headers["x-api-key"] for each in first.received) == ["sk-first-a", "sk-first-b"]

    def test_tokens_are_counted_as_they_turn_out(self, owner: object, first: Provider, call: Calling) -> None:
        """The first call comes to 352 tokens that count; the second to more than is left of the minute's 500."""
        made = upstream("first", first)
        actions.set_key(made, "main", by="alice", tokens_per_minute=500)
        long = [{"role": "user", "content": "x" * 1200}]
        assert call(messages=long).status_code == 200
        answer = call(messages=long)
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 60


class TestFreeUpstreams:
    def test_cost_no_money_but_calls_and_tokens_count(
        self, machine: Machine, owner: Any, first: Provider, gateway: str, token: str
    ) -> None:
        async def chat(request: web.Request) -> web.StreamResponse:
            return web.json_response(CHAT)

        first.answer = chat
        upstream("gpu", first, free=True, dialects=["chat"], model_patterns=["qwen*"])
        budgets.set_limit(machine.project, "calls", 1, by=owner)
        budgets.set_limit(machine.project, "money", 0, by=owner)
        ask = chat_with(gateway, token, "qwen3:8b")
        answer = ask()
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"] == CHAT["choices"]
        assert (entry().micros, entry().calls, entry().input_tokens, entry().output_tokens) == (0, 1, 9, 3)
        assert (ended().upstream, ended().dialect, ended().cost_micros) == ("gpu", "chat", 0)
        assert "authorization" not in first.received[0].headers
        assert ask().status_code == 402

    def test_are_asked_for_their_models_only(
        self, owner: object, first: Provider, second: Provider, gateway: str, token: str
    ) -> None:
        upstream("gpu", first, free=True, dialects=["chat"], model_patterns=["qwen*"])
        upstream("openai", second, dialects=["chat"])
        answer = chat_with(gateway, token, "gpt-4o")()
        assert not first.received
        assert second.received[0].headers["authorization"] == "Bearer sk-openai-main"
        assert "x-api-key" not in second.received[0].headers
        assert answer.status_code == 200

    def test_settle_at_nothing_where_one_that_charges_could_have_answered(
        self, owner: object, first: Provider, second: Provider, call: Calling
    ) -> None:
        upstream("mine", first, free=True, priority=1)
        upstream("theirs", second, priority=2)
        assert call().json() == WHOLE
        assert (entry().micros, entry().output_tokens) == (0, WRITTEN)
        first.answer = refusing(500)
        call()
        assert Window.objects.get(resource="money").spent == COST_MICROS
        assert books_are_right()


class TestNobody:
    def test_serves_the_model(self, owner: object, first: Provider, call: Calling) -> None:
        upstream("first", first, model_patterns=["gpt-*"])
        answer = call()
        assert answer.status_code == 404
        assert "No upstream serves the model claude-sonnet-4-5" in answer.json()["error"]["message"]
        assert books_are_right()


class TestAccounts:
    def test_a_guest_does_not_choose_whose_it_is(
        self, owner: object, first: Provider, gateway: str, token: str
    ) -> None:
        upstream("openai", first, dialects=["chat"])
        chat_with(gateway, token, "gpt-4o", {"openai-organization": "org-guess", "openai-project": "p"})()
        assert not {"openai-organization", "openai-project"} & first.received[0].headers.keys()

    def test_a_machine_stays_with_its_own(
        self, owner: object, first: Provider, second: Provider, call: Calling
    ) -> None:
        """Or its prompt would be cached by one provider, and asked of the other."""
        upstream("first", first)
        upstream("second", second)
        for _ in range(6):
            call()
        assert sorted([len(first.received), len(second.received)]) == [0, 6]


class TestModels:
    def test_of_all_upstreams_are_listed_together_and_asked_for_once(
        self, owner: object, first: Provider, second: Provider, gateway: str, token: str
    ) -> None:
        first.answer, second.answer = listing("qwen3:8b", "other"), listing("gpt-4o", "gpt-4o-mini")
        upstream("gpu", first, free=True, dialects=["chat"], model_patterns=["qwen*"])
        upstream("openai", second, dialects=["chat"])
        headers = {"authorization": f"Bearer {token}"}
        for _ in range(3):
            listed = requests.get(f"{gateway}/v1/models", headers=headers, timeout=10).json()
            assert [each["id"] for each in listed["data"]] == ["qwen3:8b", "gpt-4o", "gpt-4o-mini"]
        assert (len(first.received), len(second.received)) == (1, 1)

    def test_of_one_that_is_down_are_those_it_was_configured_with(
        self, owner: object, first: Provider, second: Provider, gateway: str, token: str
    ) -> None:
        first.answer, second.answer = refusing(500), listing("gpt-4o")
        upstream("gpu", first, free=True, dialects=["chat"], model_patterns=["qwen3:8b"])
        upstream("openai", second, dialects=["chat"])
        listed = requests.get(f"{gateway}/v1/models", headers={"x-api-key": token}, timeout=10).json()
        assert [each["id"] for each in listed["data"]] == ["qwen3:8b", "gpt-4o"]
