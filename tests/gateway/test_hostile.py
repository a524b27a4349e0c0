"""What a guest, or a stranger, could do to others through the gateway, over real HTTP."""

import json
import time
from typing import Any

import pytest
import requests
from aiohttp import web

from budgets import actions as budgets
from budgets.models import Window
from checkpoints import actions as checkpoints
from gateway import admission, door, unpaid
from gateway.dialects.chat import CHAT
from gateway.dialects.messages import MESSAGES, Messages
from gateway.dialects.responses import RESPONSES
from gateway.errors import Refused
from gateway.upstreams import actions, health
from guests.models import Guest
from machines import tokens
from machines.models import Machine
from machines.states import CALLING, State
from projects import actions as projects
from projects.models import User
from tests.gateway import provider as playing
from tests.gateway.conftest import DOLLAR, MODEL
from tests.gateway.conftest import Call as Calling
from tests.gateway.provider import WHOLE, Provider
from tests.gateway.upstreams import books_are_right, chat_with, posts, refusing, upstream

pytestmark = pytest.mark.django_db(transaction=True)

BODY = {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture(autouse=True)
def _well() -> None:
    health.reset()


@pytest.fixture
def other(owner: User, machine: Machine) -> str:
    """The token of another project's machine."""
    project = projects.create(slug="other", by=owner)
    budgets.set_limit(project, "money", 5 * DOLLAR, by=owner)
    template = Guest.objects.get(template=True)
    return tokens.mint(
        Machine.objects.create(
            number=13,
            project=project,
            type="shell",
            prompt="Say hello.",
            source=checkpoints.genesis(project, template),
            guest=Guest.objects.create(project=project, vmid=10_001, node="embedded"),
            wall_seconds=60,
            state=State.RUNNING,
        )
    )


def post(gateway: str, token: str, path: str = "/v1/messages", **headers: str) -> requests.Response:
    sent = {"x-api-key": token, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return requests.post(f"{gateway}{path}", json=BODY, headers=sent, timeout=20)


class TestStrangers:
    def test_are_refused_before_what_they_sent_is_read(self, gateway: str) -> None:
        for body in (b"{", b"x" * 2_000_000):
            answer = requests.post(
                f"{gateway}/v1/messages", data=body, headers={"x-api-key": "avm_invented"}, timeout=20
            )
            assert answer.status_code == 401
            assert answer.json()["error"]["type"] == "authentication_error"

    def test_one_that_was_known_a_moment_ago_is_not_let_in(
        self, provider: Provider, call: Calling, machine: Machine
    ) -> None:
        assert call().status_code == 200
        tokens.revoke(machine)
        assert call().status_code == 401
        assert len(provider.received) == 1


class TestLongRequests:
    def test_many_references_to_tools_are_bounded_at_once(self) -> None:
        """Looked up one by one in the conversation, these take minutes."""
        references = [{"type": "tool_reference", "tool_name": "a"}] * 20_000
        tools = [{"name": "a", "description": "x" * 1000, "input_schema": {}}]
        raw = json.dumps({**BODY, "tools": tools, "messages": [{"role": "user", "content": references}]})
        began = time.process_time()
        request = MESSAGES.read(raw.encode())
        bound = request.input_bound(admission.Price(MODEL, "", ((0, admission.FREE),), 10**9))
        assert bound > 20_000 * 1000
        assert time.process_time() - began < 3

    def test_more_messages_than_the_provider_takes_are_refused(self) -> None:
        raw = json.dumps({**BODY, "messages": [{}] * 100_001}).encode()
        for dialect in (MESSAGES, CHAT):
            with pytest.raises(Refused, match="more than 100,000"):
                dialect.read(raw)

    def test_too_many_at_once_are_sent_away(
        self, provider: Provider, call: Calling, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(door, "AT_ONCE_BYTES_MAX", 1000)
        assert call(messages=[{"role": "user", "content": "x" * 1000}]).status_code == 429
        assert [call().status_code for _ in range(9)] == [200] * 9


class TestShapes:
    @pytest.mark.parametrize("kind", [["tool_reference"], {}, 5])
    def test_a_block_of_no_type_is_a_mistake_of_the_agent(self, kind: Any) -> None:
        turns = [{"role": "user", "content": [{"type": kind}, {"type": "tool_reference", "tool_name": []}]}]
        with pytest.raises(Refused, match="type"):
            MESSAGES.read(json.dumps({**BODY, "messages": turns}).encode())

    def test_so_is_an_environment_that_is_none(self) -> None:
        body = {"model": "gpt-5", "input": "Hi", "tools": [{"type": "shell", "environment": "x"}]}
        with pytest.raises(Refused, match="environment"):
            RESPONSES.read(json.dumps(body).encode())

    @pytest.mark.parametrize("kind", ["bash_code_execution_20250825", "text_editor_code_execution_20250825"])
    def test_a_tool_that_is_run_elsewhere_does_not_pass_by_its_first_letters(self, kind: str) -> None:
        with pytest.raises(Refused, match="run by the provider"):
            MESSAGES.read(json.dumps({**BODY, "tools": [{"type": kind, "name": "x"}]}).encode())


class TestModels:
    PRICE = admission.Price("m", "", ((0, admission.FREE),), 128_000)

    @pytest.mark.parametrize("model", ["gpt-4o-mini", "GPT-4O-MINI", "ft:gpt-4o-mini-2024-07-18:us::1"])
    def test_an_image_is_as_large_however_the_model_is_spelled(self, model: str) -> None:
        image = {"type": "image_url", "image_url": "https://example.org/a.png"}
        body = {"model": model, "messages": [{"role": "user", "content": [image]}]}
        assert CHAT.read(json.dumps(body).encode()).input_bound(self.PRICE) > 49_152

    def test_one_that_searches_does_not_pass_in_capitals(self) -> None:
        with pytest.raises(Refused, match="searches"):
            CHAT.read(json.dumps({**BODY, "model": "gpt-4o-SEARCH-preview"}).encode())

    def test_a_document_that_is_to_be_cited_counts_as_the_whole_window(self) -> None:
        source = {"type": "text", "media_type": "text/plain", "data": "a. a. a."}
        block = {"type": "document", "source": source, "citations": {"enabled": True}}
        body = {**BODY, "messages": [{"role": "user", "content": [block]}]}
        assert MESSAGES.read(json.dumps(body).encode()).input_bound(self.PRICE) == 128_000


class TestLongContext:
    @pytest.mark.parametrize(("model", "kept"), [("claude-sonnet-4-0", "a-1,b-2"), (MODEL, None)])
    def test_is_not_asked_for_where_its_price_is_not_known(
        self, provider: Provider, gateway: str, token: str, model: str, kept: str | None
    ) -> None:
        betas = "a-1,context-1m-2025-08-07,b-2"
        headers = {"x-api-key": token, "anthropic-beta": betas}
        url = f"{gateway}/v1/messages"
        assert requests.post(url, json={**BODY, "model": model}, headers=headers, timeout=20).ok
        assert provider.received[0].headers["anthropic-beta"] == (kept or betas)

    def test_nor_counted_with(self) -> None:
        source = {"type": "url", "url": "https://example.org/a.pdf"}
        body = {**BODY, "messages": [{"role": "user", "content": [{"type": "document", "source": source}]}]}
        request = Messages(betas="context-1m-2025-08-07").read(json.dumps(body).encode())
        assert request.input_bound(admission.Price(MODEL, "", ((0, admission.FREE),), 200_000)) == 200_000


class TestKeys:
    """What the provider says to one guest is not taken as said to all."""

    def test_counting_tokens_until_it_is_too_much_stops_no_call(
        self, provider: Provider, gateway: str, token: str
    ) -> None:
        provider.answer = refusing(429, retry_after="60")
        assert post(gateway, token, "/v1/messages/count_tokens").status_code == 429
        provider.answer = None
        assert post(gateway, token).json() == WHOLE

    def test_nor_takes_from_what_a_key_may_in_a_minute(
        self, owner: User, first: Provider, gateway: str, token: str
    ) -> None:
        actions.set_key(upstream("first", first), "main", by="alice", requests_per_minute=1)
        for _ in range(3):
            assert post(gateway, token, "/v1/messages/count_tokens").status_code == 200
        assert post(gateway, token).status_code == 200

    def test_counting_tokens_has_a_limit_of_its_own(
        self, provider: Provider, gateway: str, token: str, other: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(unpaid, "PER_MINUTE", 2)
        statuses = [post(gateway, token, "/v1/messages/count_tokens").status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert post(gateway, other, "/v1/messages/count_tokens").status_code == 200

    def test_a_429_of_ones_own_is_not_the_others(
        self, provider: Provider, gateway: str, token: str, other: str
    ) -> None:
        async def by_beta(request: web.Request) -> web.StreamResponse:
            refused = "context-1m" in request.headers.get("anthropic-beta", "")
            return await (refusing(429, retry_after="60") if refused else playing.whole_or_stream)(request)

        provider.answer = by_beta
        assert post(gateway, token, anthropic_beta="context-1m-2025-08-07").status_code == 429
        assert post(gateway, other).json() == WHOLE

    def test_nor_is_a_want_of_credit(
        self, owner: User, first: Provider, gateway: str, token: str, other: str
    ) -> None:
        """Some providers answer so to one call that asks for more than the credit that is left."""
        upstream("first", first)
        first.answer = refusing(402)
        assert post(gateway, token).status_code == 502
        first.answer = None
        assert post(gateway, other).json() == WHOLE
        assert post(gateway, token).status_code == 502
        assert len(posts(first)) == 2


class TestWhatIsForwarded:
    def test_is_json_in_our_writing_and_of_the_query_what_is_known(
        self, provider: Provider, gateway: str, token: str
    ) -> None:
        headers = {"x-api-key": token, "content-type": "application/json; charset=utf-7"}
        url = f"{gateway}/v1/messages?api-version=1&beta=true&x=%00"
        requests.post(
            url,
            data=json.dumps(BODY),
            headers={**headers, "content-encoding": "identity"},
            timeout=20,
        )
        received = provider.received[0]
        assert received.path == "/v1/messages?beta=true"
        assert received.headers["content-type"] == "application/json"
        assert "content-encoding" not in received.headers


class TestFreeModels:
    def test_are_served_although_another_upstream_takes_every_name(
        self, owner: User, first: Provider, second: Provider, gateway: str, token: str
    ) -> None:
        upstream("all", first, dialects=["chat"], priority=1)
        upstream("gpu", second, free=True, dialects=["chat"], model_patterns=["qwen*"], priority=2)
        assert chat_with(gateway, token, "qwen3:8b")().status_code == 200
        assert not first.received
        assert Window.objects.get().spent == 0


class TestNobodyToAnswer:
    def test_is_no_case_for_the_offline_model(
        self, owner: User, first: Provider, gateway: str, token: str
    ) -> None:
        made = upstream("first", first)
        made.enabled = False
        made.save()
        assert post(gateway, token).status_code == 404
        assert post(gateway, token, "/v1/messages/count_tokens").status_code == 404
        assert books_are_right()


class TestMachinesThatAreNotAtWork:
    @pytest.mark.parametrize("state", State)
    def test_make_no_calls(
        self,
        provider: Provider,
        call: Calling,
        machine: Machine,
        state: State,
    ) -> None:
        """An agent that is being paused must not take it for the end: it is to ask again when it goes on."""
        Machine.objects.filter(pk=machine.pk).update(state=state)
        expected = 200 if state in CALLING else 403 if state in admission.ENDING else 429
        assert call().status_code == expected
        assert len(provider.received) == (expected == 200)
        assert books_are_right()
