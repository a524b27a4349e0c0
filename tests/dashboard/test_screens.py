"""The page where wall screens are set up: by whom, for what, and that an address is shown once. Its socket as well."""

import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.test import Client

from dashboard import screens
from dashboard.models import Screen
from dashboard.screens import Wanted
from dashboard.wall import socket as wall_socket
from dashboard.wall.socket import WallBell
from events import actions as events
from events.models import Event
from projects import actions as projects
from projects.errors import Forbidden, Invalid, NotThere
from projects.models import Project, User
from projects.roles import Role
from tests.dashboard.conftest import Browser

URL = "/settings/screens/"
FORM = {
    "name": "Lobby",
    "show": ["demo"],
    "seconds": "30",
    "theme": "dark",
    "zoom": "100",
    **dict.fromkeys(("view_counts", "view_map"), "1"),
    **dict.fromkeys(("view_waiting", "view_budgets", "view_burn", "view_health", "view_clock"), "0"),
    "view_events": "2",
}


def wanted(*shown: Project, **more: Any) -> Wanted:
    return Wanted(
        **{"name": "Lobby", "views": [["counts"]], "every_project": False, "projects": shown} | more
    )


class TestMaking:
    def test_the_address_is_shown_once_and_works(self, fresh: Browser, project: Project) -> None:
        client = fresh("alice")

        made = client.post(URL, FORM)

        address = made.context["address"]
        assert address in made.content.decode()
        assert "no-store" in made["Cache-Control"]
        assert Client().get(address.removeprefix("http://testserver")).status_code == 200
        assert address not in client.get(URL).content.decode()
        assert Screen.objects.get().views == [["counts", "map"], ["events"]]

    def test_what_is_wrong_is_said_and_stays_in_the_form(self, fresh: Browser, project: Project) -> None:
        client = fresh("alice")

        short = client.post(URL, FORM | {"seconds": "1"})
        nothing = client.post(URL, FORM | {"show": []})

        assert short.status_code == 422
        assert 'value="Lobby"' in short.content.decode()
        assert nothing.status_code == 400
        assert "Choose at least one project" in nothing.content.decode()
        assert not Screen.objects.exists()

    def test_every_project_is_offered_to_administrators_alone(
        self, fresh: Browser, project: Project, alice: User
    ) -> None:
        assert "Every project" not in fresh("alice").get(URL).content.decode()
        assert fresh("alice").post(URL, FORM | {"show": ["every"]}).status_code == 422

        User.objects.filter(pk=alice.pk).update(is_superuser=True)

        assert fresh("alice").post(URL, FORM | {"show": ["every"]}).status_code == 200
        assert Screen.objects.get().every_project

    def test_whoever_manages_no_project_is_told_who_does(self, fresh: Browser, project: Project) -> None:
        page = fresh("bob").get(URL).content.decode()

        assert "set up by owners of projects" in page
        assert "Make a wall screen" not in page
        assert fresh("bob").post(URL, FORM).status_code == 422
        assert not Screen.objects.exists()

    def test_whoever_signed_in_long_ago_is_asked_again(
        self, browser: Browser, project: Project, alice: User
    ) -> None:
        alice.set_password("a long enough passphrase")
        alice.save()

        assert browser("alice").post(URL, FORM)["Location"].startswith("/account/confirm/")
        assert not Screen.objects.exists()

    def test_nobody_puts_a_project_on_a_wall_that_they_do_not_manage(
        self, project: Project, people: dict[str, User]
    ) -> None:
        with pytest.raises(Forbidden):
            screens.make(wanted(project), by=people["bob"])
        with pytest.raises(Forbidden):
            screens.make(wanted(every_project=True), by=people["alice"])
        with pytest.raises(Invalid):
            screens.make(wanted(project, views=[]), by=people["alice"])


class TestKeeping:
    @pytest.fixture
    def screen(self, project: Project, alice: User) -> Screen:
        return screens.make(wanted(project), by=alice)[0]

    def test_a_change_keeps_the_address_and_is_recorded_with_what_was(
        self, fresh: Browser, screen: Screen
    ) -> None:
        before = screen.digest

        answer = fresh("alice").post(f"{URL}{screen.pk}/", FORM | {"name": "Kitchen"})

        screen.refresh_from_db()
        told = Event.objects.get(kind="screen.changed")
        assert answer.status_code == 302
        assert (screen.name, screen.digest) == ("Kitchen", before)
        assert (told.data["before"]["name"], told.data["name"]) == ("Lobby", "Kitchen")
        assert told.actor == "alice"

    def test_the_form_holds_what_the_screen_is(self, fresh: Browser, screen: Screen) -> None:
        client = fresh("alice")
        client.post(f"{URL}{screen.pk}/", FORM)

        form = client.get(f"{URL}{screen.pk}/").context["form"]

        again = client.post(f"{URL}{screen.pk}/", {name: form[name].value() for name in FORM})
        assert again.status_code == 302
        assert Screen.objects.get().views == [["counts", "map"], ["events"]]

    def test_a_new_address_ends_the_old_one(self, fresh: Browser, project: Project, alice: User) -> None:
        screen, key = screens.make(wanted(project), by=alice)

        made = fresh("alice").post(f"{URL}{screen.pk}/rotate/")

        assert Client().get(f"/wall/{key}/").status_code == 404
        assert Client().get(made.context["address"].removeprefix("http://testserver")).status_code == 200
        assert Event.objects.filter(kind="screen.rotated", actor="alice").exists()

    def test_a_revoked_one_leaves_the_list(self, fresh: Browser, screen: Screen) -> None:
        client = fresh("alice")

        client.post(f"{URL}{screen.pk}/revoke/")

        assert client.get(f"{URL}{screen.pk}/").status_code == 404
        assert "No wall screen yet" in client.get(URL).content.decode()
        assert Event.objects.filter(kind="screen.revoked", actor="alice").count() == 1

    def test_its_preview_needs_no_address(self, fresh: Browser, screen: Screen) -> None:
        assert 'data-wall="shown"' in fresh("alice").get(f"{URL}{screen.pk}/preview/").content.decode()

    def test_another_owner_of_its_projects_may_end_it_and_nobody_else(
        self, screen: Screen, project: Project, people: dict[str, User], alice: User
    ) -> None:
        for outsider in ("bob", "charlie"):
            with pytest.raises(NotThere):
                screens.find(screen.pk, by=people[outsider])

        projects.admit(project, people["bob"], Role.OWNER, by=alice)
        assert screens.find(screen.pk, by=people["bob"]) == screen

        screen.projects.add(projects.create(slug="other", by=alice))
        with pytest.raises(NotThere):
            screens.find(screen.pk, by=people["bob"])


class TestItsCost:
    def test_many_screens_take_no_more_queries_than_one(
        self, browser: Browser, project: Project, alice: User, django_assert_max_num_queries
    ) -> None:
        client = browser("alice")
        screens.make(wanted(project), by=alice)
        client.get(URL)
        with django_assert_max_num_queries(15) as few:
            client.get(URL)
        for number in range(10):
            screens.make(wanted(project, name=f"Screen {number}"), by=alice)
        with django_assert_max_num_queries(15) as many:
            page = client.get(URL).content.decode()

        assert "Screen 9" in page
        assert len(many) == len(few)


@pytest.mark.django_db(transaction=True)
class TestItsSocket:
    async def heard(self, *protocols: str) -> Any:
        scope = {
            "type": "websocket",
            "path": "/ws/wall/",
            "query_string": b"",
            "headers": [],
            "subprotocols": list(protocols),
        }
        socket = ApplicationCommunicator(WallBell.as_asgi(), scope)
        await socket.send_input({"type": "websocket.connect"})
        return socket, (await socket.receive_output(timeout=5)).get("subprotocol")

    async def test_it_rings_for_its_projects_and_for_itself_and_tells_nothing_of_them(
        self, project: Project, alice: User
    ) -> None:
        screen, key = await sync_to_async(screens.make)(wanted(project), by=alice)
        other = await sync_to_async(projects.create)(slug="other", by=alice)
        socket, protocol = await self.heard("wall", key)
        assert protocol == "wall"
        assert json.loads((await socket.receive_output(timeout=5))["text"])["type"] == "hello"

        await sync_to_async(events.ring)("machine.running", subject="machine:x", project_id=other.pk)
        await sync_to_async(events.ring)("log", subject="machine:x", project_id=project.pk)
        assert await socket.receive_nothing(timeout=1)

        await sync_to_async(events.ring)("machine.running", subject="machine:x", project_id=project.pk)
        assert json.loads((await socket.receive_output(timeout=5))["text"]) == {
            "type": "doorbell",
            "subject": "fleet",
        }
        await sync_to_async(screens.revoke)(screen, by=alice)
        assert json.loads((await socket.receive_output(timeout=5))["text"])["type"] == "doorbell"
        await socket.send_input({"type": "websocket.disconnect", "code": 1001})
        await socket.wait()

    async def test_one_screen_has_so_many_and_others_are_not_the_fewer(
        self, project: Project, alice: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(wall_socket, "SOCKETS_OF_ONE", 1)
        _, key = await sync_to_async(screens.make)(wanted(project), by=alice)
        _, other = await sync_to_async(screens.make)(wanted(project, name="Other"), by=alice)

        first, _ = await self.heard("wall", key)
        assert (await first.receive_output(timeout=5))["type"] == "websocket.send"
        second, _ = await self.heard("wall", key)
        assert (await second.receive_output(timeout=5))["code"] == 4429
        elsewhere, _ = await self.heard("wall", other)
        assert (await elsewhere.receive_output(timeout=5))["type"] == "websocket.send"

        await first.send_input({"type": "websocket.disconnect", "code": 1001})
        await first.wait()
        again, _ = await self.heard("wall", key)
        assert (await again.receive_output(timeout=5))["type"] == "websocket.send"
        for socket in (again, elsewhere):
            await socket.send_input({"type": "websocket.disconnect", "code": 1001})
            await socket.wait()

    async def test_a_key_that_is_none_hears_nothing(self, project: Project, alice: User) -> None:
        for protocols in (("wall", "nonsense"), ("wall",), ()):
            socket, _ = await self.heard(*protocols)
            assert (await socket.receive_output(timeout=5))["code"] == 4403
