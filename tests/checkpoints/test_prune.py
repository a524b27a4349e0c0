"""Pruning: what is needed stays, and what goes goes wholly, whoever asks at the same time."""

import threading
import time
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from checkpoints.keeping import pruning
from checkpoints.models import Blob, Checkpoint, Rules, Verification
from checkpoints.states import Depth, State
from events.models import Event
from guests.models import Guest, Storage
from guests.states import State as GuestState
from machines import actions as machines
from machines.keeping import pruning as retention
from machines.models import Machine
from machines.states import State as MachineState
from operations.models import Operation
from projects.errors import Conflict
from projects.models import User
from tests.checkpoints.kept import LAST, NOTHING, gone, machine_of, take, work


class TestPreview:
    def test_it_says_of_each_whether_it_stays_and_why(self, machine: Machine, genesis: Checkpoint) -> None:
        take(machine)
        take(machine)

        found = {one.handle: (one.stays, one.reason) for one in retention.preview(machine.project).fates}

        assert found == {
            genesis.handle: (True, "where machines of the project begin"),
            f"{machine.handle}.c1": (False, "no rule keeps it"),
            f"{machine.handle}.c2": (True, f"{machine.handle} goes on from it"),
        }

    def test_it_says_what_would_be_freed_also_what_only_those_that_go_share(self, machine: Machine) -> None:
        shared, kept = b"s" * 100, b"k"
        take(machine, {"a": shared, "k": kept}, backup_bytes=7, backup="local:b")
        take(machine, {"a": shared, "b": shared, "k": kept})
        take(machine, {"k": kept})

        found = retention.preview(machine.project)

        assert [one.handle[-1] for one in found.going] == ["1", "2"]
        assert found.frees_bytes == len(bytes(Blob.objects.get(size=100).body))
        assert (found.frees_backup_bytes, found.snapshots) == (7, 2)

    def test_other_rules_can_be_tried_and_nothing_is_done(self, machine: Machine) -> None:
        for _ in range(3):
            take(machine)
        rules = pruning.retention.parse(NOTHING | {"keep_last": 2})

        assert len(retention.preview(machine.project, rules).going) == 1
        assert not gone(machine)


class TestWhatIsNeeded:
    def test_a_machine_s_present_stays_wherever_it_went_back_to(self, machine: Machine) -> None:
        first, _ = take(machine), take(machine)
        take(machine)
        Machine.objects.filter(pk=machine.pk).update(present=first)

        retention.prune(machine.project)

        assert gone(machine) == {2}

    def test_what_a_living_machine_was_branched_from_stays_until_that_ends(
        self, machine: Machine, alice: User
    ) -> None:
        source = take(machine)
        take(machine)
        branch = machine_of(machine.project, source, alice, MachineState.RUNNING)

        retention.prune(machine.project)
        assert not gone(machine)

        Machine.objects.filter(pk=branch.pk).update(state=MachineState.TERMINATED, ended_at=timezone.now())
        retention.prune(machine.project)
        assert gone(machine) == {1}

    def test_what_an_operation_under_way_goes_back_to_stays(self, machine: Machine, alice: User) -> None:
        target = take(machine)
        take(machine)
        machine.refresh_from_db()
        machines.rollback(machine, target, by=alice)

        retention.prune(machine.project)

        assert 1 not in gone(machine)

    def test_one_that_is_being_verified_stays(self, machine: Machine) -> None:
        checkpoint = take(machine)
        take(machine)
        Verification.objects.create(checkpoint=checkpoint, depth=Depth.CONTENT)

        assert retention.prune(machine.project) == 0

    @pytest.mark.parametrize(("kind", "stays"), [("rbd", True), ("lvmthin", False)])
    def test_where_clones_hang_on_their_snapshot_it_stays_as_long_as_they(
        self, machine: Machine, alice: User, kind: str, stays: bool
    ) -> None:
        Storage.objects.create(name="vms", node="embedded", kind=kind)
        holder = take(machine)
        source = take(machine, shares=holder)
        take(machine)
        branch = machine_of(machine.project, source, alice, MachineState.TERMINATED)
        Guest.objects.update(storage="vms")

        retention.prune(machine.project)
        assert (1 not in gone(machine)) == stays
        assert 2 in gone(machine)

        Guest.objects.filter(pk=branch.guest_id).update(state=GuestState.GONE)
        retention.prune(machine.project)
        assert gone(machine) == {1, 2}

    def test_nothing_is_begun_with_one_that_goes(self, machine: Machine, alice: User) -> None:
        target = take(machine)
        take(machine)
        stale = Checkpoint.objects.select_related("guest", "project").get(pk=target.pk)
        retention.prune(machine.project)
        machine.refresh_from_db()

        with pytest.raises(Conflict, match=f"{target.handle} was not kept. Choose {target.project.slug}.c0"):
            machines.spawn(project=machine.project, source=stale, type_name="shell", prompt="x", by=alice)
        with pytest.raises(Conflict, match="was not kept"):
            machines.rollback(machine, stale, by=alice)


@pytest.mark.django_db(transaction=True)
class TestAtTheSameTime:
    def test_who_is_first_has_it(self, machine: Machine, alice: User) -> None:
        source = take(machine)
        take(machine)
        pruned: list[int] = []

        def prune() -> None:
            pruned.append(retention.prune(machine.project))
            connection.close()

        with transaction.atomic():
            machines.spawn(project=machine.project, source=source, type_name="shell", prompt="x", by=alice)
            other = threading.Thread(target=prune)
            other.start()
            _until_somebody_waits()
        other.join()

        assert pruned == [0]


def _until_somebody_waits() -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
    raise AssertionError("Nobody waits.")


class TestPrune:
    def test_the_record_stays_and_the_rest_goes(self, machine: Machine) -> None:
        first, second = take(machine, {"a": b"1"}, backup_bytes=3, durable_at=timezone.now()), take(machine)

        assert retention.prune(machine.project) == 1
        assert first.children.get() == second
        work()

        first.refresh_from_db()
        assert (first.state, first.manifest, first.backup_bytes, first.durable_at) == (
            State.PRUNED,
            None,
            0,
            None,
        )
        assert first.pruned_at
        assert Event.objects.filter(kind="checkpoint.pruned", subject=first.subject).exists()

    def test_doing_it_again_does_nothing(self, machine: Machine) -> None:
        for _ in range(3):
            take(machine)

        assert [retention.prune(machine.project) for _ in range(2)] == [2, 0]
        assert work() == 2
        assert not pruning.carry_on()

    def test_of_each_guest_one_is_deleted_at_a_time_so_that_its_machine_is_not_held_up(
        self, machine: Machine, alice: User
    ) -> None:
        for _ in range(4):
            take(machine)
        retention.prune(machine.project)
        machine.refresh_from_db()
        machines.checkpoint(machine, by=alice)

        pruning.carry_on()
        waiting = list(Operation.objects.active().order_by("created_at").values_list("verb", flat=True))

        assert waiting == ["prune", "checkpoint"]

    def test_what_could_not_be_deleted_says_why_and_is_tried_again_others_first(
        self, machine: Machine
    ) -> None:
        first, second = take(machine), take(machine)
        take(machine)
        retention.prune(machine.project)
        operation = Operation.objects.get(verb="prune")
        Operation.objects.filter(pk=operation.pk).update(given_up_by="alice", error="The storage is away.")
        work()

        first.refresh_from_db()
        assert first.state == State.PRUNING
        assert first.error.startswith("It could not be deleted yet: Given up by alice. The storage is away.")

        pruning.carry_on()
        work()
        second.refresh_from_db()
        assert second.state == State.PRUNED
        assert not pruning.carry_on()

        Operation.objects.update(finished_at=timezone.now() - timedelta(hours=1))
        assert pruning.carry_on() == 1
        work()
        first.refresh_from_db()
        assert (first.state, first.error) == (State.PRUNED, "")

    def test_a_broken_one_s_leftovers_go_and_it_still_says_why_it_broke(self, machine: Machine) -> None:
        broken = take(machine)
        take(machine)
        broken.move(State.BROKEN, error="The disk was full.")
        Checkpoint.objects.filter(pk=broken.pk).update(captured_at=timezone.now() - timedelta(days=8))

        retention.prune(machine.project)
        work()

        broken.refresh_from_db()
        assert (broken.state, broken.error) == (State.PRUNED, "The disk was full.")

    def test_the_guest_of_an_ended_machine_goes_with_its_last_checkpoint(self, machine: Machine) -> None:
        only = take(machine)
        only.move(State.BROKEN, error="x")
        Checkpoint.objects.filter(pk=only.pk).update(captured_at=timezone.now() - timedelta(days=8))
        Machine.objects.filter(pk=machine.pk).update(
            state=MachineState.FAILED, ended_at=timezone.now(), present=None
        )
        retention.prune(machine.project)
        retention.tend()
        machine.guest.refresh_from_db()
        assert machine.guest.state == GuestState.PRESENT

        work()
        retention.tend()

        machine.guest.refresh_from_db()
        assert machine.guest.state == GuestState.CONDEMNED


class TestEveryDay:
    def test_the_rules_are_applied_once_a_day_by_a_worker(self, machine: Machine) -> None:
        take(machine)
        take(machine)

        retention.apply(machine.project)
        take(machine)
        retention.apply(machine.project)
        assert gone(machine) == {1}

        assert [one.data["checkpoints"] for one in Event.objects.filter(kind=retention.APPLIED)] == [1]

    def test_what_nobody_says_is_kept_as_the_settings_say(self, machine: Machine, settings) -> None:
        Rules.objects.all().delete()
        settings.CHECKPOINT_RETENTION = {"keep_last": 2, "milestones": 30}

        assert pruning.rules_of(machine.project).plain == LAST | {"keep_last": 2, "milestones": 30}
