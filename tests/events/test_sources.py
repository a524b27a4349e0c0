"""From where something was asked for: known to every event, and to no other request's."""

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction
from rest_framework.test import APIClient

from autovibe.requests import known
from events import actions as events
from events import context
from events.context import Interface, Source
from events.models import Event
from events.scrub import TEXT_MAX
from gateway import database
from machines import tokens
from machines.authentication import MachineAuthentication
from operations import actions, engine
from operations.engine import Plan
from operations.models import Operation
from projects import actions as projects
from projects.models import ApiToken, Project, User
from projects.roles import Role
from tests.dashboard import rows

KEY = "sk-" + "a1b2c3" * 4
HERE = Source("api", "laptop", "203.0.113.9", "request-0001")


def of(event: Event) -> tuple[str, str, str, str]:
    return event.interface, event.token, event.address, event.request_id


class TestRecording:
    def test_it_is_kept_with_the_event(self, db):
        with context.calling(HERE):
            event = events.record("a.b", subject="x:1", by="alice")

        assert of(event) == ("api", "laptop", "203.0.113.9", "request-0001")
        assert event.actor_kind == "person"

    @pytest.mark.parametrize(
        ("actor", "kind"),
        [("system", "system"), ("machine:m12", "machine"), ("hub:primary", "hub"), ("bob", "person")],
    )
    def test_names_tell_what_kind_of_principal_it_was(self, db, actor, kind):
        assert events.record("a.b", subject="x:1", by=actor).actor_kind == kind

    def test_outside_of_any_request_it_is_what_the_process_is(self, db, monkeypatch):
        monkeypatch.setattr(context, "_of_process", Source())
        context.of_process(context.of_command("hub"))

        assert events.record("a.b", subject="x:1").interface == "hub"
        assert context.of_command("audit") == Interface.COMMAND


class TestSecrets:
    @pytest.mark.parametrize(
        "told",
        [
            {"sentence": f"It said {KEY} to us"},
            {"after": {"url": "https://user:hunter2hunter2@example.com/"}},
            {"list": ["Authorization: Bearer abcdefghijklmnop"]},
            {"password": "correct horse"},
            {"header": "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----"},
        ],
    )
    def test_what_looks_like_one_is_left_out(self, db, told):
        data = str(events.record("a.b", subject="x:1", **told).data)

        assert "[redacted]" in data
        for secret in (KEY, "hunter2", "abcdefghijklmnop", "correct horse", "MIIE"):
            assert secret not in data

    def test_what_is_none_stays(self, db):
        told = {"token": "laptop", "member": "alice@example.com", "limit": 20, "before": {"limit": None}}

        assert events.record("a.b", subject="x:1", **told).data == told

    def test_long_texts_are_cut(self, db):
        prompt = events.record("a.b", subject="x:1", prompt="word " * 1000).data["prompt"]

        assert len(prompt) == TEXT_MAX
        assert prompt.endswith("…")


class TestRequests:
    def test_no_client_chooses_the_id_that_its_acts_are_found_by(self, people):
        _, key = ApiToken.mint(people["alice"], "laptop")
        client = APIClient(headers={"Authorization": f"Bearer {key}", "X-Request-Id": "request-0002"})

        answer = client.post("/api/v1/projects/", {"slug": "new"})

        told = Event.objects.get(kind="project.created").request_id
        assert told == answer["X-Request-Id"] != "request-0002"

    def test_an_api_call_with_a_token_says_all_of_it(self, people, settings):
        settings.TRUSTED_PROXIES = 1
        token, key = ApiToken.mint(people["alice"], "laptop")
        client = APIClient(headers={"Authorization": f"Bearer {key}", "X-Request-Id": "request-0002"})

        assert client.post("/api/v1/projects/", {"slug": "new"}, REMOTE_ADDR="203.0.113.7").status_code == 201

        event = Event.objects.get(kind="project.created")
        assert of(event) == ("api", str(token), "203.0.113.7", "request-0002")

    def test_so_does_one_with_a_machine_s_own(self, people, project, genesis):
        projects.set_machine_role(project, Role.VIEWER, by=people["alice"])
        machine = rows.machine(project, genesis)
        key = tokens.mint(machine)

        with context.calling(HERE):
            MachineAuthentication().by_key(key)
            named = context.current().token

        assert named == f"{machine.handle} ({tokens.fingerprint(key)})"
        assert key[4:] not in named

    def test_the_next_request_knows_nothing_of_it(self, people):
        _, key = ApiToken.mint(people["alice"], "laptop")
        APIClient(headers={"Authorization": f"Bearer {key}"}).get("/api/v1/projects/")

        assert context.current().token == ""
        assert context.current().request_id == ""

    @pytest.mark.parametrize(
        ("path", "interface"),
        [
            ("/", "page"),
            ("/api/v1/x/", "api"),
            ("/admin/", "admin"),
            ("/mcp", "mcp"),
            ("/v1/messages", "gateway"),
        ],
    )
    async def test_the_door_is_known_by_its_path(self, path, interface):
        assert (await asked(path)).interface == interface

    @pytest.mark.parametrize(
        ("proxies", "forwarded", "address"),
        [
            (0, "198.51.100.1", "192.0.2.1"),
            (1, "198.51.100.1", "198.51.100.1"),
            (1, "203.0.113.66, 198.51.100.1", "198.51.100.1"),
            (2, "203.0.113.66, 198.51.100.1, 192.0.2.9", "198.51.100.1"),
            (1, "", "192.0.2.1"),
            (1, "unknown", "192.0.2.1"),
            (1, "2001:db8::1", "2001:db8::1"),
        ],
    )
    async def test_only_our_own_proxies_are_believed(self, settings, proxies, forwarded, address):
        settings.TRUSTED_PROXIES = proxies

        assert (await asked("/", forwarded)).address == address

    async def test_requests_at_the_same_time_do_not_know_of_each_other(self):
        found = await asyncio.gather(*(asked("/", number=number) for number in range(20)))

        assert len({source.request_id for source in found}) == 20
        assert context.current().request_id == ""

    async def test_threads_of_a_request_know_of_it_and_others_do_not(self):
        with context.calling(HERE):
            inside = await sync_to_async(context.current)()
            seen: list[Source] = []
            thread = threading.Thread(target=lambda: seen.append(context.current()))
            thread.start()
            thread.join()

        assert inside == HERE
        assert seen[0].request_id == ""

    async def test_so_do_the_threads_of_the_gateway(self):
        with context.calling(HERE):
            assert await database.run(context.current) == HERE
        assert await database.run(context.current) != HERE
        await database.close()


async def asked(path: str, forwarded: str = "", number: int = 0) -> Source:
    """What a request to the path is known as, at its end: others have begun meanwhile."""
    found: list[Source] = []

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        found.append(await sync_to_async(context.current)())
        assert scope["client"][0] == found[0].address

    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    scope = {"type": "http", "path": path, "headers": headers, "client": ("192.0.2.1", 1000 + number)}
    await known(application)(scope, None, None)
    return found[0]


class TestWork:
    @pytest.mark.django_db(transaction=True)
    def test_a_worker_acts_for_the_request_that_asked_for_it(self, project: Project):
        with context.calling(HERE), transaction.atomic():
            alice = User.objects.get(username="alice")
            operation = actions.begin(
                "try", subject="x:1", project=project, lock="x:1", task="x.y", by=alice, path="a"
            )

        engine.perform(str(operation.pk), Plan(lambda it: it, (), _told, lambda it, why: None))

        event = Event.objects.get(kind="tried")
        assert of(event) == ("api", "laptop", "203.0.113.9", "request-0001")
        assert context.current().request_id == ""


def _told(operation: Operation) -> None:
    events.record("tried", subject=operation.subject, project_id=operation.project_id, by="alice")
