"""The tree of a project's checkpoints: which rows, which lanes beside them, and what a person may do there."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from checkpoints.models import Checkpoint
from checkpoints.reading.tree import Fold, Lane, Node
from dashboard import graph
from machines.models import Machine
from projects.models import Project
from tests.dashboard import rows
from tests.dashboard.conftest import Browser

BEGAN = datetime(2026, 11, 1, tzinfo=UTC)


def node(handle: str, lane: str, minute: int) -> Node:
    return Node(
        handle=handle, parent=None, lane=lane, number=minute, kind="automatic", trigger="call", why="",
        state="captured", standing="captured", logical=False, ram=False, pinned=False, name="",
        created_at=BEGAN + timedelta(minutes=minute), call_number=None, spent_micros=0, cost_micros=0, changed=0,
        forked=False,
    )  # fmt: skip


def lane(name: str, forks_at: str | None) -> Lane:
    return Lane(name, "machine:x", forks_at, BEGAN)


class TestTheGutter:
    def test_one_line_is_one_column(self) -> None:
        drawn = graph.rows([node("c1", "c1", 1), node("c2", "c1", 2)], [], [lane("c1", None)])

        assert [(row.column, row.above, row.below) for row in drawn] == [(0, False, True), (0, True, False)]

    def test_a_branch_has_a_column_of_its_own_down_to_where_it_goes_off(self) -> None:
        nodes = [node("a1", "a1", 1), node("a2", "a1", 2), node("b1", "b1", 3), node("a3", "a1", 4)]

        drawn = graph.rows(nodes, [], [lane("a1", None), lane("b1", "a1")])

        assert [(row.item.handle, row.column) for row in drawn if isinstance(row.item, Node)] == [
            ("a3", 0), ("b1", 1), ("a2", 0), ("a1", 0),
        ]  # fmt: skip
        assert [row.passing for row in drawn] == [(), (0,), (1,), ()]
        assert [row.begun for row in drawn] == [(), (), (), (1,)]

    def test_more_lanes_than_can_be_followed_are_not_drawn(self) -> None:
        def width(many: int) -> int:
            branches = [node(f"b{at}", f"b{at}", at + 1) for at in range(many)]
            lanes = [lane("a", None), *(lane(f"b{at}", "a") for at in range(many))]
            return graph.width(graph.rows([node("a", "a", 0), *branches], [], lanes))

        assert width(graph.COLUMNS_MAX) > 0
        assert width(graph.COLUMNS_MAX + 1) == 0

    def test_a_column_is_used_again_once_its_lane_has_ended(self) -> None:
        nodes = [
            node("a1", "a1", 1),
            node("b1", "b1", 2),
            node("a2", "a1", 3),
            node("c1", "c1", 4),
            node("a3", "a1", 5),
        ]

        drawn = graph.rows(nodes, [], [lane("a1", None), lane("b1", "a1"), lane("c1", "a2")])

        assert max(row.column for row in drawn) == 1

    def test_a_fold_lies_on_its_lane(self) -> None:
        fold = Fold("a1", "a2", "a8", 7, BEGAN + timedelta(minutes=8), 0, 0)

        drawn = graph.rows([node("a1", "a1", 1), node("a9", "a1", 9)], [fold], [lane("a1", None)])

        assert [row.folded for row in drawn] == [False, True, False]
        assert all(row.column == 0 for row in drawn)

    def test_a_lane_whose_beginning_is_on_an_older_page_goes_on_downwards(self) -> None:
        drawn = graph.rows([node("a5", "a1", 5)], [], [lane("a1", None)])

        assert drawn[0].below


@pytest.fixture
def branch(project: Project, machine: Machine) -> Machine:
    first = Checkpoint.objects.of(machine.subject).first()
    assert first
    made = rows.machine(project, first, prompt="The other way")
    rows.checkpoint(made, {})
    return made


class TestThePage:
    def test_it_shows_every_line_with_its_machine(
        self, browser: Browser, machine: Machine, branch: Machine
    ) -> None:
        page = browser("bob").get("/p/demo/checkpoints/").content.decode()

        assert f"{machine.handle}.c2" in page
        assert f"{branch.handle}.c1" in page
        assert "The other way" in page
        assert page.index(f"{branch.handle}.c1") < page.index(f"{machine.handle}.c1")

    def test_long_runs_are_folded_and_open_when_asked(self, browser: Browser, machine: Machine) -> None:
        for _ in range(12):
            rows.checkpoint(machine, {})

        folded = browser("bob").get("/p/demo/checkpoints/").content.decode()
        opened = browser("bob").get(f"/p/demo/checkpoints/?open={machine.handle}.c2").content.decode()

        assert "12 more of" in folded
        assert f"{machine.handle}.c7<" not in folded
        assert f"{machine.handle}.c7<" in opened

    def test_one_who_may_only_look_is_offered_no_branch(self, browser: Browser, machine: Machine) -> None:
        assert "data-branch" in browser("alice").get("/p/demo/checkpoints/").content.decode()
        assert "data-branch" not in browser("bob").get("/p/demo/checkpoints/").content.decode()

    def test_outsiders_find_nothing(self, browser: Browser, machine: Machine) -> None:
        assert browser("charlie").get("/p/demo/checkpoints/").status_code == 404

    def test_without_checkpoints_it_says_where_they_come_from(
        self, browser: Browser, project: Project
    ) -> None:
        page = browser("bob").get("/p/demo/checkpoints/").content.decode()

        assert "A machine leaves them as it works" in page

    def test_many_checkpoints_take_no_more_queries_than_few(
        self, browser: Browser, machine: Machine, branch: Machine, django_assert_max_num_queries
    ) -> None:
        client: Client = browser("bob")
        client.get("/p/demo/checkpoints/")
        for number in range(60):
            rows.checkpoint(machine if number % 2 else branch, {})
        with django_assert_max_num_queries(14):
            client.get("/p/demo/checkpoints/?open=x")

    def test_two_checkpoints_or_machines_are_compared_from_here(
        self, browser: Browser, machine: Machine, branch: Machine
    ) -> None:
        bob = browser("bob")
        asked = {"here": machine.handle, "there": f" {branch.handle}.c1"}
        assert machine.present

        there = bob.get("/p/demo/checkpoints/compare/", asked).headers["location"]

        assert there == f"/checkpoints/{machine.present.handle}/compare/?with={branch.handle}.c1"
        assert "Tokens" in bob.get(there).content.decode()

    def test_what_cannot_be_compared_is_said_beside_the_tree(
        self, browser: Browser, machine: Machine
    ) -> None:
        asked = {"here": machine.handle, "there": "m99"}

        page = browser("bob").get("/p/demo/checkpoints/compare/", asked, follow=True).content.decode()

        assert "There is no machine &#x27;m99&#x27; that you may see." in page

    def test_the_list_of_projects_leads_to_the_only_one(self, browser: Browser, machine: Machine) -> None:
        assert browser("bob").get("/checkpoints/").headers["location"] == "/p/demo/checkpoints/"
