"""The palette finds what somebody may see, and offers what they may do."""

from typing import Any

import pytest
from django.test import Client

from checkpoints.models import Checkpoint
from dashboard import palette
from machines.models import Machine
from machines.states import State
from projects.models import Project, User
from tests.dashboard import rows
from tests.dashboard.conftest import Browser


def labels(user: User, typed: str) -> list[str]:
    return [found.label for found in palette.search(user, typed)]


@pytest.fixture
def alice(people: dict[str, User]) -> User:
    return people["alice"]


class TestFinding:
    def test_nothing_typed_gives_the_newest_machines_then_pages(
        self, alice: User, machine: Machine, project: Project, genesis: Checkpoint
    ) -> None:
        newer = rows.machine(project, genesis)

        assert labels(alice, "")[:3] == [newer.handle, machine.handle, "Fleet"]

    def test_a_machine_by_its_number_comes_with_what_can_be_done(self, alice: User, machine: Machine) -> None:
        for typed in (machine.handle, str(machine.number), f" {machine.handle.upper()} "):
            found = labels(alice, typed)
            assert found[0] == machine.handle
            assert f"Pause {machine.handle}…" in found
            assert f"Terminal of {machine.handle}" in found
            assert f"Resume {machine.handle}…" not in found  # it is running

    def test_a_machine_by_words_of_its_prompt(self, alice: User, machine: Machine) -> None:
        Machine.objects.filter(pk=machine.pk).update(prompt="Rewrite the parser")

        assert labels(alice, "the parser") == [machine.handle]

    def test_a_checkpoint_by_its_handle(self, alice: User, machine: Machine, checkpoint: Checkpoint) -> None:
        assert checkpoint.handle in labels(alice, checkpoint.handle[:-1])

    def test_a_project_with_spawning_in_it(self, alice: User, project: Project) -> None:
        found = palette.search(alice, project.slug)

        assert [each.label for each in found] == [project.slug, f"Spawn in {project.slug}"]
        assert found[1].address == f"/machines/new/?project={project.slug}"

    def test_a_page_by_any_word_of_its_name(self, alice: User, project: Project) -> None:
        assert labels(alice, "tok") == ["API tokens"]
        assert labels(alice, "budg") == ["Budgets"]

    def test_what_nobody_is_called(self, browser: Browser, project: Project) -> None:
        page = browser("alice").get("/palette/?q=<zebra>").content.decode()

        assert "Nothing is called “&lt;zebra&gt;”" in page

    def test_never_more_than_eight(self, alice: User, project: Project, genesis: Checkpoint) -> None:
        for _ in range(12):
            rows.machine(project, genesis)

        assert all(len(labels(alice, typed)) <= 8 for typed in ("", "m", "m1", "te", "s", "1"))


class TestDoing:
    def test_a_verb_and_a_machine(self, alice: User, machine: Machine) -> None:
        found = palette.search(alice, f"term {machine.handle}")

        assert [each.label for each in found] == [
            f"Terminal of {machine.handle}",
            f"Terminate {machine.handle}…",
        ]
        assert found[1].address == f"/machines/{machine.handle}/terminate/"

    def test_a_verb_alone_offers_the_newest(self, alice: User, machine: Machine) -> None:
        assert labels(alice, "pause") == [f"Pause {machine.handle}…"]

    def test_what_the_state_forbids_is_not_offered(self, alice: User, machine: Machine) -> None:
        Machine.objects.filter(pk=machine.pk).update(state=State.TERMINATED)

        assert labels(alice, f"pause {machine.handle}") == []
        assert labels(alice, machine.handle) == [machine.handle]

    def test_spawning_in_a_project(self, alice: User, project: Project) -> None:
        assert labels(alice, f"spawn {project.slug[:2]}") == [f"Spawn in {project.slug}"]


class TestWhoMay:
    def test_outsiders_find_nothing_of_a_project(
        self, people: dict[str, User], machine: Machine, checkpoint: Checkpoint
    ) -> None:
        outsider = User.objects.create_user("eve")

        for typed in (machine.handle, checkpoint.handle, machine.project.slug, f"terminate {machine.handle}"):
            assert labels(outsider, typed) == []

    def test_who_may_only_look_is_offered_no_act(self, people: dict[str, User], machine: Machine) -> None:
        assert labels(people["bob"], machine.handle) == [machine.handle]
        assert labels(people["bob"], f"spawn {machine.project.slug}") == []

    def test_pages_of_administrators_are_theirs(self, people: dict[str, User]) -> None:
        people["alice"].is_staff = True

        assert "Proxmox" in labels(people["alice"], "prox")
        assert labels(people["bob"], "prox") == []

    def test_nobody_is_sent_to_sign_in(self) -> None:
        assert Client().get("/palette/").status_code == 302


class TestTheAnswer:
    def test_a_plain_request_gets_a_page_of_links(self, browser: Browser, machine: Machine) -> None:
        page = browser("alice").get(f"/palette/?q={machine.handle}").content.decode()

        assert "<!doctype html>" in page
        assert f'<a class="palette-line" href="/machines/{machine.handle}/"' in page

    def test_htmx_gets_the_options_of_the_listbox(self, browser: Browser, machine: Machine) -> None:
        answer = browser("alice").get(f"/palette/?q={machine.handle}", headers={"HX-Request": "true"})
        fragment = answer.content.decode()

        assert "<!doctype html>" not in fragment
        assert 'role="option" id="palette-1"' in fragment

    @pytest.mark.parametrize("typed", ["", "m1", "demo", "demo.c", "terminate", "spawn demo"])
    def test_it_takes_six_queries_at_most(
        self,
        typed: str,
        browser: Browser,
        project: Project,
        genesis: Checkpoint,
        django_assert_max_num_queries: Any,
    ) -> None:
        for _ in range(12):
            rows.machine(project, genesis)
        alice = browser("alice")
        with django_assert_max_num_queries(6):
            alice.get("/palette/", {"q": typed}, headers={"HX-Request": "true"})
