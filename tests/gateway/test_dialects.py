"""Every API over real HTTP: through the gateway, to a provider or the offline model, and into the books."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
from aiohttp import web
from pytest_django import Settings

from budgets import actions as budgets
from budgets import ledger
from budgets.models import LedgerEntry, Reservation
from budgets.prices import Usage, price_of
from gateway import calls
from gateway.models import Call
from machines.models import Machine
from projects.models import User
from tests.gateway import agents, provider_openai
from tests.gateway.provider import Provider
from tests.gateway.provider_openai import CHAT_STREAM, CHAT_USAGE_EVENT, CHAT_WHOLE, RESPONSE, RESPONSE_STREAM
from tests.gateway.servers import until

pytestmark = pytest.mark.django_db(transaction=True)

ASKED = {"model": "gpt-5", "input": "Say hello."}
Post = Callable[..., requests.Response]


@pytest.fixture
def openai(provider: Provider, settings: Settings) -> Provider:
    """The provider speaks OpenAI's APIs, too."""
    settings.OPENAI_BASE_URL = provider.url
    settings.OPENAI_API_KEY = "the-other-key"
    return provider


@pytest.fixture
def post(gateway: str, token: str) -> Post:
    """As OpenAI's clients do."""

    def posting(path: str, body: dict[str, Any]) -> requests.Response:
        headers = {"authorization": f"Bearer {token}", **agents.AIDER_HEADERS}
        return requests.post(gateway + path, json=body, headers=headers, timeout=30)

    return posting


def concluded() -> Call:
    found: Call = until(lambda: Call.objects.exclude(state__in=calls.OPEN).first())
    return found


class TestChat:
    def test_aiders_stream_is_metered_although_it_does_not_ask_for_figures(
        self, openai: Provider, post: Post
    ) -> None:
        answer = post("/v1/chat/completions", agents.aider_chat())
        assert answer.status_code == 200
        assert answer.content == CHAT_STREAM.replace(CHAT_USAGE_EVENT, b"")
        done = concluded()
        assert (done.state, done.dialect, done.request_id) == ("done", "chat", "req_openai")
        assert (done.input_tokens, done.cached_tokens, done.output_tokens) == (112, 1000, 40)
        # gpt-4o: 2.50, 1.25 and 10 USD per million.
        assert LedgerEntry.objects.get(kind="usage").micros == 280 + 1250 + 400
        assert not ledger.verify()

    def test_who_asks_for_figures_gets_them(self, openai: Provider, post: Post) -> None:
        body = agents.aider_chat() | {"stream_options": {"include_usage": True}}
        assert post("/v1/chat/completions", body).content == CHAT_STREAM

    def test_a_stream_may_be_announced_with_its_length(self, openai: Provider, post: Post) -> None:
        async def at_once(request: Any) -> Any:
            return web.Response(body=CHAT_STREAM, content_type="text/event-stream")

        openai.answer = at_once
        answer = post("/v1/chat/completions", agents.aider_chat())
        assert answer.content == CHAT_STREAM.replace(CHAT_USAGE_EVENT, b"")

    def test_an_answer_in_one_piece(self, openai: Provider, post: Post) -> None:
        assert post("/v1/chat/completions", agents.aider_chat(stream=False)).json() == CHAT_WHOLE
        assert concluded().output_tokens == 40

    def test_the_provider_sees_the_real_key_and_a_limit(
        self, openai: Provider, post: Post, token: str
    ) -> None:
        post("/v1/chat/completions", agents.aider_chat())
        (seen,) = openai.received
        assert seen.headers["authorization"] == "Bearer the-other-key"
        assert token not in str(seen)
        sent = json.loads(seen.body)
        assert sent["stream_options"] == {"include_usage": True}
        assert sent["max_completion_tokens"] == 16_384
        assert sent["messages"] == agents.aider_chat()["messages"]


class TestResponses:
    @pytest.mark.parametrize("stream", [True, False])
    def test_it_is_passed_on_and_metered(self, openai: Provider, post: Post, stream: bool) -> None:
        answer = post("/v1/responses", {**ASKED, "stream": stream})
        assert answer.content == RESPONSE_STREAM if stream else answer.json() == RESPONSE
        done = concluded()
        assert (done.state, done.dialect) == ("done", "responses")
        assert (done.input_tokens, done.cached_tokens, done.output_tokens) == (112, 1000, 40)
        # gpt-5: 1.25, 0.125 and 10 USD per million.
        assert LedgerEntry.objects.get(kind="usage").micros == 140 + 125 + 400


class TestSessions:
    def test_a_call_that_goes_on_holds_what_was_counted_and_not_what_it_looks_like(
        self, provider: Provider, gateway: str, token: str
    ) -> None:
        headers = {"authorization": f"Bearer {token}", **agents.CLAUDE_CODE_HEADERS}
        long = agents.said("user", "word " * 12_000)
        for turns in ([long], [long, *agents.step(1)]):
            body = agents.claude_code(*turns, max_tokens=1000)
            answer = requests.post(f"{gateway}/v1/messages", json=body, headers=headers, timeout=10)
            assert answer.status_code == 200
        first, second = (each.held["tokens"] for each in Reservation.objects.order_by("created_at"))
        assert first > 60_000
        assert 5312 + 1000 < second < 10_000
        assert not ledger.verify()


class TestRefusing:
    @pytest.mark.parametrize(
        ("path", "body"), [("/v1/chat/completions", agents.aider_chat()), ("/v1/responses", ASKED)]
    )
    def test_a_spent_budget_is_402_before_the_first_byte(
        self, openai: Provider, post: Post, machine: Machine, owner: User, path: str, body: dict[str, Any]
    ) -> None:
        budgets.set_limit(machine.project, "money", 10, by=owner)
        answer = post(path, body)
        assert (answer.status_code, answer.headers["x-should-retry"]) == (402, "false")
        error = answer.json()["error"]
        assert error["code"] == "insufficient_quota"
        assert "Raise the limit" in error["message"]
        assert not openai.received

    def test_a_dead_token_and_a_bad_request_are_answered_in_the_same_shape(
        self, openai: Provider, gateway: str, post: Post
    ) -> None:
        headers = {"authorization": "Bearer nonsense"}
        dead = requests.post(f"{gateway}/v1/responses", json=ASKED, headers=headers, timeout=10)
        assert (dead.status_code, dead.json()["error"]["code"]) == (401, "invalid_api_key")
        bad = post("/v1/responses", {**ASKED, "background": True})
        assert (bad.status_code, bad.json()["error"]["type"]) == (400, "invalid_request_error")

    def test_claude_code_is_answered_in_its_own(self, provider: Provider, gateway: str, token: str) -> None:
        body = agents.claude_code(tools=[{"type": "web_search_20260318", "name": "web_search"}])
        headers = {"authorization": f"Bearer {token}", **agents.CLAUDE_CODE_HEADERS}
        answer = requests.post(f"{gateway}/v1/messages?beta=true", json=body, headers=headers, timeout=10)
        assert (answer.status_code, answer.json()["type"]) == (400, "error")
        assert "web_search_20260318 is run by the provider" in answer.json()["error"]["message"]


class TestModels:
    def test_each_client_sees_those_of_its_own_api(self, openai: Provider, gateway: str, token: str) -> None:
        async def listing(request: Any) -> Any:
            claude = {"data": [{"id": "claude-sonnet-4-5", "type": "model"}], "has_more": False}
            said = claude if "x-api-key" in request.headers else provider_openai.MODELS
            return web.json_response(said)

        openai.answer = listing
        headers = {"authorization": f"Bearer {token}"}
        theirs = requests.get(f"{gateway}/v1/models", headers=headers, timeout=10).json()
        assert [each["id"] for each in theirs["data"]] == ["gpt-4o"]
        headers["anthropic-version"] = "2023-06-01"
        ours = requests.get(f"{gateway}/v1/models?limit=1000", headers=headers, timeout=10).json()
        assert [each["id"] for each in ours["data"]] == ["claude-sonnet-4-5"]
        assert openai.received[-1].path == "/v1/models?limit=1000"

    def test_a_provider_that_cannot_be_reached_is_told_about(
        self, provider: Provider, gateway: str, token: str, settings: Settings
    ) -> None:
        settings.ANTHROPIC_BASE_URL = "http://127.0.0.1:1"
        headers = {"x-api-key": token, "anthropic-version": "2023-06-01"}
        for path in ("/v1/models", "/v1/models/claude-sonnet-4-5"):
            assert requests.get(gateway + path, headers=headers, timeout=10).status_code == 502

    def test_claude_code_finds_somebody_there(self, gateway: str) -> None:
        assert requests.get(f"{gateway}/api/hello", timeout=10).json() == {"message": "hello"}


class TestOffline:
    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize(
        ("path", "body"), [("/v1/chat/completions", agents.aider_chat()), ("/v1/responses", ASKED)]
    )
    def test_it_answers_in_every_api_says_so_and_is_paid_for(
        self, post: Post, path: str, body: dict[str, Any], stream: bool
    ) -> None:
        answer = post(path, {**body, "stream": stream})
        assert answer.status_code == 200
        assert answer.headers["x-autovibe-offline"] == "1"
        assert "[offline model] (No real model was asked.)" in answer.text
        done = concluded()
        assert (done.state, done.model, done.offline) == ("done", "autovibe-offline", True)
        usage = Usage(done.input_tokens, done.cached_tokens, output_tokens=done.output_tokens)
        assert (
            LedgerEntry.objects.get(kind="usage").micros
            == price_of("autovibe-offline").cost_micros(usage)
            > 0
        )
        assert not ledger.verify()
