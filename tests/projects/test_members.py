"""Members: who they are, what they become, and how somebody is out at once."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from rest_framework.test import APIClient

from events.models import Event
from machines.principals import principal_of
from projects import actions, members, tokens
from projects.bounds import Bounds
from projects.errors import Conflict, Forbidden, Invalid
from projects.models import Project, User
from projects.roles import RIGHTS, Right, Role

URL = "/api/v1/projects/demo/members/"
Client = Callable[[str], APIClient]


def roles(project: Project) -> dict[str, str]:
    return {one.name: one.role for one in members.of(project)}


def admitted(project: Project, name: str, role: Role) -> User:
    user = User.objects.create_user(name)
    actions.admit(project, user, role, by=user)
    return user


class TestTheList:
    def test_everybody_has_the_role_that_their_rights_are(
        self, project: Project, alice: User, dora: User
    ) -> None:
        team = Group.objects.create(name="Team")
        team.user_set.add(dora, User.objects.create_user("eve", is_active=False))
        actions.admit(project, team, Role.OPERATOR, by=alice)

        found = {one.name: (one.role, one.people) for one in members.of(project)}

        assert found == {
            "alice": ("owner", 1),
            "group:Team": ("operator", 1),
            "dora": ("member", 1),
            "bob": ("viewer", 1),
        }
        assert list(found) == ["alice", "group:Team", "dora", "bob"]

    def test_rights_that_are_no_role_are_custom(self, project: Project, people: dict[str, User]) -> None:
        from guardian.shortcuts import assign_perm

        assign_perm("projects.manage_budgets", people["bob"], project)

        assert roles(project)["bob"] == "custom"

    def test_any_number_takes_two_queries(self, project: Project, django_assert_num_queries: Any) -> None:
        for number in range(20):
            admitted(project, f"member{number}", Role.MEMBER)

        with django_assert_num_queries(2):
            assert len(members.of(project)) == 22

    def test_members_read_it_and_strangers_do_not_know_of_it(self, project: Project, by: Client) -> None:
        told = by("bob").get(URL).json()

        assert [one["name"] for one in told["results"]] == ["alice", "bob"]
        assert told["results"][1]["rights"] == ["view_project"]
        assert told["machine_role"] == ""
        assert by("charlie").get(URL).status_code == 404


class TestARole:
    def test_an_owner_gives_it_and_takes_it(self, project: Project, by: Client) -> None:
        owner = by("alice")

        assert owner.put(f"{URL}charlie/", {"role": "operator"}).json()["role"] == "operator"
        assert roles(project)["charlie"] == "operator"
        assert owner.put(f"{URL}charlie/", {"role": "auditor"}).status_code == 200
        assert roles(project)["charlie"] == "auditor"
        assert owner.delete(f"{URL}charlie/").status_code == 204
        assert "charlie" not in roles(project)

    def test_a_group_has_one_too(self, project: Project, people: dict[str, User], by: Client) -> None:
        Group.objects.create(name="Team A").user_set.add(people["charlie"])

        assert by("alice").put(f"{URL}group:Team A/", {"role": "viewer"}).status_code == 200

        assert by("charlie").get(URL).status_code == 200

    def test_it_is_recorded_with_what_was_before(self, project: Project, alice: User) -> None:
        members.set_role(project, "bob", Role.OPERATOR, by=alice)

        event = Event.objects.filter(kind="project.member_admitted").latest("id")
        assert (event.actor, event.data["member"]) == ("alice", "bob")
        assert (event.data["before"], event.data["role"]) == ("viewer", "operator")

    def test_who_does_not_manage_the_project_changes_nothing(
        self, project: Project, by: Client, dora: User
    ) -> None:
        assert by("bob").put(f"{URL}bob/", {"role": "owner"}).status_code == 403
        assert by("bob").delete(f"{URL}alice/").status_code == 403
        assert by("charlie").put(f"{URL}charlie/", {"role": "owner"}).status_code == 404
        assert roles(project) == {"alice": "owner", "dora": "member", "bob": "viewer"}

    def test_an_unknown_name_is_told_so(self, project: Project, by: Client) -> None:
        for name in ("nobody", "group:nobody"):
            answer = by("alice").put(f"{URL}{name}/", {"role": "viewer"})
            assert answer.status_code == 404
            assert "Invite whoever has no account" in answer.json()["detail"]

    def test_nobody_gives_more_than_they_hold(self, project: Project, alice: User) -> None:
        alice.bounds = Bounds(frozenset({Right.VIEW, Right.MANAGE}), project.pk)

        with pytest.raises(Forbidden, match="operate_machines"):
            members.set_role(project, "charlie", Role.OPERATOR, by=alice)
        members.set_role(project, "charlie", Role.VIEWER, by=alice)

        assert roles(project)["charlie"] == "viewer"

    def test_nobody_takes_away_more_than_they_hold(self, project: Project, alice: User) -> None:
        admitted(project, "olga", Role.OWNER)
        alice.bounds = Bounds(frozenset({Right.VIEW, Right.MANAGE}), project.pk)

        with pytest.raises(Forbidden):
            members.remove(project, "olga", by=alice)

    def test_machines_are_no_members(self, project: Project, alice: User, machine: Any) -> None:
        group = actions.machines_of(project).name
        for name in (principal_of(machine).username, f"group:{group}"):
            with pytest.raises(Invalid, match="Machines are no members"):
                members.set_role(project, name, Role.VIEWER, by=alice)


class TestTheLastOwner:
    def test_cannot_be_removed_or_demoted(self, project: Project, by: Client) -> None:
        for answer in (
            by("alice").delete(f"{URL}alice/"),
            by("alice").put(f"{URL}alice/", {"role": "viewer"}),
        ):
            assert answer.status_code == 409
            assert "needs an owner" in answer.json()["detail"]
        assert roles(project)["alice"] == "owner"

    def test_can_go_once_there_is_another(self, project: Project, by: Client) -> None:
        by("alice").put(f"{URL}bob/", {"role": "owner"})

        assert by("alice").delete(f"{URL}alice/").status_code == 204

    def test_an_empty_group_and_somebody_inactive_are_no_owners(self, project: Project, alice: User) -> None:
        actions.admit(project, Group.objects.create(name="Nobody"), Role.OWNER, by=alice)
        gone = admitted(project, "gone", Role.OWNER)
        User.objects.filter(pk=gone.pk).update(is_active=False)

        with pytest.raises(Conflict):
            members.remove(project, "alice", by=alice)

    def test_a_group_with_somebody_in_it_is_one(
        self, project: Project, alice: User, people: dict[str, User]
    ) -> None:
        team = Group.objects.create(name="Team")
        team.user_set.add(people["bob"])
        members.set_role(project, "group:Team", Role.OWNER, by=alice)

        members.remove(project, "alice", by=alice)

        assert "alice" not in roles(project)


class TestLeaving:
    def test_everybody_may(self, project: Project, browser_api: Client) -> None:
        assert browser_api("bob").delete(f"{URL}bob/").status_code == 204
        assert "bob" not in roles(project)

    def test_a_token_does_not_make_its_owner_leave(self, project: Project, by: Client) -> None:
        assert by("bob").delete(f"{URL}bob/").status_code == 403

    def test_tokens_for_the_project_end_and_others_do_not(
        self, project: Project, alice: User, dora: User
    ) -> None:
        bound, _ = tokens.mint(name="bound", scopes=[Right.SPAWN], project=project, by=dora)
        free, _ = tokens.mint(name="free", scopes=[Right.SPAWN], by=dora)

        members.remove(project, "dora", by=alice)

        bound.refresh_from_db()
        free.refresh_from_db()
        assert bound.revoked_at
        assert free.revoked_at is None
        assert Event.objects.get(kind="token.revoked").data["name"] == "bound"

    def test_tokens_stay_while_a_group_still_lets_them_in(
        self, project: Project, alice: User, dora: User
    ) -> None:
        team = Group.objects.create(name="Team")
        team.user_set.add(dora)
        actions.admit(project, team, Role.VIEWER, by=alice)
        bound, _ = tokens.mint(name="bound", scopes=[Right.VIEW], project=project, by=dora)

        members.remove(project, "dora", by=alice)
        bound.refresh_from_db()
        assert bound.revoked_at is None

        members.remove(project, "group:Team", by=alice)
        bound.refresh_from_db()
        assert bound.revoked_at


class TestWhatMachinesMayBe:
    def test_owners_say_it(self, project: Project, machine: Any, by: Client) -> None:
        url = "/api/v1/projects/demo/machine-role/"
        itself = principal_of(machine)
        assert not itself.has_perm("projects.view_project", project)

        assert by("alice").put(url, {"role": "member"}).json()["machine_role"] == "member"
        assert itself.has_perm("projects.spawn_machines", project)
        assert by("alice").put(url, {"role": ""}).json()["machine_role"] == ""
        assert not itself.has_perm("projects.view_project", project)

    def test_they_are_never_more_than_members(self, project: Project, by: Client) -> None:
        answer = by("alice").put("/api/v1/projects/demo/machine-role/", {"role": "owner"})
        assert answer.status_code == 400
        assert by("bob").put("/api/v1/projects/demo/machine-role/", {"role": "viewer"}).status_code == 403

    def test_a_token_that_may_not_spawn_cannot_let_them(self, project: Project, alice: User) -> None:
        alice.bounds = Bounds(frozenset({Right.VIEW, Right.MANAGE}), project.pk)
        with pytest.raises(Forbidden):
            members.set_machine_role(project, Role.MEMBER, by=alice)


def test_each_role_has_all_that_the_next_lesser_has() -> None:
    assert RIGHTS[Role.OWNER] > RIGHTS[Role.OPERATOR] > RIGHTS[Role.MEMBER] > RIGHTS[Role.VIEWER]
