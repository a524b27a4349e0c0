"""The page of one's API tokens: making, renewing and ending them, and being asked for the password first."""

from rest_framework.test import APIClient

from projects import tokens
from projects.models import ApiToken, Project, User
from projects.roles import Right
from tests.dashboard.conftest import Browser

URL = "/settings/tokens/"


def works(key: str) -> bool:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    return client.get("/api/v1/projects/").status_code == 200


class TestMaking:
    def test_the_key_is_shown_once_with_a_command_that_works(self, fresh: Browser, project: Project) -> None:
        client = fresh("alice")

        made = client.post(URL, {"name": "ci", "project": "demo", "scopes": ["spawn_machines"], "days": "30"})

        key = made.context["key"]
        assert f"Authorization: Bearer {key}" in made.content.decode()
        assert "no-store" in made["Cache-Control"]
        assert works(key)
        shown = client.get(URL).content.decode()
        assert key not in shown
        assert "ci" in shown

    def test_what_is_wrong_is_said_and_stays_in_the_form(self, fresh: Browser, project: Project) -> None:
        client = fresh("alice")

        assert "required" in client.post(URL, {"name": "ci"}).content.decode()
        too_long = client.post(URL, {"name": "ci", "scopes": ["view_project"], "days": "9999"})
        assert too_long.status_code == 400
        assert "1 to 365 days" in too_long.content.decode()
        assert 'value="ci"' in too_long.content.decode()
        assert client.post(URL, {"name": "ci", "scopes": ["administer"]}).status_code == 403
        assert not ApiToken.objects.exists()

    def test_administering_is_offered_to_administrators_alone(
        self, fresh: Browser, people: dict[str, User]
    ) -> None:
        assert "Administer the system" not in fresh("alice").get(URL).content.decode()
        User.objects.update(is_staff=True)
        assert "Administer the system" in fresh("alice").get(URL).content.decode()

    def test_whoever_signed_in_long_ago_is_asked_again(
        self, browser: Browser, project: Project, alice: User
    ) -> None:
        alice.set_password("a long enough passphrase")
        alice.save()

        answer = browser("alice").post(URL, {"name": "ci", "scopes": ["view_project"]})

        assert answer.status_code == 302
        assert answer["Location"].startswith("/account/confirm/")
        assert not ApiToken.objects.exists()


class TestRenewing:
    def test_gives_a_new_key_and_ends_the_old_one(self, fresh: Browser, alice: User) -> None:
        token, old = tokens.mint(name="ci", scopes=[Right.VIEW], by=alice)
        client = fresh("alice")
        assert "A new key for ci?" in client.get(f"{URL}{token.pk}/rotate/").content.decode()

        new = client.post(f"{URL}{token.pk}/rotate/").context["key"]

        assert works(new)
        assert not works(old)

    def test_with_grace_the_old_one_works_for_an_hour(self, fresh: Browser, alice: User) -> None:
        token, old = tokens.mint(name="ci", scopes=[Right.VIEW], by=alice)
        fresh("alice").post(f"{URL}{token.pk}/rotate/", {"grace": "1"})
        assert works(old)


class TestEnding:
    def test_asks_first(self, fresh: Browser, alice: User) -> None:
        token, key = tokens.mint(name="ci", scopes=[Right.VIEW], by=alice)
        client = fresh("alice")

        assert "End ci?" in client.get(f"{URL}{token.pk}/revoke/").content.decode()
        assert works(key)
        client.post(f"{URL}{token.pk}/revoke/")

        assert not works(key)
        assert "You have none" in client.get(URL).content.decode()
        assert "revoked" in client.get(f"{URL}?ended").content.decode()

    def test_nobody_else_s_are_there(self, fresh: Browser, alice: User) -> None:
        token, _ = tokens.mint(name="ci", scopes=[Right.VIEW], by=alice)
        assert fresh("bob").post(f"{URL}{token.pk}/revoke/").status_code == 404
        assert fresh("bob").get(f"{URL}{token.pk}/rotate/").status_code == 404
