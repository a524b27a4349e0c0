"""The tree of a project: lanes and where they fork, what each node cost, folds, pages, and how it is read."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from checkpoints.models import Checkpoint
from checkpoints.reading.tree import tree
from checkpoints.states import Depth, State
from machines.keeping import trees
from machines.models import Machine
from machines.states import State as MachineState
from tests.checkpoints.kept import machine_of, take

MANUAL = Checkpoint.Kind.MANUAL


@pytest.fixture
def spawn(funded, genesis, alice) -> Callable[..., Machine]:
    def spawn(source: Checkpoint | None = None) -> Machine:
        return machine_of(funded, source or genesis, alice, MachineState.RUNNING)

    return spawn


@pytest.fixture
def machine(spawn) -> Machine:
    return spawn()


def go_back(machine: Machine, target: Checkpoint) -> None:
    Machine.objects.filter(pk=machine.pk).update(present=target)


class TestLanes:
    def test_a_machine_that_goes_straight_on_is_one_lane(self, project, genesis, machine):
        first, second = take(machine), take(machine)

        found = tree(project)

        assert [(one.name, one.forks_at) for one in found.lanes] == [
            (genesis.handle, None),
            (first.handle, genesis.handle),
        ]
        assert [(node.handle, node.parent, node.lane) for node in found.nodes] == [
            (second.handle, first.handle, first.handle),
            (first.handle, genesis.handle, first.handle),
            (genesis.handle, None, genesis.handle),
        ]

    def test_a_branch_begins_a_lane_where_it_was_made(self, project, machine, spawn):
        first, _ = take(machine), take(machine)
        branched = take(spawn(first))

        found = tree(project)

        assert (branched.handle, first.handle) in {(one.name, one.forks_at) for one in found.lanes}
        assert {node.handle for node in found.nodes if node.forked} == {first.handle, first.parent.handle}

    def test_a_machine_that_went_back_goes_on_at_a_lane_of_its_own(self, project, machine):
        first, _, third = take(machine), take(machine), take(machine)
        go_back(machine, first)
        after, last = take(machine), take(machine)

        lane = {node.handle: node.lane for node in tree(project).nodes}

        assert lane[third.handle] == first.handle
        assert lane[after.handle] == lane[last.handle] == after.handle

    def test_lanes_tell_whose_they_are(self, project, machine):
        take(machine)

        genesis, own = trees.with_machines(tree(project).lanes)

        assert genesis.machine is None
        assert (own.machine.handle, own.machine.state) == (machine.handle, "running")


class TestNodes:
    def test_what_it_cost_is_counted_from_the_machines_checkpoint_before_it(self, project, machine):
        first = take(machine, spent_micros=300)
        take(machine, spent_micros=500)
        go_back(machine, first)
        take(machine, spent_micros=900)

        costs = [node.cost_micros for node in tree(project).nodes]

        assert costs == [400, 200, 300, 0]

    def test_it_says_how_far_each_has_come(self, project, machine):
        proof = {"proven_at": timezone.now(), "proven_depth": Depth.BOOT}
        holder = take(machine, backup="local:1")
        take(machine, shares=holder)
        take(machine, **proof)
        take(machine)

        nodes = tree(project).nodes[:4]

        assert [(node.standing, node.logical) for node in nodes] == [
            ("captured", False),
            ("verified", False),
            ("durable", True),
            ("durable", False),
        ]


class TestFold:
    def test_only_plain_ones_that_follow_each_other_are_folded(self, project, machine, spawn):
        made = [take(machine) for _ in range(4)]
        made.append(take(machine, kind=MANUAL))
        made += [take(machine, spent_micros=10 * n, changed=1) for n in range(1, 6)]

        found = tree(project, fold=2)

        assert [(one.first, one.last, one.count) for one in found.folds] == [
            (made[1].handle, made[3].handle, 3),
            (made[5].handle, made[8].handle, 4),
        ]
        assert [(one.cost_micros, one.changed) for one in found.folds] == [(0, 0), (40, 4)]
        assert {node.number for node in found.nodes if node.lane == made[0].handle} == {1, 5, 10}

    @pytest.mark.parametrize(
        "more", [{"pinned": True}, {"name": "x"}, {"kind": MANUAL}, {"state": State.BROKEN}]
    )
    def test_one_that_somebody_may_look_for_is_not_folded(self, project, machine, more):
        made = [take(machine) for _ in range(5)]
        Checkpoint.objects.filter(pk=made[2].pk).update(**more)

        assert made[2].handle in {node.handle for node in tree(project, fold=1).nodes}

    def test_one_that_was_branched_from_is_not_folded(self, project, machine, spawn):
        made = [take(machine) for _ in range(5)]
        assert made[2].handle not in {node.handle for node in tree(project, fold=1).nodes}
        take(spawn(made[2]))

        assert made[2].handle in {node.handle for node in tree(project, fold=1).nodes}

    def test_a_fold_can_be_left_open(self, project, machine):
        made = [take(machine) for _ in range(6)]

        assert tree(project, fold=2, unfold=[made[1].handle]).folds == []


class TestPages:
    def test_pages_follow_each_other_without_a_gap(self, project, machine):
        made = [take(machine) for _ in range(5)]

        first = tree(project, limit=3)
        second = tree(project, limit=3, before=made[2])

        assert first.before == made[2].handle
        assert [node.handle for node in first.nodes + second.nodes] == [
            *(one.handle for one in reversed(made)),
            "demo.c0",
        ]
        assert second.before is None

    def test_a_lane_keeps_its_name_on_every_page(self, project, machine):
        made = [take(machine) for _ in range(5)]

        assert {node.lane for node in tree(project, limit=2).nodes} == {made[0].handle}

    def test_from_one_on_there_is_only_what_descends_from_it(self, project, machine, spawn):
        first, second = take(machine), take(machine)
        branched, third = take(spawn(second)), take(machine)
        take(spawn(first))

        found = {node.handle for node in tree(project, root=second).nodes}

        assert found == {second.handle, branched.handle, third.handle}

    @pytest.mark.parametrize("many", [1, 500])
    def test_it_takes_as_many_queries_for_one_as_for_many(self, project, machine, many):
        first = take(machine)
        more = [
            Checkpoint(
                project=project, guest=machine.guest, origin=machine.subject, number=n, handle=f"{machine}.c{n}",
                kind="automatic", state=State.CAPTURED, why="", shares=first,
            )
            for n in range(2, many + 1)
        ]  # fmt: skip
        for before, one in zip([first, *more], more, strict=False):
            one.parent = before
        Checkpoint.objects.bulk_create(more)

        with CaptureQueriesContext(
            connection,
        ) as queries:
            found = tree(project, fold=3)
            trees.with_machines(found.lanes)

        assert len(queries) == 3
        assert len(found.nodes) + sum(one.count for one in found.folds) == min(many + 1, 500)


class TestOverRest:
    @pytest.mark.parametrize(("who", "status"), [("alice", 200), ("bob", 200), ("charlie", 404)])
    def test_who_may_see_it(self, api, project, genesis, who, status):
        assert api(who).get("/api/v1/projects/demo/tree/").status_code == status

    def test_it_has_nodes_lanes_and_folds(self, api, machine):
        made = [take(machine) for _ in range(6)]

        answer = api("bob").get("/api/v1/projects/demo/tree/?fold=2").json()

        assert answer["lanes"][-1]["machine"] == machine.handle
        assert (answer["lanes"][-1]["title"], answer["lanes"][0]["machine"]) == ("x", None)
        assert answer["folds"][0]["first"] == made[1].handle
        assert answer["nodes"][0]["handle"] == made[-1].handle

        opened = api("bob").get(f"/api/v1/projects/demo/tree/?fold=2&unfold={made[1].handle}").json()
        assert len(opened["nodes"]) == 7

    def test_a_page_begins_where_the_last_one_ended(self, api, machine):
        made = [take(machine) for _ in range(4)]

        first = api("bob").get("/api/v1/projects/demo/tree/?limit=2").json()
        second = api("bob").get(f"/api/v1/projects/demo/tree/?limit=2&before={first['before']}").json()

        assert [node["handle"] for node in second["nodes"]] == [made[1].handle, made[0].handle]

    @pytest.mark.parametrize("query", ["limit=0", "limit=501", "fold=-1", "limit=x"])
    def test_nonsense_is_refused(self, api, project, query):
        assert api("bob").get(f"/api/v1/projects/demo/tree/?{query}").status_code == 400

    def test_a_checkpoint_that_is_not_there_is_said_to_be_so(self, api, project):
        assert api("bob").get("/api/v1/projects/demo/tree/?root=m9.c9").status_code == 404
