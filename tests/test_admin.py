"""The Django admin: who sees what in it, that history cannot be edited, and that acts are those of the rooms."""

from typing import Any

import pytest
from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import Session
from budgets import actions as budgets
from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint
from events.models import Event
from gateway.models import Upstream
from machines import actions as machines
from machines.models import LogLine, Machine
from machines.states import State
from operations.models import Operation, Status
from projects import actions as projects
from projects import members, tokens
from projects.models import ApiToken, Project, User
from projects.roles import Right, Role
from projects.staff import ReadOnly

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
OURS = [model for model in MODELS if not model._meta.app_label.startswith("django_q")]
# A change of a row here is a change of the world, which no form makes.
EDITED = {"projects.Project", "projects.User", "auth.Group", "gateway.Upstream"}


def names(model: Any) -> str:
    return str(model._meta.label)


def address(model: Any, page: str = "changelist", *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def root(db: None) -> Client:
    """A superuser."""
    return signed_in(User.objects.create_superuser("root"))


@pytest.fixture
def staff(db: None, project: Project) -> User:
    """An administrator who is no superuser, and may look at one project."""
    user = User.objects.create_user("stella", is_staff=True)
    projects.admit(project, user, Role.VIEWER, by=User.objects.get(username="alice"))
    return user


def _spawned(project: Project, source: Checkpoint, prompt: str, by: User) -> Machine:
    return machines.spawn(project=project, source=source, type_name="shell", prompt=prompt, by=by)


@pytest.fixture
def machine(project: Project, genesis: Checkpoint, alice: User) -> Machine:
    budgets.set_limit(project, "money", 10_000_000, by=alice)
    return _spawned(project, genesis, "Write a page.", alice)


@pytest.fixture
def hidden(db: None, alice: User, template: Any) -> Machine:
    """A machine of a project that Stella is no member of."""
    other = projects.create(slug="other", by=alice)
    budgets.set_limit(other, "money", 10_000_000, by=alice)
    return _spawned(other, checkpoints.genesis(other, template), "Hush.", alice)


def said(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def act(client: Client, rows: list[Any], action: str, **more: str) -> Any:
    form = {"action": action, "_selected_action": [row.pk for row in rows], **more}
    return client.post(address(type(rows[0])), form, follow=True)


def guess(client: Client, model: Any, **asked: str) -> int:
    answer: int = client.get(address(model), asked).status_code
    return answer


class TestAddresses:
    """A list can be filtered by its address: whether a row is there answers a question."""

    def test_no_sessions_key_is_guessed_by_them(self, root: Client, staff: User) -> None:
        key = str(root.session.session_key)
        stella = signed_in(staff)

        assert guess(stella, User, username="root", sessions__session_key__startswith=key[:1]) == 400
        assert guess(stella, User, sessions__session_key=key) == 400

    def test_nor_is_what_no_filter_offers(self, staff: User) -> None:
        assert guess(signed_in(staff), ApiToken, digest__startswith="a") == 400
        assert guess(signed_in(staff), User, password__startswith="pbkdf2") == 400

    def test_what_a_filter_offers_is_followed(self, staff: User) -> None:
        assert guess(signed_in(staff), User, is_active__exact="1", kind__exact="person") == 200
        assert guess(signed_in(staff), ApiToken, project="demo", revoked_at__isnull="True") == 200


class TestWhoGetsIn:
    @pytest.mark.parametrize("path", ["/admin/", "/admin/machines/machine/", "/admin/projects/user/"])
    def test_members_do_not(self, project: Project, alice: User, path: str) -> None:
        assert signed_in(alice).get(path).status_code == 403

    @pytest.mark.parametrize("path", ["/admin/", "/admin/machines/machine/"])
    def test_strangers_are_asked_to_sign_in(self, db: None, path: str) -> None:
        answer = Client().get(path, follow=True)

        assert answer.redirect_chain[-1][0].startswith("/sign-in/")

    def test_administrators_see_what_they_may_see_elsewhere(
        self, staff: User, machine: Machine, hidden: Machine
    ) -> None:
        page = signed_in(staff).get(address(Machine)).content.decode()

        assert machine.handle in page
        assert "Hush." not in page

    def test_from_where_somebody_came_is_for_those_who_may_read_the_audit(
        self, staff: User, project: Project, alice: User
    ) -> None:
        event = Event.objects.filter(project_id=project.pk).latest("pk")
        page = address(Event, "change", event.pk)
        assert signed_in(staff).get(page).status_code == 404

        projects.admit(project, staff, Role.AUDITOR, by=alice)

        assert signed_in(staff).get(page).status_code == 200

    @pytest.mark.parametrize("page", ["change", "history"])
    def test_what_they_may_not_see_is_not_there(self, staff: User, hidden: Machine, page: str) -> None:
        assert signed_in(staff).get(address(Machine, page, hidden.pk)).status_code == 404

    def test_no_filter_names_a_project_that_they_may_not_see(self, staff: User, hidden: Machine) -> None:
        for model in OURS:
            assert ">other<" not in signed_in(staff).get(address(model)).content.decode(), model

    def test_they_may_do_with_it_what_their_role_allows(self, staff: User, machine: Machine) -> None:
        Machine.objects.filter(pk=machine.pk).update(state=State.RUNNING)
        answer = act(signed_in(staff), [machine], "pause")

        assert said(answer) == [f"{machine.handle}: your role does not allow that."]
        assert not Operation.objects.filter(verb="pause").exists()


class TestEveryTable:
    @pytest.mark.parametrize("model", MODELS, ids=names)
    def test_its_list_opens(self, root: Client, machine: Machine, model: Any) -> None:
        assert root.get(address(model)).status_code == 200

    @pytest.mark.parametrize("model", OURS, ids=names)
    def test_it_can_be_searched_for_anything(self, root: Client, machine: Machine, model: Any) -> None:
        assert root.get(address(model), {"q": "m12 x:y 3"}).status_code == 200

    @pytest.mark.parametrize("model", OURS, ids=names)
    def test_every_row_opens(self, root: Client, machine: Machine, model: Any) -> None:
        for row in model._default_manager.all()[:3]:
            assert root.get(address(model, "change", row.pk)).status_code == 200

    @pytest.mark.parametrize("model", [model for model in OURS if names(model) not in EDITED], ids=names)
    def test_history_cannot_be_edited(self, root: Client, machine: Machine, model: Any) -> None:
        assert root.get(address(model, "add")).status_code == 403
        for row in model._default_manager.all()[:1]:
            assert root.post(address(model, "change", row.pk), {}).status_code == 403
            assert root.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403

    def test_nothing_can_be_deleted_by_the_list(self, root: Client, machine: Machine) -> None:
        for model in OURS:
            if names(model) not in EDITED:
                assert b'value="delete_selected"' not in root.get(address(model)).content, model


class TestManyRows:
    """What makes a list slow is found here by its shape; docs/security.md has the time that a million rows take."""

    @pytest.mark.parametrize("model", OURS, ids=names)
    def test_it_takes_as_many_queries_as_with_one(self, root: Client, machine: Machine, model: Any) -> None:
        with CaptureQueriesContext(connection) as asked:
            root.get(address(model))

        # Session and user, permissions, the count, the rows, the projects to filter by.
        assert len(asked) <= 10, [query["sql"] for query in asked.captured_queries]
        assert not [query for query in asked.captured_queries if _counts_all(query["sql"])]

    @pytest.mark.parametrize("model", OURS, ids=names)
    def test_every_list_is_one_of_ours(self, model: Any) -> None:
        assert isinstance(admin.site._registry[model], ReadOnly)

    @pytest.mark.parametrize("model", OURS, ids=names)
    def test_what_is_searched_has_an_index(self, db: None, model: Any) -> None:
        large = {"events.Event", "machines.LogLine", "machines.Machine", "gateway.Call", "operations.Operation",
                 "checkpoints.Checkpoint", "budgets.LedgerEntry", "budgets.Reservation"}  # fmt: skip
        if names(model) in large:
            for path in admin.site._registry[model].search_fields:
                assert _has_index(model, path), path


def _counts_all(sql: str) -> bool:
    return "COUNT(" in sql and "LIMIT" not in sql and "django_content_type" not in sql


def _has_index(model: Any, path: str) -> bool:
    """Whether an index begins with that column."""
    *relations, column = path.removesuffix("__exact").split("__")
    for name in relations:
        model = model._meta.get_field(name).related_model
    try:
        column = model._meta.get_field(column).column
    except FieldDoesNotExist:
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = %s", [model._meta.db_table])
        return any(f"({column}" in row[0] for row in cursor.fetchall())


class TestMachines:
    def test_one_is_found_by_its_handle(self, root: Client, machine: Machine, hidden: Machine) -> None:
        page = root.get(address(Machine), {"q": machine.handle}).content.decode()

        assert "Write a page." in page
        assert "Hush." not in page

    def test_terminating_is_confirmed_first(self, root: Client, machine: Machine) -> None:
        Machine.objects.filter(pk=machine.pk).update(state=State.RUNNING)
        asked = act(root, [machine], "terminate")
        assert "Their agents are stopped for good" in asked.content.decode()
        assert not Operation.objects.filter(verb="terminate").exists()

        answer = act(root, [machine], "terminate", confirmed="yes")

        assert said(answer) == [f"Ending: {machine.handle}."]
        assert Operation.objects.filter(verb="terminate", subject=machine.subject).exists()

    def test_what_is_refused_is_said_and_the_others_are_done(
        self, root: Client, machine: Machine, hidden: Machine
    ) -> None:
        Machine.objects.filter(pk=machine.pk).update(state=State.RUNNING)
        Machine.objects.filter(pk=hidden.pk).update(state=State.TERMINATED)

        told = said(act(root, [machine, hidden], "pause"))

        assert any(sentence.startswith(f"{hidden.handle}: ") for sentence in told)
        assert f"Pausing: {machine.handle}." in told

    def test_what_an_agent_printed_is_text(self, root: Client, machine: Machine) -> None:
        line = LogLine.objects.create(
            machine=machine,
            run=machine.pk,
            number=1,
            at=timezone.now(),
            stream="out",
            text="<script>x()</script>",
        )
        for page in (address(LogLine), address(LogLine, "change", line.pk)):
            assert "<script>x()" not in root.get(page).content.decode()

    def test_a_row_leads_to_its_page(self, root: Client, machine: Machine) -> None:
        page = root.get(address(Machine, "change", machine.pk)).content.decode()

        assert f'href="/machines/{machine.handle}/"' in page


class TestCheckpointsAndOperations:
    def test_a_checkpoint_is_pinned_and_unpinned(self, root: Client, genesis: Checkpoint) -> None:
        act(root, [genesis], "pin")
        genesis.refresh_from_db()
        assert genesis.pinned
        assert Event.objects.filter(kind="checkpoint.marked", actor="root").exists()

        act(root, [genesis], "unpin")
        genesis.refresh_from_db()
        assert genesis.pinned
        act(root, [genesis], "unpin", confirmed="yes")
        genesis.refresh_from_db()
        assert not genesis.pinned

    def test_an_operation_that_waits_for_somebody_is_given_up(self, root: Client, machine: Machine) -> None:
        stuck = Operation.objects.filter(subject=machine.subject).get()
        Operation.objects.filter(pk=stuck.pk).update(
            status=Status.NEEDS_OPERATOR, error="The storage is full."
        )

        act(root, [stuck], "give_up", confirmed="yes")

        stuck.refresh_from_db()
        assert stuck.given_up_by == "root"


class TestPeople:
    @pytest.fixture
    def bob(self, people: dict[str, User]) -> User:
        return people["bob"]

    def test_deactivating_ends_sessions_and_tokens(self, root: Client, bob: User) -> None:
        browser = signed_in(bob)
        token, key = tokens.mint(name="laptop", scopes=[Right.VIEW], by=bob)

        act(root, [bob], "deactivate", confirmed="yes")

        bob.refresh_from_db()
        assert not bob.is_active
        assert not Session.objects.filter(user=bob).exists()
        assert browser.get("/").status_code == 302
        assert (
            Client().get("/api/v1/projects/", headers={"Authorization": f"Bearer {key}"}).status_code == 401
        )
        token.refresh_from_db()
        assert token.revoked_at
        assert Event.objects.filter(kind="account.deactivated", actor="root").exists()

        act(root, [bob], "activate")
        bob.refresh_from_db()
        assert bob.is_active
        assert not ApiToken.objects.alive().filter(user=bob).exists()

    def test_nobody_locks_themselves_out(self, root: Client) -> None:
        told = said(act(root, [User.objects.get(username="root")], "deactivate", confirmed="yes"))

        assert told == ["root: You would lock yourself out."]

    @pytest.mark.parametrize("action", ["deactivate", "sign_out", "forget_factors"])
    def test_who_administers_is_for_superusers(self, root: Client, staff: User, action: str) -> None:
        told = said(act(signed_in(staff), [User.objects.get(username="root")], action, confirmed="yes"))

        assert told == ["root: Only a superuser may do that to somebody who administers."]

    def test_who_is_no_superuser_makes_none(self, staff: User, bob: User) -> None:
        client = signed_in(staff)
        assert client.get(address(User, "change", bob.pk)).status_code == 200
        for form in ({"is_superuser": "on", "username": "bob"}, {}):
            assert client.post(address(User, "change", bob.pk), form).status_code == 403
        assert client.post(reverse("admin:auth_user_password_change", args=[bob.pk]), {}).status_code == 403
        assert client.post(address(User, "add"), {}).status_code == 403

    def test_what_a_superuser_changes_is_recorded(self, root: Client, bob: User) -> None:
        form = {"username": "bob", "kind": "person", "email": "bob@example.com", "is_staff": "on"}
        root.post(address(User, "change", bob.pk), form)

        event = Event.objects.get(kind="user.changed")
        assert event.actor == "root"
        assert event.data["before"] == {"email": "", "is_staff": False}
        assert event.data["after"] == {"email": "bob@example.com", "is_staff": True}

    def test_a_token_is_revoked(self, root: Client, bob: User) -> None:
        token, _ = tokens.mint(name="laptop", scopes=[Right.VIEW], by=bob)
        assert token.digest not in root.get(address(ApiToken, "change", token.pk)).content.decode()

        act(root, [token], "revoke", confirmed="yes")

        token.refresh_from_db()
        assert token.revoked_at


class TestProjects:
    def save(self, client: Client, project: Project, **form: str) -> Any:
        whole = {"greediness": "0.5", "hub": "primary", "member": "", "role": "", **form}
        return client.post(address(Project, "change", project.pk), whole, follow=True)

    def test_members_are_let_in_given_another_role_and_taken_out(
        self, root: Client, project: Project, people: dict[str, User]
    ) -> None:
        self.save(root, project, member="charlie", role="operator")
        assert members.find(project, "charlie").role == Role.OPERATOR
        assert "charlie: operator" in root.get(address(Project, "change", project.pk)).content.decode()

        self.save(root, project, member="charlie", role="viewer")
        assert members.find(project, "charlie").role == Role.VIEWER

        self.save(root, project, member="charlie", role="out")
        assert "charlie" not in [member.name for member in members.of(project)]

    def test_a_project_keeps_its_owner(self, root: Client, project: Project) -> None:
        answer = self.save(root, project, member="alice", role="out")

        assert any("needs an owner" in sentence for sentence in said(answer))
        assert members.find(project, "alice").role == Role.OWNER

    def test_greediness_goes_through_its_action(self, root: Client, project: Project) -> None:
        self.save(root, project, greediness="0.7")

        assert Event.objects.get(kind="project.greediness_set").data["before"] == "0.50"

    def test_who_does_not_manage_it_only_looks(self, staff: User, project: Project) -> None:
        assert self.save(signed_in(staff), project, greediness="0.7").status_code == 403


class TestUpstreams:
    FORM = {
        "name": "local", "base_url": "http://10.0.0.5:11434", "dialects": "chat", "model_patterns": "*",
        "priority": "10", "weight": "100", "enabled": "on",
        "keys-TOTAL_FORMS": "1", "keys-INITIAL_FORMS": "0",
        "keys-0-label": "main", "keys-0-weight": "100", "keys-0-enabled": "on", "keys-0-secret": "sk-main",
    }  # fmt: skip

    def test_one_is_added_with_its_key_which_is_never_shown(self, root: Client, db: None) -> None:
        root.post(address(Upstream, "add"), self.FORM)

        upstream = Upstream.objects.get()
        assert upstream.keys.get().label == "main"
        assert "sk-main" not in root.get(address(Upstream, "change", upstream.pk)).content.decode()
        assert [event.kind for event in Event.objects.filter(subject="upstream:local")] == [
            "upstream.key_set",
            "upstream.added",
        ]

    def test_an_address_that_may_not_be_called_is_refused(self, root: Client, db: None) -> None:
        answer = root.post(address(Upstream, "add"), {**self.FORM, "base_url": "http://169.254.169.254"})

        assert "OUTGOING_ALLOW" in answer.content.decode()
        assert not Upstream.objects.exists()

    def test_it_is_changed_and_its_key_removed(self, root: Client, db: None) -> None:
        root.post(address(Upstream, "add"), self.FORM)
        upstream = Upstream.objects.get()
        key = upstream.keys.get()
        form = {
            **self.FORM, "priority": "3", "keys-INITIAL_FORMS": "1", "keys-0-id": key.pk,
            "keys-0-upstream": upstream.pk, "keys-0-DELETE": "on",
        }  # fmt: skip
        root.post(address(Upstream, "change", upstream.pk), form)

        upstream.refresh_from_db()
        assert upstream.priority == 3
        assert not upstream.keys.exists()
        assert Event.objects.filter(kind="upstream.key_removed").exists()
