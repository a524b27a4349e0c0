"""API tokens: what they can do, what they can make, and how they end."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from events.models import Event
from machines.models import Machine
from machines.principals import principal_of
from projects import actions as projects
from projects import members, tokens
from projects.bounds import Bounds
from projects.errors import Refusal
from projects.models import ApiToken, Project, User
from projects.roles import ADMINISTER, RIGHTS, Right, Role
from tests.projects.conftest import Keyed, Later

URL = "/api/v1/tokens/"
Client = Callable[[str], APIClient]


def make(client: APIClient, **said: Any) -> Any:
    return client.post(URL, {"name": "ci", "scopes": ["spawn_machines"], **said}, format="json")


class TestProjects:
    """Whoever makes one owns it."""

    @pytest.mark.parametrize("bounds", [{"scopes": [Right.VIEW]}, {"scopes": list(Right), "project": True}])
    def test_a_token_makes_none_that_leads_beyond_itself(
        self, bounds: dict[str, Any], project: Project, alice: User, keyed: Keyed
    ) -> None:
        said = {**bounds, "project": project if bounds.get("project") else None}
        _, key = ApiToken.mint(alice, "ci", **said)

        assert keyed(key).post("/api/v1/projects/", {"slug": "mine"}).status_code == 403
        assert not Project.objects.filter(slug="mine").exists()

    def test_nor_does_a_machine(self, machine: Machine) -> None:
        with pytest.raises(Refusal):
            projects.create(slug="mine", by=principal_of(machine))


class TestMaking:
    def test_the_key_is_shown_once_and_works(self, project: Project, by: Client, keyed: Keyed) -> None:
        made = make(by("alice"), project="demo", days=30)

        assert made.status_code == 201
        told = made.json()
        assert told["scopes"] == ["spawn_machines", "view_project"]
        assert told["project"] == "demo"
        assert keyed(told["key"]).get("/api/v1/projects/demo/").status_code == 200
        listed = by("alice").get(URL).json()["results"]
        assert [one["name"] for one in listed] == ["everything", "ci", "everything"]
        assert all("key" not in one for one in listed)
        assert told["key"] not in str(list(ApiToken.objects.values()) + list(Event.objects.values()))

    def test_it_lives_for_90_days_unless_said(self, by: Client, settings: Any) -> None:
        settings.TOKEN_DAYS_MAX = 100
        life = lambda **said: ApiToken.objects.get(pk=make(by("alice"), **said).json()["id"]).expires_at  # noqa: E731
        in_days = lambda days: pytest.approx((timezone.now() + timedelta(days=days)).timestamp(), abs=60)  # noqa: E731

        assert life().timestamp() == in_days(90)
        assert life(days=100).timestamp() == in_days(100)
        assert make(by("alice"), days=101).status_code == 400

    @pytest.mark.parametrize(
        "said",
        [
            {"scopes": []},
            {"scopes": ["fly"]},
            {"name": ""},
            {"name": "x" * 61},
            {"days": 0},
            {"days": "soon"},
        ],
    )
    def test_nonsense_is_refused(self, said: dict[str, Any], by: Client) -> None:
        assert make(by("alice"), **said).status_code == 400

    def test_only_administrators_tokens_administer(
        self, by: Client, people: dict[str, User], keyed: Keyed
    ) -> None:
        assert make(by("alice"), scopes=[ADMINISTER]).status_code == 403
        User.objects.filter(username="alice").update(is_staff=True)

        made = make(by("alice"), scopes=[ADMINISTER])

        assert keyed(made.json()["key"]).get("/api/v1/pools/").status_code == 200
        assert keyed(make(by("alice")).json()["key"]).get("/api/v1/pools/").status_code == 403

    def test_a_token_of_one_project_cannot_administer(
        self, project: Project, by: Client, people: dict[str, User]
    ) -> None:
        User.objects.filter(username="alice").update(is_staff=True)
        assert make(by("alice"), scopes=[ADMINISTER], project="demo").status_code == 403

    def test_it_cannot_be_for_a_project_that_one_does_not_see(self, project: Project, by: Client) -> None:
        assert make(by("charlie"), project="demo").status_code == 404

    def test_machines_make_none(self, project: Project, machine: Any) -> None:
        with pytest.raises(Refusal, match="for people"):
            tokens.mint(name="mine", scopes=[Right.VIEW], by=principal_of(machine))

    def test_a_browser_s_session_makes_none_here(self, browser_api: Client) -> None:
        answer = make(browser_api("alice"))
        assert answer.status_code == 403
        assert "/settings/tokens/" in answer.json()["detail"]


class TestWhatItCanDo:
    def test_no_more_than_its_owner_can_now(
        self, project: Project, by: Client, keyed: Keyed, people: dict[str, User], alice: User
    ) -> None:
        members.set_role(project, "bob", Role.OWNER, by=alice)
        theirs = keyed(make(by("bob"), scopes=["manage_project"]).json()["key"])
        assert theirs.get(f"{DEMO}invitations/").status_code == 200
        assert theirs.put(f"{DEMO}members/charlie/", {"role": "operator"}).status_code == 403

        members.set_role(project, "bob", Role.VIEWER, by=alice)

        assert theirs.get(DEMO).status_code == 200
        assert theirs.get(f"{DEMO}invitations/").status_code == 403

    def test_nothing_in_another_project(self, project: Project, by: Client, keyed: Keyed) -> None:
        by("alice").post("/api/v1/projects/", {"slug": "other"})
        bound = keyed(make(by("alice"), project="demo").json()["key"])

        assert bound.get("/api/v1/projects/other/").status_code == 404
        assert [one["slug"] for one in bound.get("/api/v1/projects/").json()["results"]] == ["demo"]

    def test_that_it_was_used_is_noted_once_a_minute(
        self, by: Client, keyed: Keyed, time_machine: Any, project: Project
    ) -> None:
        made = make(by("alice")).json()
        time_machine.move_to(began := timezone.now(), tick=False)
        used = lambda: ApiToken.objects.get(pk=made["id"])  # noqa: E731
        client = keyed(made["key"])

        client.get(DEMO, REMOTE_ADDR="192.0.2.7")
        time_machine.move_to(began + timedelta(seconds=59))
        client.get(DEMO, REMOTE_ADDR="192.0.2.8")
        assert (used().last_used_at, used().last_used_ip) == (began, "192.0.2.7")

        time_machine.move_to(later := began + timedelta(seconds=61), tick=False)
        client.get(DEMO, REMOTE_ADDR="192.0.2.8")
        assert (used().last_used_at, used().last_used_ip) == (later, "192.0.2.8")


class TestWhatATokenSeesAndMakes:
    @pytest.fixture
    def narrow(self, project: Project, by: Client) -> dict[str, Any]:
        """May see and spawn in one project, for ten days."""
        made: dict[str, Any] = make(by("alice"), name="narrow", project="demo", days=10).json()
        return made

    def test_less_than_itself(self, narrow: dict[str, Any], keyed: Keyed) -> None:
        made = make(keyed(narrow["key"]), name="child", scopes=["view_project"], project="demo")

        assert made.status_code == 201
        assert made.json()["expires_at"] == narrow["expires_at"]

    @pytest.mark.parametrize(
        "said",
        [
            {"scopes": ["operate_machines"]},
            {"project": None},
            {"days": 11},
            {"scopes": [ADMINISTER], "project": None},
        ],
    )
    def test_never_more(self, said: dict[str, Any], narrow: dict[str, Any], keyed: Keyed) -> None:
        assert make(keyed(narrow["key"]), **{"project": "demo", **said}).status_code == 403

    def test_it_sees_ends_and_renews_only_what_it_covers(
        self, narrow: dict[str, Any], keyed: Keyed, by: Client
    ) -> None:
        broad = make(by("alice"), name="broad").json()
        client = keyed(narrow["key"])

        assert [one["name"] for one in client.get(URL).json()["results"]] == ["narrow"]
        assert client.get(f"{URL}{broad['id']}/").status_code == 404
        assert client.delete(f"{URL}{broad['id']}/").status_code == 404
        assert client.post(f"{URL}{broad['id']}/rotate/").status_code == 404
        assert client.delete(f"{URL}{narrow['id']}/").status_code == 204
        assert client.get(URL).status_code == 401

    def test_what_it_made_ends_with_it(self, narrow: dict[str, Any], keyed: Keyed, by: Client) -> None:
        child = make(keyed(narrow["key"]), project="demo").json()
        grandchild = make(keyed(child["key"]), project="demo").json()
        renewed = keyed(child["key"]).post(f"{URL}{child['id']}/rotate/", {"grace_minutes": 5}).json()

        by("alice").delete(f"{URL}{narrow['id']}/")

        for made in (child, grandchild, renewed):
            assert keyed(made["key"]).get(URL).status_code == 401

    def test_other_people_s_are_not_there(self, narrow: dict[str, Any], by: Client) -> None:
        for answer in (
            by("bob").get(f"{URL}{narrow['id']}/"),
            by("bob").delete(f"{URL}{narrow['id']}/"),
            by("bob").post(f"{URL}{narrow['id']}/rotate/"),
        ):
            assert answer.status_code == 404
        assert by("bob").get(f"{URL}?user=alice").json()["results"] == []

    def test_administrators_see_and_end_everybody_s_but_get_no_keys(
        self, narrow: dict[str, Any], by: Client, people: dict[str, User]
    ) -> None:
        User.objects.filter(username="bob").update(is_staff=True)
        admin = by("bob")

        assert "narrow" in [one["name"] for one in admin.get(f"{URL}?user=*").json()["results"]]
        assert admin.post(f"{URL}{narrow['id']}/rotate/").status_code == 403
        assert admin.delete(f"{URL}{narrow['id']}/").status_code == 204
        assert admin.get(f"{URL}{narrow['id']}/").json()["state"] == "revoked"


class TestRotating:
    def test_the_new_key_works_and_the_old_one_dies_at_once(
        self, project: Project, by: Client, keyed: Keyed
    ) -> None:
        old = make(by("alice"), project="demo", days=20).json()

        new = by("alice").post(f"{URL}{old['id']}/rotate/").json()

        assert keyed(new["key"]).get(DEMO).status_code == 200
        assert keyed(old["key"]).get(DEMO).status_code == 401
        assert (new["scopes"], new["project"]) == (old["scopes"], "demo")
        event = Event.objects.get(kind="token.rotated")
        assert (event.data["before"], event.data["prefix"]) == (old["prefix"], new["prefix"])

    def test_with_grace_the_old_key_dies_later(
        self, project: Project, by: Client, keyed: Keyed, later: Later
    ) -> None:
        old = make(by("alice")).json()
        by("alice").post(f"{URL}{old['id']}/rotate/", {"grace_minutes": 10})

        assert keyed(old["key"]).get(DEMO).status_code == 200
        later(minutes=11)
        assert keyed(old["key"]).get(DEMO).status_code == 401

    def test_it_lives_as_long_again(self, by: Client, later: Later) -> None:
        old = make(by("alice"), days=20).json()
        later(days=15)

        new = by("alice").post(f"{URL}{old['id']}/rotate/").json()

        left = ApiToken.objects.get(pk=new["id"]).expires_at - timezone.now()
        assert timedelta(days=19, hours=23) < left <= timedelta(days=20)

    def test_one_that_renews_itself_lives_no_longer(self, by: Client, keyed: Keyed, later: Later) -> None:
        old = make(by("alice"), days=20).json()
        later(days=15)

        new = keyed(old["key"]).post(f"{URL}{old['id']}/rotate/").json()

        assert new["expires_at"] == old["expires_at"]

    def test_a_dead_one_is_not_renewed(self, by: Client) -> None:
        old = make(by("alice")).json()
        by("alice").delete(f"{URL}{old['id']}/")

        assert by("alice").post(f"{URL}{old['id']}/rotate/").status_code == 409
        assert by("alice").post(f"{URL}{old['id']}/rotate/", {"grace_minutes": -1}).status_code == 400


class TestEnding:
    def test_expired_and_revoked_ones_are_listed_on_demand(self, by: Client, later: Later) -> None:
        alice = by("alice")
        alice.delete(f"{URL}{make(alice, name='revoked').json()['id']}/")
        make(alice, name="expired", days=1)
        later(days=2)

        assert [one["name"] for one in alice.get(URL).json()["results"]] == ["everything"]
        dead = {one["name"]: one["state"] for one in alice.get(f"{URL}?dead=true").json()["results"]}
        assert dead == {"everything": "alive", "revoked": "revoked", "expired": "expired"}

    def test_whoever_is_no_longer_active_has_none(self, by: Client, alice: User) -> None:
        client = by("alice")
        User.objects.filter(pk=alice.pk).update(is_active=False)
        assert client.get(URL).status_code == 401


DEMO = "/api/v1/projects/demo/"
RIGHTS_AND_MORE = [*Right, ADMINISTER]
ACTS = st.tuples(
    st.sampled_from(["mint", "rotate"]),
    st.integers(0, 30),  # with which of the keys that there are
    st.integers(0, 30),  # which one is rotated
    st.sets(st.sampled_from(RIGHTS_AND_MORE), min_size=1),
    st.booleans(),  # for one project
    st.none() | st.integers(1, 60),
    st.integers(0, 60),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.lists(ACTS, max_size=12), staff=st.booleans())
def test_no_sequence_of_acts_makes_a_token_that_can_do_more_than_the_first(
    acts: list[Any], staff: bool, project: Project, alice: User
) -> None:
    ApiToken.objects.all().delete()
    User.objects.filter(pk=alice.pk).update(is_staff=staff)
    first, _ = ApiToken.mint(
        alice,
        "first",
        scopes=RIGHTS[Role.OPERATOR],
        project=project,
        expires_at=timezone.now() + timedelta(days=30),
    )
    for act, key, other, scopes, one_project, days, grace in acts:
        alive = list(ApiToken.objects.alive().order_by("pk"))
        if not alive:
            break
        used = alive[key % len(alive)]
        user = User.objects.get(pk=alice.pk)
        user.bounds = used.bounds
        try:
            if act == "mint":
                tokens.mint(
                    name="x", scopes=scopes, project=project if one_project else None, days=days, by=user
                )
            else:
                tokens.rotate(alive[other % len(alive)], grace_minutes=grace, by=user)
        except Refusal:
            pass
    assert all(first.bounds.covers(each.bounds) for each in ApiToken.objects.all())


@given(
    outer=st.builds(Bounds, st.frozensets(st.sampled_from(RIGHTS_AND_MORE))),
    inner=st.builds(Bounds, st.frozensets(st.sampled_from(RIGHTS_AND_MORE))),
)
def test_to_cover_is_to_allow_all_of_it(outer: Bounds, inner: Bounds) -> None:
    assert outer.covers(inner) == all(right in outer.rights for right in inner.rights)
