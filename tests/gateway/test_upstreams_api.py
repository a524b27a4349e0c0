"""Operators' side of upstreams: REST and admin. Secrets go in, and never come out."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from aiohttp import web
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from budgets.prices import price_of
from events.models import Event
from gateway import secrets
from gateway.dialects.messages.meter import usage_of
from gateway.models import Upstream, UpstreamKey
from gateway.upstreams import health, registry
from projects.models import User
from tests.gateway import provider as playing
from tests.gateway import servers
from tests.gateway.provider import USAGE, WRITTEN, Provider

SECRET = "sk-very-secret"
GPU = {
    "name": "gpu",
    "base_url": "http://gpu:11434/v1",
    "dialects": ["chat"],
    "models": ["qwen*"],
    "free": True,
}
TEAM = {"name": "team", "base_url": "https://api.example.com", "dialects": ["messages"]}


@pytest.fixture(autouse=True)
def known_nothing() -> Iterator[None]:
    yield
    registry.reset()
    health.reset()


@pytest.fixture
def staff(alice: User, api: Callable[[str], APIClient]) -> APIClient:
    alice.is_staff = alice.is_superuser = True
    alice.save()
    return api("alice")


@pytest.fixture
def server() -> Iterator[Provider]:
    with servers.provider() as made:
        yield made


def with_key(staff: APIClient, **fields: object) -> dict[str, object]:
    staff.post("/api/v1/upstreams/", {**TEAM, **fields})
    answer = staff.put("/api/v1/upstreams/team/keys/main/", {"secret": SECRET})
    assert answer.status_code == 200, answer.content
    return answer.json()


class TestUpstreams:
    def test_are_for_staff(self, api: Callable[[str], APIClient]) -> None:
        assert api("bob").get("/api/v1/upstreams/").status_code == 403
        assert api("bob").post("/api/v1/upstreams/", GPU).status_code == 403

    def test_are_added_shown_changed_and_removed(self, staff: APIClient) -> None:
        made = staff.post("/api/v1/upstreams/", GPU)
        assert made.status_code == 201
        assert made.json() == {
            **GPU,
            "priority": 10,
            "weight": 100,
            "enabled": True,
            "in_environment": False,
            "keys": [],
        }
        changed = staff.patch("/api/v1/upstreams/gpu/", {"priority": 5, "models": ["*"]}).json()
        assert (changed["priority"], changed["models"], changed["free"]) == (5, ["*"], True)
        assert staff.get("/api/v1/upstreams/").json()["results"] == [changed]
        assert staff.delete("/api/v1/upstreams/gpu/").status_code == 204
        assert staff.get("/api/v1/upstreams/gpu/").status_code == 404
        kinds = Event.objects.filter(subject="upstream:gpu").order_by("id").values_list("kind", "actor")
        assert list(kinds) == [(f"upstream.{verb}", "alice") for verb in ("added", "changed", "removed")]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"base_url": "gpu:11434"},
            {"base_url": "ftp://gpu"},
            {"dialects": []},
            {"dialects": ["french"]},
            {"weight": 0},
            {"models": []},
            {"name": "no spaces"},
        ],
    )
    def test_are_not_added_where_they_cannot_work(self, staff: APIClient, wrong: dict[str, object]) -> None:
        assert staff.post("/api/v1/upstreams/", {**GPU, **wrong}).status_code == 400
        assert not Upstream.objects.exists()

    def test_have_one_name_each(self, staff: APIClient) -> None:
        staff.post("/api/v1/upstreams/", GPU)
        assert staff.post("/api/v1/upstreams/", GPU).status_code == 409

    def test_of_the_environment_are_shown_without_their_keys(
        self, staff: APIClient, settings: Settings
    ) -> None:
        settings.ANTHROPIC_API_KEY, settings.OPENAI_API_KEY = SECRET, SECRET
        answer = staff.get("/api/v1/upstreams/")
        shown = [
            (each["name"], each["in_environment"], each["keys"][0]["name"])
            for each in answer.json()["results"]
        ]
        assert shown == [("anthropic", True, "ANTHROPIC_API_KEY"), ("openai", True, "OPENAI_API_KEY")]
        assert SECRET not in answer.content.decode()


class TestKeys:
    def test_are_never_sent_back_nor_kept_as_they_are(self, staff: APIClient) -> None:
        shown = with_key(staff)
        assert SECRET not in str(shown)
        assert [(key["name"], key["state"]) for key in shown["keys"]] == [("main", "ok")]
        sealed = bytes(UpstreamKey.objects.get().sealed)
        assert SECRET.encode() not in sealed
        assert secrets.unseal(registry.SECRETS, sealed) == SECRET.encode()
        assert SECRET not in str(list(Event.objects.values_list("data", flat=True)))

    def test_need_a_secret_once(self, staff: APIClient) -> None:
        staff.post("/api/v1/upstreams/", TEAM)
        assert staff.put("/api/v1/upstreams/team/keys/main/", {"weight": 5}).status_code == 400
        with_key(staff)
        kept = staff.put("/api/v1/upstreams/team/keys/main/", {"requests_per_minute": 5}).json()
        assert kept["keys"][0]["requests_per_minute"] == 5
        assert secrets.unseal(registry.SECRETS, bytes(UpstreamKey.objects.get().sealed)) == SECRET.encode()

    def test_cannot_break_the_header_they_are_sent_in(self, staff: APIClient) -> None:
        staff.post("/api/v1/upstreams/", TEAM)
        answer = staff.put("/api/v1/upstreams/team/keys/main/", {"secret": "sk\r\nx-evil: 1"})
        assert answer.status_code == 400
        assert not UpstreamKey.objects.exists()

    def test_are_removed(self, staff: APIClient) -> None:
        with_key(staff)
        assert staff.delete("/api/v1/upstreams/team/keys/main/").status_code == 204
        assert staff.delete("/api/v1/upstreams/team/keys/main/").status_code == 404

    def test_outlive_a_new_secret_key_of_the_server(self, staff: APIClient, settings: Settings) -> None:
        with_key(staff)
        before, settings.SECRET_KEY = settings.SECRET_KEY, "another one"
        registry.refresh()
        assert registry.targets() == []
        shown = staff.get("/api/v1/upstreams/team/").json()
        assert shown["keys"][0]["state"] == "unreadable"
        settings.SECRET_KEY_FALLBACKS = [before]
        registry.forget()
        registry.refresh()
        assert [target.secret for target in registry.targets()] == [SECRET]


class TestTrying:
    @pytest.fixture
    def listed(self, server: Provider) -> Provider:
        """A provider that lists its models."""

        async def answer(request: web.Request) -> web.StreamResponse:
            if request.path == "/v1/models":
                names = ("claude-opus-4-1", "claude-haiku-4-5", "claude-unheard-of")
                return web.json_response({"data": [{"id": name} for name in names]})
            return await playing.whole_or_stream(request)

        server.answer = answer
        return server

    @pytest.mark.django_db(transaction=True)
    def test_makes_the_smallest_call_with_the_cheapest_model_and_says_what_it_cost(
        self, staff: APIClient, listed: Provider
    ) -> None:
        with_key(staff, base_url=listed.url)
        (report,) = staff.post("/api/v1/upstreams/team/test/").json()["results"]
        assert (report["key"], report["answered"], report["model"]) == ("main", True, "claude-haiku-4-5")
        assert report["models"] == 3
        prompt = sum(USAGE[name] for name in USAGE if name.endswith("input_tokens"))
        assert (report["input_tokens"], report["output_tokens"]) == (prompt, WRITTEN)
        usage = usage_of({**USAGE, "output_tokens": WRITTEN})
        assert report["cost_micros"] == price_of("claude-haiku-4-5").cost_micros(usage)
        assert listed.received[-1].headers["x-api-key"] == SECRET
        assert b'"max_tokens":1' in listed.received[-1].body

    @pytest.mark.django_db(transaction=True)
    def test_says_what_is_wrong_key_by_key(self, staff: APIClient, server: Provider) -> None:
        server.answer = playing.refusing(401, "authentication_error")
        with_key(staff, base_url=server.url)
        (report,) = staff.post("/api/v1/upstreams/team/test/", {"model": "claude-haiku-4-5"}).json()[
            "results"
        ]
        assert (report["answered"], report["status"]) == (False, 401)
        assert report["sentence"] == "claude-haiku-4-5: HTTP 401. no"
        assert report["cost_micros"] is None

    @pytest.mark.django_db(transaction=True)
    def test_puts_a_key_back_that_works_again(self, staff: APIClient, listed: Provider) -> None:
        with_key(staff, base_url=listed.url)
        later = timezone.now() + timedelta(minutes=9)
        UpstreamKey.objects.update(cooled_until=later, refused_at=timezone.now(), last_error="no")
        assert staff.get("/api/v1/upstreams/team/").json()["keys"][0]["state"] == "refused"
        staff.post("/api/v1/upstreams/team/test/")
        assert staff.get("/api/v1/upstreams/team/").json()["keys"][0]["state"] == "ok"

    @pytest.mark.django_db(transaction=True)
    def test_of_a_server_that_is_away(self, staff: APIClient) -> None:
        with_key(staff, base_url="http://127.0.0.1:1")
        (report,) = staff.post("/api/v1/upstreams/team/test/", {"model": "m"}).json()["results"]
        assert "cannot be reached" in report["sentence"]

    def test_of_what_is_not_there(self, staff: APIClient) -> None:
        assert staff.post("/api/v1/upstreams/none/test/").status_code == 404


class TestAdmin:
    def test_a_key_is_written_and_not_shown(self, staff: APIClient, alice: User, client: Client) -> None:
        client.force_login(alice)
        form = {
            "name": "team",
            "base_url": "https://api.example.com",
            "dialects": "messages,chat",
            "model_patterns": "*",
            "priority": "10",
            "weight": "100",
            "enabled": "on",
            "keys-TOTAL_FORMS": "1",
            "keys-INITIAL_FORMS": "0",
            "keys-0-label": "main",
            "keys-0-weight": "100",
            "keys-0-enabled": "on",
        }
        add = reverse("admin:gateway_upstream_add")
        assert "needs a secret" in client.post(add, form).content.decode()
        assert client.post(add, {**form, "keys-0-secret": SECRET}).status_code == 302
        key = UpstreamKey.objects.get()
        assert secrets.unseal(registry.SECRETS, bytes(key.sealed)) == SECRET.encode()
        page = client.get(reverse("admin:gateway_upstream_change", args=[key.upstream_id]))
        assert page.status_code == 200
        assert SECRET not in page.content.decode()
