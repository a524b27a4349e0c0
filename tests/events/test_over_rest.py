"""Events over REST: who sees which, what can be searched for, the live stream, and the export."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.test import AsyncClient
from django.utils import timezone
from rest_framework.test import APIClient

from audit import stream
from events import actions as events
from events import context
from events.context import Source
from events.models import Event
from projects import actions as projects
from projects.models import ApiToken, Project, User

EVENTS = "/api/v1/events/"
SOURCE = Source(interface="api", token="laptop (av_1234…)", address="203.0.113.9", request_id="request-0001")


@pytest.fixture
def told(project: Project) -> dict[str, Event]:
    """An event of the project, one of another, and one of the system; Alice owns the first, Charlie the second."""
    other = projects.create(slug="other", by=User.objects.get(username="charlie"))
    with context.calling(SOURCE):
        return {
            "demo": events.record(
                "machine.paused", subject="machine:1", project_id=project.pk, by="alice", why="lunch"
            ),
            "other": events.record("machine.paused", subject="machine:2", project_id=other.pk, by="charlie"),
            "system": events.record("node.away", subject="node:pve1"),
        }


@pytest.fixture
def auditor(project: Project) -> User:
    user = User.objects.create_user("auditor")
    user.groups.add(Group.objects.get(name="Auditors"))
    return user


def listed(client: APIClient, **asked: Any) -> list[dict[str, Any]]:
    response = client.get(EVENTS, asked)
    assert response.status_code == 200, response.content
    return response.json()["results"]


def kinds(client: APIClient, **asked: Any) -> list[str]:
    return [row["kind"] for row in listed(client, **asked)]


def signed_in(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


class TestWhoSeesWhat:
    def test_members_see_their_project_and_nothing_else(self, api, told):
        subjects = {row["subject"] for row in listed(api("bob"))}

        assert "machine:1" in subjects
        assert not subjects & {"machine:2", "node:pve1"}

    def test_from_where_is_told_to_those_who_may_read_the_audit_only(self, api, told):
        (seen,) = listed(api("bob"), subject="machine:1")
        (known,) = listed(api("alice"), subject="machine:1")

        assert (seen["address"], seen["token"], seen["request_id"]) == (None, None, None)
        assert (known["address"], known["token"], known["request_id"]) == (
            "203.0.113.9",
            "laptop (av_1234…)",
            "request-0001",
        )
        assert seen["interface"] == "api"

    @pytest.mark.parametrize("field", ["address:203.0.113.9", "token:laptop", "request_id:request-0001"])
    def test_and_nobody_else_finds_out_by_searching_for_it(self, api, told, field):
        assert kinds(api("bob"), q=field) == []
        assert kinds(api("bob"), q=f"-{field}") == []
        assert kinds(api("alice"), q=field) == ["machine.paused"]

    def test_what_concerns_no_project_is_for_system_auditors(self, api, told, auditor):
        assert kinds(api("alice"), kind="node.away") == []
        assert kinds(signed_in(auditor), kind="node.away") == ["node.away"]

    def test_and_for_administrators(self, told):
        admin = User.objects.create_superuser("root")

        assert {row["subject"] for row in listed(signed_in(admin), kind="machine.paused")} == {
            "machine:1",
            "machine:2",
        }
        assert kinds(signed_in(admin), kind="node.away") == ["node.away"]

    def test_strangers_are_asked_who_they_are(self, told):
        assert APIClient().get(EVENTS).status_code == 401


class TestSearching:
    @pytest.mark.parametrize(
        "asked",
        [
            {"project": "demo", "kind": "machine.paused"},
            {"subject": "machine:1"},
            {"kind": "machine.*"},
            {"actor": "alice", "interface": "api"},
            {"q": "lunch"},
            {"q": 'kind:machine.paused "lunch"'},
            {"q": "-kind:project.* -actor:system"},
        ],
    )
    def test_what_has_it_is_found(self, api, told, asked):
        assert kinds(api("alice"), **asked) == ["machine.paused"]

    @pytest.mark.parametrize(
        "asked",
        [{"kind": "machine.running"}, {"actor": "bob"}, {"q": "dinner"}, {"q": "-kind:machine.* lunch"}],
    )
    def test_what_has_it_not_is_not(self, api, told, asked):
        assert kinds(api("alice"), **asked) == []

    def test_by_time(self, api, told):
        before, after = told["demo"].at - timedelta(seconds=1), told["demo"].at + timedelta(seconds=1)

        assert kinds(api("alice"), kind="machine.*", since=before.isoformat()) == ["machine.paused"]
        assert kinds(api("alice"), kind="machine.*", since=after.isoformat()) == []
        assert kinds(api("alice"), kind="machine.*", until=after.isoformat()) == ["machine.paused"]
        assert kinds(api("alice"), kind="machine.*", until=before.isoformat()) == []
        assert kinds(api("alice"), kind="machine.*", since="2h") == ["machine.paused"]

    @pytest.mark.parametrize(
        ("asked", "sentence"),
        [
            ({"q": "colour:red"}, "There is no field “colour”"),
            ({"since": "yesterday"}, "“yesterday” is no time"),
            ({"until": "0001-01-01"}, "“0001-01-01” is no time"),
            ({"interface": "phone"}, "There is no interface “phone”"),
            ({"q": "kind:"}, "lacks what it should be"),
        ],
    )
    def test_what_cannot_be_understood_is_said(self, api, told, asked, sentence):
        response = api("alice").get(EVENTS, asked)

        assert response.status_code == 400
        assert sentence in response.json()["detail"]

    def test_a_project_that_they_may_not_see_is_not_there(self, api, told):
        assert api("alice").get(EVENTS, {"project": "other"}).status_code == 404

    def test_pages_are_short_and_go_on(self, api, told):
        first = api("alice").get(EVENTS, {"page_size": 1}).json()
        second = api("alice").get(first["next"]).json()

        assert first["results"][0]["id"] > second["results"][0]["id"]

    def test_a_list_takes_as_many_queries_for_many_events_as_for_few(
        self, api, told, project, django_assert_max_num_queries
    ):
        for number in range(50):
            events.record("machine.told", subject=f"machine:{number}", project_id=project.pk)
        client = api("alice")
        with django_assert_max_num_queries(7):
            assert len(listed(client)) == 50


class TestExporting:
    def export(self, client: APIClient, **asked: Any) -> Any:
        return client.get(f"{EVENTS}export/", asked)

    async def lines(self, client: APIClient, **asked: Any) -> list[dict[str, Any]]:
        response = await sync_to_async(self.export)(client, **asked)
        assert response.status_code == 200, response.content
        return [json.loads(line) async for chunk in response.streaming_content for line in chunk.splitlines()]

    @pytest.mark.django_db(transaction=True)
    async def test_each_event_comes_with_the_digest_that_proves_it(self, api, told):
        alice = await sync_to_async(api)("alice")
        lines = await self.lines(alice)

        assert [line["position"] for line in lines] == sorted(line["position"] for line in lines)
        assert {line["event"]["subject"] for line in lines} >= {"machine:1"}
        assert not {line["event"]["subject"] for line in lines} & {"machine:2", "node:pve1"}
        assert await Event.objects.filter(kind="audit.exported", actor="alice").acount() == 1

    def test_who_may_not_read_the_audit_gets_none(self, api, told):
        assert self.export(api("bob")).status_code == 403
        assert self.export(api("bob"), project="demo").status_code == 403
        assert self.export(api("bob"), project="other").status_code == 404


Lines = AsyncIterator[str]


@pytest.mark.django_db(transaction=True)
class TestTheStream:
    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch):
        monkeypatch.setattr(stream, "BEAT_SECONDS", 1.0)

    @pytest.fixture
    def key(self, told) -> str:
        return ApiToken.mint(User.objects.get(username="alice"), "laptop")[1]

    async def listen(self, key: str, **headers: str) -> Lines:
        response = await AsyncClient().get(
            f"{EVENTS}stream/",
            headers={"Authorization": f"Bearer {key}", "Accept": "text/event-stream", **headers},
        )
        assert response.status_code == 200
        assert response["Content-Type"] == "text/event-stream"
        return aiter(response)

    async def next_of(self, lines: Lines, beginning: str) -> str:
        async with asyncio.timeout(20):
            async for part in lines:
                if beginning in part.decode():
                    return part.decode()
        raise AssertionError(f"It ended without {beginning!r}.")

    async def record(self, **also: Any) -> None:
        await sync_to_async(lambda: events.record(by="alice", **also))()

    async def test_what_happens_is_told_at_once_and_in_order(self, key, project):
        lines = await self.listen(key)
        await self.next_of(lines, "listening")
        for number in (1, 2):
            await self.record(kind="machine.told", subject=f"machine:{number}", project_id=project.pk)

        for number in (1, 2):
            part = await self.next_of(lines, "event: machine.told")
            data = json.loads(part.split("data: ")[1])
            assert data["subject"] == f"machine:{number}"

    async def test_what_is_not_theirs_is_not_told(self, key, project):
        lines = await self.listen(key)
        await self.next_of(lines, "listening")
        await self.record(kind="node.away", subject="node:1")
        await self.record(kind="machine.told", subject="machine:1", project_id=project.pk)

        assert "event: machine.told" in await self.next_of(lines, "event: ")

    async def test_who_was_away_gets_what_was_missed(self, key, project):
        lines = await self.listen(key)
        last = (await self.next_of(lines, "listening")).split("\n")[0].removeprefix("id: ")
        await lines.aclose()
        await self.record(kind="machine.missed", subject="machine:1", project_id=project.pk)

        again = await self.listen(key, **{"Last-Event-ID": last})
        assert "event: machine.missed" in await self.next_of(again, "event: ")

    async def test_it_keeps_the_connection_alive(self, key):
        lines = await self.listen(key)

        assert await self.next_of(lines, ": beat")

    async def test_it_ends_when_the_token_is_revoked(self, key):
        lines = await self.listen(key)
        await self.next_of(lines, "listening")
        await ApiToken.objects.aupdate(revoked_at=timezone.now())

        assert "You are not signed in any more" in await self.next_of(lines, "event: end")

    async def test_and_when_there_is_no_project_left(self, key, project):
        lines = await self.listen(key)
        await self.next_of(lines, "listening")
        await sync_to_async(project.projectuserobjectpermission_set.all().delete)()

        assert "There is no project left" in await self.next_of(lines, "event: end")

    def test_a_place_that_is_no_number_is_refused(self, api, told):
        response = api("alice").get(f"{EVENTS}stream/", headers={"Last-Event-ID": "now"})

        assert response.status_code == 400
