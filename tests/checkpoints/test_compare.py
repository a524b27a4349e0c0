"""Two branches, from where they parted: what each did, where both did something, and what it cost."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint
from checkpoints.reading.compare import compare
from checkpoints.states import State
from guests.models import Guest
from machines.models import Machine
from machines.states import State as MachineState
from projects.errors import Conflict
from tests.budgets.rows import entry
from tests.checkpoints.kept import machine_of, take

START = {"same": b"s", "mine": b"1", "yours": b"1", "both": b"1", "fight": b"1", "dropped": b"1"}
HERE = {"same": b"s", "mine": b"22", "yours": b"1", "both": b"2", "fight": b"2", "new": b"123"}
THERE = {"same": b"s", "mine": b"1", "yours": b"2", "both": b"2", "fight": b"333"}


@pytest.fixture
def spawn(funded, genesis, alice):
    def spawn(source: Checkpoint | None = None) -> Machine:
        return machine_of(funded, source or genesis, alice, MachineState.RUNNING)

    return spawn


@pytest.fixture
def parted(spawn):
    """An ancestor, and a branch on either side of it."""
    machine = spawn()
    ancestor = take(machine, START, spent_micros=100)
    there = spawn(ancestor)
    return ancestor, take(machine, HERE, spent_micros=350), take(there, THERE, spent_micros=70)


class TestFiles:
    def test_it_tells_who_changed_what_and_where_both_did(self, parted):
        _, here, there = parted

        found = compare(here, there)

        assert {file.path: (file.status, file.here, file.there) for file in found.files} == {
            "both": ("same", "modified", "modified"),
            "dropped": ("same", "removed", "removed"),
            "fight": ("conflict", "modified", "modified"),
            "mine": ("here", "modified", ""),
            "new": ("here", "added", ""),
            "yours": ("there", "", "modified"),
        }
        assert found.totals == {"here": 2, "there": 1, "same": 2, "conflict": 1}

    def test_sizes_are_those_of_the_base_and_of_either_side(self, parted):
        _, here, there = parted

        found = {file.path: file for file in compare(here, there).files}

        assert [
            (found[path].base_size, found[path].here_size, found[path].there_size)
            for path in ("fight", "mine", "new", "dropped")
        ] == [(1, 1, 3), (1, 2, 1), (None, 3, None), (1, None, None)]

    def test_a_file_that_one_side_changed_and_the_other_removed_is_a_conflict(self, spawn):
        machine = spawn()
        ancestor = take(machine, {"a": b"1"})
        there = take(spawn(ancestor), {})

        (file,) = compare(take(machine, {"a": b"2"}), there).files

        assert (file.status, file.here, file.there) == ("conflict", "modified", "removed")

    def test_pages_follow_each_other_without_a_gap(self, parted):
        _, here, there = parted

        first = compare(here, there, limit=4)
        second = compare(here, there, limit=4, beyond=first.after)

        assert [len(page.files) for page in (first, second)] == [4, 2]
        assert (second.files[0].path, second.after) == ("new", None)


class TestAncestor:
    def test_it_is_the_nearest_that_both_come_from(self, parted):
        ancestor, here, there = parted

        assert compare(here, there).ancestor == compare(there, here).ancestor == ancestor

    def test_of_two_on_one_line_it_is_the_older(self, spawn):
        machine = spawn()
        first, second = take(machine, {"a": b"1"}), take(machine, {"a": b"2"})

        found = compare(first, second)

        assert (found.ancestor, found.totals) == (first, {"here": 0, "there": 1, "same": 0, "conflict": 0})

    def test_where_its_files_are_forgotten_those_of_the_next_one_above_count(self, parted, genesis):
        ancestor, here, there = parted
        Checkpoint.objects.filter(pk=ancestor.pk).update(state=State.PRUNED, manifest=None)

        found = compare(here, there)

        assert (found.ancestor, found.base) == (ancestor, genesis)
        assert {file.path: file.status for file in found.files}["yours"] == "conflict"

    def test_two_that_have_nothing_in_common_are_not_compared(self, parted, project, template, spawn):
        other = checkpoints.genesis(project, Guest.objects.create(vmid=9001, node="embedded", template=True))
        apart = take(spawn(other), {"a": b"1"})

        with pytest.raises(Conflict, match="no ancestor in common"):
            compare(parted[1], apart)


class TestCost:
    def test_each_side_is_told_what_its_line_cost_since_the_ancestor(self, parted, project):
        _, here, there = parted

        found = compare(here, there)

        assert [(side.checkpoints, side.cost_micros) for side in (found.here, found.there)] == [
            (1, 250),
            (1, 70),
        ]
        assert (found.here.changed, found.here.grown_bytes, found.there.grown_bytes) == (5, 3, 1)

    def test_turns_are_the_model_calls_in_the_ledger(self, spawn, project):
        machine = spawn()
        now = timezone.now()
        first = take(machine, {"a": b"1"}, ledger_entry=_call(project, machine, now, 2))
        later = take(machine, {"a": b"2"}, ledger_entry=_call(project, machine, now, 3))
        branch = spawn(first)
        there = take(branch, {"a": b"3"}, ledger_entry=_call(project, branch, now, 1))

        found = compare(later, there)

        assert (found.here.turns, found.there.turns) == (3, 1)
        assert found.here.tokens == 3 * found.there.tokens > 0

    def test_time_is_from_the_machine_s_checkpoint_before_to_the_last(self, spawn):
        machine = spawn()
        first, later = take(machine, {"a": b"1"}), take(machine, {"a": b"2"})
        branch = spawn(first)
        there = [take(branch, {"b": b"1"}), take(branch, {"b": b"2"})]
        now = timezone.now()
        for one, seconds in ((first, 100), (later, 40), (there[0], 30), (there[1], 5)):
            Checkpoint.objects.filter(pk=one.pk).update(created_at=now - timedelta(seconds=seconds))

        found = compare(*(Checkpoint.objects.get(pk=one.pk) for one in (later, there[1])))

        assert (found.here.seconds, found.there.seconds) == (60, 25)

    def test_what_was_spent_on_a_line_that_was_left_is_not_counted(self, spawn, project):
        machine = spawn()
        first = take(machine, {"a": b"1"}, spent_micros=100)
        take(machine, {"a": b"2"}, spent_micros=900)
        Machine.objects.filter(pk=machine.pk).update(present=first)
        after = take(machine, {"a": b"3"}, spent_micros=950)

        assert compare(after, first).here.cost_micros == 50

    def test_it_takes_as_many_queries_for_short_lines_as_for_long_ones(self, spawn):
        counts = []
        for length in (1, 20):
            machine = spawn()
            ancestor = take(machine, {"a": b"1"}, ledger_entry=1)
            branch = spawn(ancestor)
            for n in range(length):
                here, there = take(machine, {"a": b"%d" % n}), take(branch, {"b": b"%d" % n})
            here, there = (Checkpoint.objects.get(pk=one.pk) for one in (here, there))
            with CaptureQueriesContext(connection) as queries:
                compare(here, there)
            counts.append(len(queries))

        assert counts[0] == counts[1]


def _call(project, machine, at, many):
    """So many calls of the machine, later than all before; the id of the last entry."""
    for _ in range(many):
        one = entry(project, at - timedelta(seconds=1), machine_id=machine.pk)
        one.save()
    return one.pk


class TestOverRest:
    @pytest.mark.parametrize(("who", "status"), [("alice", 200), ("bob", 200), ("charlie", 404)])
    def test_who_may(self, api, parted, who, status):
        _, here, there = parted

        answer = api(who).get(f"/api/v1/checkpoints/{here.handle}/compare/?with={there.handle}")

        assert answer.status_code == status

    def test_the_answer_tells_both_sides(self, api, parted):
        ancestor, here, there = parted

        told = api("bob").get(f"/api/v1/checkpoints/{here.handle}/compare/?with={there.handle}").json()

        assert (told["ancestor"], told["here"]["handle"], told["there"]["cost_micros"]) == (
            ancestor.handle,
            here.handle,
            70,
        )
        assert (told["currency"], told["next"], len(told["files"])) == ("USD", None, 6)
