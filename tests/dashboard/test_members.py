"""The pages of people: who is in a project, roles, invitations, leaving; and open pages that close."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group

from checkpoints.models import Checkpoint
from events import actions as events
from projects import actions as projects
from projects import members
from projects.models import Invitation, Project, User
from projects.roles import Role
from tests.dashboard import rows
from tests.dashboard.conftest import Browser
from tests.dashboard.test_doorbell import page

URL = "/p/demo/members/"


def post(browser: Browser, what: str, who: str = "alice", **values: str) -> Any:
    return browser(who).post(f"{URL}{what}/", values, follow=True)


def roles(project: Project) -> dict[str, str]:
    return {one.name: one.role for one in members.of(project)}


class TestThePage:
    def test_it_tells_who_is_in_and_what_each_role_may_do(self, browser: Browser, project: Project) -> None:
        shown = browser("bob").get(URL).content.decode()

        assert "Members of demo" in shown
        assert "Spawn machines, and operate those they spawned" in shown
        assert ">Change<span" not in shown
        assert "Invite by a link" not in shown
        assert "Leave…" in shown

    def test_strangers_to_the_project_find_none(self, browser: Browser, project: Project) -> None:
        assert browser("charlie").get(URL).status_code == 404
        for what in ("set", "remove", "machines", "invite"):
            assert post(browser, what, "charlie").status_code == 404

    def test_members_change_nothing(self, browser: Browser, project: Project) -> None:
        for what in ("set", "machines", "invite"):
            assert post(browser, what, "bob", name="bob", role="owner").status_code == 403
        assert post(browser, "remove", "bob", name="alice").status_code == 403
        assert roles(project) == {"alice": "owner", "bob": "viewer"}

    def test_many_members_take_no_more_queries(
        self, browser: Browser, project: Project, django_assert_max_num_queries: Any
    ) -> None:
        for number in range(20):
            projects.admit(project, User.objects.create_user(f"m{number}"), Role.MEMBER, by=project_owner())
        client = browser("alice")
        client.get(URL)
        with django_assert_max_num_queries(12):
            client.get(URL)

    def test_all_projects_with_their_people_are_on_one_page(
        self, browser: Browser, project: Project, django_assert_max_num_queries: Any
    ) -> None:
        for slug in ("one", "two", "three"):
            projects.create(slug=slug, by=project_owner())
        client = browser("alice")
        client.get("/people/")
        with django_assert_max_num_queries(10):
            shown = client.get("/people/").content.decode()
        assert "three" in shown
        assert "You are a member of no project yet" in browser("charlie").get("/people/").content.decode()


class TestChanging:
    def test_a_role(self, browser: Browser, project: Project) -> None:
        shown = post(browser, "set", name="bob", role="operator").content.decode()

        assert "bob is operator of demo now." in shown
        assert roles(project)["bob"] == "operator"

    def test_who_is_unknown_is_said_and_stays_in_the_form(self, browser: Browser, project: Project) -> None:
        answer = post(browser, "set", name="eve", role="member")

        assert answer.status_code == 404
        assert "There is no user &#x27;eve&#x27;" in answer.content.decode()
        assert 'value="eve"' in answer.content.decode()

    def test_removing_asks_first(self, browser: Browser, project: Project) -> None:
        asked = browser("alice").get(f"{URL}remove/?name=bob").content.decode()
        assert "Remove bob from demo?" in asked
        assert "No machine that bob spawned is under way." in asked

        assert "bob is no member of demo any more." in post(browser, "remove", name="bob").content.decode()
        assert "bob" not in roles(project)

    def test_everybody_may_leave(self, browser: Browser, project: Project) -> None:
        assert "Leave demo?" in browser("bob").get(f"{URL}remove/?name=bob").content.decode()

        shown = post(browser, "remove", "bob", name="bob").content.decode()

        assert "You are no member of demo any more." in shown

    def test_the_last_owner_stays(self, browser: Browser, project: Project) -> None:
        assert "demo needs an owner" in post(browser, "remove", name="alice").content.decode()

    def test_what_machines_may_be(self, browser: Browser, project: Project) -> None:
        assert "are members of it now" in post(browser, "machines", role="member").content.decode()
        assert post(browser, "machines", role="owner").status_code == 422
        assert "may do nothing in it now" in post(browser, "machines", role="").content.decode()


class TestInviting:
    def test_the_link_is_shown_once(self, browser: Browser, project: Project) -> None:
        made = post(browser, "invite", role="viewer", note="Eve", email="", days="7")

        link = made.context["link"]
        assert link in made.content.decode()
        assert "no-store" in made["Cache-Control"]
        later = browser("alice").get(URL).content.decode()
        assert link not in later
        assert "Eve" in later

    def test_it_can_be_taken_back(self, browser: Browser, project: Project) -> None:
        post(browser, "invite", role="viewer", note="Eve", email="", days="7")
        number = Invitation.objects.get().pk

        assert post(browser, f"invitations/{number}/revoke", "bob").status_code == 403
        post(browser, f"invitations/{number}/revoke")

        assert Invitation.objects.get().state == "revoked"

    def test_nonsense_stays_in_the_form(self, browser: Browser, project: Project) -> None:
        answer = post(browser, "invite", role="viewer", note="Eve", email="nobody", days="99")

        assert answer.status_code == 422
        assert 'value="nobody"' in answer.content.decode()
        assert not Invitation.objects.exists()


@pytest.mark.django_db(transaction=True)
class TestOpenPages:
    @pytest.fixture
    def machine(self, project: Project, genesis: Checkpoint) -> Any:
        return rows.machine(project, genesis)

    async def test_close_for_whoever_is_removed(
        self, project: Project, machine: Any, people: dict[str, User]
    ) -> None:
        async with page(people["bob"], machine.subject) as socket:
            await socket.hears()
            await sync_to_async(members.remove)(project, "bob", by=people["alice"])
            assert await socket.closes() == 4403

    async def test_close_for_all_of_a_group(
        self, project: Project, machine: Any, people: dict[str, User]
    ) -> None:
        def admit() -> None:
            team = Group.objects.create(name="Team")
            team.user_set.add(people["charlie"])
            members.set_role(project, "group:Team", Role.VIEWER, by=people["alice"])

        await sync_to_async(admit)()
        async with page(people["charlie"], machine.subject) as socket:
            await socket.hears()
            await sync_to_async(members.remove)(project, "group:Team", by=people["alice"])
            assert await socket.closes() == 4403

    async def test_stay_for_others_and_where_only_the_role_changed(
        self, project: Project, machine: Any, people: dict[str, User]
    ) -> None:
        async with (
            page(people["alice"], machine.subject) as hers,
            page(people["bob"], machine.subject) as his,
        ):
            await hers.hears()
            await his.hears()
            await sync_to_async(members.set_role)(project, "bob", Role.OPERATOR, by=people["alice"])
            await sync_to_async(events.ring)("log", subject=machine.subject, project_id=project.id)
            for socket in (hers, his):
                assert (await socket.hears())["subject"] == machine.subject


def project_owner() -> User:
    return User.objects.get(username="alice")
