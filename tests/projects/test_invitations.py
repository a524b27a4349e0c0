"""Invitations: a link that lets one person in, once."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from events.models import Event
from projects import actions, invitations, members
from projects.bounds import Bounds
from projects.errors import Conflict, Forbidden, Invalid, NotThere
from projects.models import Invitation, Project, User
from projects.roles import Right, Role
from tests.projects.conftest import Later

URL = "/api/v1/projects/demo/invitations/"
PASSWORD = "a long enough passphrase"
By = Callable[[str], APIClient]


@pytest.fixture
def code(project: Project, alice: User) -> str:
    return invitations.create(project, Role.MEMBER, note="the new one", by=alice)[1]


@pytest.fixture
def link(code: str) -> str:
    return f"/invitation/{code}/"


def accept(code: str, user: User) -> None:
    invitations.accept(invitations.find(code), user)


def role_of(project: Project, name: str) -> str | None:
    return next((one.role for one in members.of(project) if one.name == name), None)


class TestSending:
    def test_the_link_is_told_once(self, project: Project, by: By) -> None:
        made = by("alice").post(URL, {"role": "viewer", "note": "Eve of sales"})

        assert made.status_code == 201
        assert made.json()["link"].startswith("http://testserver/invitation/")
        assert made.json()["emailed"] is False
        listed = by("alice").get(URL).json()["results"]
        assert [(one["role"], one["note"], one["invited_by"]) for one in listed] == [
            ("viewer", "Eve of sales", "alice")
        ]
        code = made.json()["link"].split("/")[-2]
        assert code not in str([*listed, *Invitation.objects.values(), *Event.objects.values()])

    def test_only_by_those_who_manage_the_project(self, project: Project, by: By) -> None:
        for name, status in (("bob", 403), ("charlie", 404)):
            assert by(name).get(URL).status_code == status
            assert by(name).post(URL, {"role": "viewer"}).status_code == status

    def test_not_with_rights_that_one_does_not_hold(self, project: Project, alice: User) -> None:
        alice.bounds = Bounds(frozenset({Right.VIEW, Right.MANAGE}), project.pk)
        with pytest.raises(Forbidden):
            invitations.create(project, Role.MEMBER, by=alice)

    @pytest.mark.parametrize("said", [{"days": 0}, {"days": 31}, {"email": "nobody"}, {"role": "king"}])
    def test_not_with_nonsense(self, said: dict[str, Any], project: Project, by: By) -> None:
        assert by("alice").post(URL, {"role": "viewer", **said}).status_code == 400

    @pytest.mark.django_db(transaction=True)
    def test_by_e_mail_where_that_is_set_up(
        self, project: Project, by: By, settings: Any, mailoutbox: list[Any]
    ) -> None:
        settings.EMAIL_HOST = "mail.example.com"

        made = by("alice").post(URL, {"role": "viewer", "email": "eve@example.com"}).json()

        assert made["emailed"] is True
        assert mailoutbox[0].to == ["eve@example.com"]
        assert made["link"] in mailoutbox[0].body

    def test_it_can_be_taken_back(self, project: Project, by: By, link: str, client: Client) -> None:
        number = Invitation.objects.get().pk

        assert by("bob").delete(f"{URL}{number}/").status_code == 403
        assert by("alice").delete(f"{URL}{number}/").status_code == 204

        assert by("alice").get(URL).json()["results"] == []
        assert "taken back" in client.get(link).content.decode()
        assert [
            event.kind for event in Event.objects.filter(kind__startswith="invitation.").order_by("id")
        ] == [
            "invitation.created",
            "invitation.revoked",
        ]


class TestAccepting:
    def test_somebody_who_is_signed_in_joins(
        self, project: Project, link: str, client: Client, people: dict[str, User]
    ) -> None:
        client.force_login(people["charlie"])

        page = client.get(link, follow=True)
        assert "Join demo" in page.content.decode()
        joined = client.post("/invitation/", {"do": "join"})

        assert joined["Location"] == "/?project=demo"
        assert role_of(project, "charlie") == "member"
        accepted = Event.objects.get(kind="invitation.accepted")
        assert (accepted.actor, accepted.data["invited_by"]) == ("charlie", "alice")

    def test_a_stranger_makes_an_account_and_is_signed_in(
        self, project: Project, link: str, client: Client
    ) -> None:
        client.get(link, follow=True)

        client.post("/invitation/", {"username": "eve", "password1": PASSWORD, "password2": PASSWORD})

        assert role_of(project, "eve") == "member"
        assert User.objects.get(username="eve").check_password(PASSWORD)
        assert client.get("/").status_code == 200
        assert Event.objects.get(kind="user.joined").actor == "eve"

    @pytest.mark.parametrize(
        ("said", "sentence"),
        [
            ({"password1": "short", "password2": "short"}, "too short"),
            ({"password1": PASSWORD, "password2": "another"}, "match"),
            ({"username": "Alice"}, "already exists"),
            ({"username": "machine:m1"}, "Enter a valid username"),
            ({"username": "System"}, "taken"),
        ],
    )
    def test_what_is_wrong_is_said_and_nobody_is_made(
        self, said: dict[str, str], sentence: str, link: str, client: Client
    ) -> None:
        client.get(link, follow=True)
        before = User.objects.count()

        answer = client.post(
            "/invitation/", {"username": "eve", "password1": PASSWORD, "password2": PASSWORD, **said}
        )

        assert answer.status_code >= 400
        assert sentence in answer.content.decode()
        assert User.objects.count() == before
        assert Invitation.objects.get().state == "pending"

    def test_it_works_once(self, code: str, people: dict[str, User], link: str, client: Client) -> None:
        accept(code, people["charlie"])

        with pytest.raises(Conflict, match="accepted already"):
            accept(code, people["bob"])
        answer = client.get(link)
        assert answer.status_code == 410
        assert "accepted already" in answer.content.decode()

    def test_until_it_expires(self, code: str, people: dict[str, User], later: Later) -> None:
        later(days=8)
        with pytest.raises(Conflict, match="expired"):
            accept(code, people["charlie"])

    def test_whoever_sent_it_has_to_be_an_owner_still(
        self, project: Project, code: str, alice: User, people: dict[str, User]
    ) -> None:
        members.set_role(project, "bob", Role.OWNER, by=alice)
        members.remove(project, "alice", by=people["bob"])

        with pytest.raises(Conflict, match="may not invite anybody any more"):
            accept(code, people["charlie"])

    def test_nobody_loses_rights_by_it(
        self, project: Project, code: str, alice: User, people: dict[str, User]
    ) -> None:
        with pytest.raises(Conflict, match="can do all that"):
            accept(code, alice)
        members.set_role(project, "bob", Role.AUDITOR, by=alice)
        with pytest.raises(Conflict, match="would lose rights"):
            accept(code, people["bob"])
        assert Invitation.objects.get().state == "pending"

    def test_a_viewer_becomes_more(self, project: Project, code: str, people: dict[str, User]) -> None:
        accept(code, people["bob"])
        assert role_of(project, "bob") == "member"

    def test_a_code_that_was_guessed_is_none(self, db: None, client: Client) -> None:
        with pytest.raises(NotThere):
            invitations.find("guessed")
        assert client.get("/invitation/guessed/").status_code == 404


class TestThePage:
    def test_the_code_does_not_stay_in_the_address(self, link: str, client: Client) -> None:
        answer = client.get(link)

        assert answer["Location"] == "/invitation/"
        assert answer["Cache-Control"].find("no-store") >= 0
        assert link not in client.get("/invitation/").content.decode()

    def test_without_a_link_there_is_none(self, db: None, client: Client) -> None:
        answer = client.get("/invitation/")
        assert answer.status_code == 404
        assert "Open the link" in answer.content.decode()

    def test_whoever_has_an_account_is_led_back_after_signing_in(self, link: str, client: Client) -> None:
        page = client.get(link, follow=True).content.decode()
        assert "/sign-in/?next=/invitation/" in page

    def test_trying_codes_is_slowed_down(self, db: None, client: Client) -> None:
        statuses = [client.get(f"/invitation/guess{number}/").status_code for number in range(40)]
        assert statuses[0] == 404
        assert statuses[-1] == 429


def test_no_note_is_too_long(project: Project, alice: User) -> None:
    with pytest.raises(Invalid):
        invitations.create(project, Role.VIEWER, note="x" * 201, by=alice)
    assert actions.rights_of(alice, project)
