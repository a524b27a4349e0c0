"""A checkpoint that cannot be restored: what is gone back to instead, what is said of it, and what is called broken."""

import time
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from checkpoints import reconcile as checkpoints
from checkpoints.models import Checkpoint
from checkpoints.trust import fallback
from events.models import Event
from guests import observe, reconcile
from guests.models import Guest
from machines import actions
from machines.limits import enforce
from machines.models import Machine
from machines.work import bundle
from operations import engine
from operations.models import Operation
from projects.errors import Conflict
from proxmox.connect import driver
from tests.guests.conftest import *  # noqa: F403 (a node, and operations carried by hand)

DAMAGED = "qemu-img: Could not open 'vm-disk-0': Image is corrupt"
FULL = "no space left on device"


class TestChain:
    """What is tried, and in which order; of rows alone."""

    @pytest.fixture
    def guest(self, project) -> Guest:
        return Guest.objects.create(project=project, vmid=10_000, node="n")

    @pytest.fixture
    def grown(self, project, guest, genesis):
        """A line of checkpoints, oldest first; `proven` are the places of those that were."""

        def grown(count: int, *, proven: tuple[int, ...] = (), **more: object) -> list[Checkpoint]:
            line, now = [genesis], timezone.now()
            for number in range(1, count + 1):
                proof = {"proven_at": now, "proven_depth": "boot"} if number in proven else {}
                line.append(
                    Checkpoint.objects.create(
                        project=project, guest=guest, origin="machine:00000000-0000-4000-8000-000000000001",
                        number=number, handle=f"m1.c{number}", kind="automatic", state="captured", parent=line[-1],
                        snapshot=f"c{number}", captured_at=now, spent_micros=number * 1000, **proof, **more,
                    )
                )  # fmt: skip
            return line

        return grown

    def test_the_nearest_comes_first_and_other_guests_do_not_count(self, grown):
        line = grown(4)

        assert fallback.chain(line[4]) == [line[3], line[2], line[1]]

    def test_one_that_was_proven_comes_before_nearer_ones(self, grown):
        line = grown(5, proven=(2,))

        assert fallback.chain(line[5]) == [line[2], line[4], line[3], line[1]]

    def test_unless_it_is_far_away(self, grown):
        line = grown(fallback.NEAR + 3, proven=(1,))

        assert fallback.chain(line[-1])[0] == line[-2]

    def test_what_is_broken_or_was_pruned_is_left_out(self, grown):
        line = grown(4)
        Checkpoint.objects.filter(pk=line[3].pk).update(state="broken")
        Checkpoint.objects.filter(pk=line[2].pk).update(state="pruned")

        assert fallback.chain(line[4]) == [line[1]]

    def test_of_those_that_share_a_snapshot_one_is_tried(self, grown):
        line = grown(5)
        Checkpoint.objects.filter(pk=line[5].pk).update(shares=line[4])
        Checkpoint.objects.filter(pk=line[3].pk).update(shares=line[2])
        target = Checkpoint.objects.get(pk=line[5].pk)

        assert fallback.chain(target) == [line[3], line[1]]

    def test_what_is_lost_is_what_was_spent_since(self, grown):
        line = grown(4)

        assert fallback.cost(line[4], line[2]).micros == 2000


@pytest.fixture
def _known(connected, genesis):
    """The hub has looked at the cluster."""
    reconcile.reconcile()


@pytest.fixture
def machine(_known, spawned) -> Machine:
    return spawned()


@pytest.fixture
def taken(carry, alice):
    """A checkpoint that is taken of a machine, whose workspace says which."""

    def taken(machine: Machine, note: str = "") -> Checkpoint:
        # Without any difference it would share the snapshot of the one before.
        bundle._run(machine, f'echo {note or uuid4()} > "${{GUEST_ROOT:-}}/workspace/note"')
        checkpoint = actions.checkpoint(machine, by=alice)
        carry(Operation.objects.get(verb="checkpoint", arguments__checkpoint=str(checkpoint.id)))
        machine.refresh_from_db()
        return Checkpoint.objects.select_related("guest").get(pk=checkpoint.pk)

    return taken


@pytest.fixture
def returned(carry, alice):
    """A machine that is to go back, once the operation has ended."""

    def returned(machine: Machine, target: Checkpoint) -> Machine:
        carry(actions.rollback(machine, target, by=alice))
        return Machine.objects.select_related("guest", "present").get(pk=machine.pk)

    return returned


def note_of(machine: Machine) -> str:
    return driver().run(machine.guest.vm, 'cat "${GUEST_ROOT:-}/workspace/note"').out.decode().strip()


def state_of(checkpoint: Checkpoint) -> str:
    return Checkpoint.objects.get(pk=checkpoint.pk).state


def rollback_of(checkpoint: Checkpoint) -> str:
    return f"POST */snapshot/{checkpoint.snapshot}/rollback"


@pytest.fixture(params=["lvmthin", pytest.param("qcow2", marks=pytest.mark.whole)], scope="class")
def personality(request) -> str:
    return str(request.param)


class TestReturn:
    def test_the_next_older_one_is_gone_back_to_and_it_is_said_what_that_costs(
        self, machine, taken, returned, fault
    ):
        older, target = taken(machine, "older"), taken(machine, "target")
        fault(match=rollback_of(target), action="fail", status=500, reason=DAMAGED)

        machine = returned(machine, target)

        assert (machine.state, machine.present, note_of(machine)) == ("running", older, "older")
        assert f"{target.handle} could not be restored" in machine.sentence
        assert f"{older.handle}, which is 0 model calls and 0.00 USD earlier" in machine.sentence
        event = Event.objects.get(kind="machine.fell_back")
        assert (event.data["target"], event.data["turns"]) == (older.handle, 0)

    def test_what_could_not_be_restored_is_broken_with_the_reason_and_the_rest_is_not(
        self, machine, taken, returned, fault
    ):
        older, target = taken(machine), taken(machine)
        fault(match=rollback_of(target), action="fail", status=500, reason=DAMAGED)

        kept = returned(machine, target)

        broken = Checkpoint.objects.get(pk=target.pk)
        assert (broken.state, DAMAGED in broken.error) == ("broken", True)
        assert state_of(older) == "captured"
        present = Checkpoint.objects.get(origin=kept.subject, trigger="return")
        assert present.state == "captured"

    def test_one_that_does_not_come_up_is_left_for_a_boot_drill_to_look_into(
        self, machine, taken, returned, fault
    ):
        older, target = taken(machine, "older"), taken(machine, "target")
        fault(match="POST */status/start", action="fail-task", reason="QEMU exited with code 1")

        machine = returned(machine, target)

        assert (machine.state, machine.present, note_of(machine)) == ("running", older, "older")
        assert state_of(target) == "captured"
        assert target.verifications.get().depth == "boot"

    def test_a_node_that_does_not_answer_is_none_of_the_checkpoint_s_doing(
        self, machine, taken, returned, fault, monkeypatch
    ):
        monkeypatch.setattr(engine, "BACK_OFF_SECONDS", (0.01,))
        taken(machine)
        target = taken(machine)
        fault(match=rollback_of(target), action="fail", status=596, reason="Connection timed out", times=0)

        machine = returned(machine, target)

        assert machine.state == "failed"
        assert state_of(target) == "captured"

    def test_what_could_not_be_kept_at_the_first_try_is_kept_at_the_next(
        self, machine, taken, returned, fault, carry
    ):
        target = taken(machine, "old")
        bundle._run(machine, 'echo precious > "${GUEST_ROOT:-}/workspace/note"')
        fault(match="POST */snapshot", action="fail-task", reason=FULL, times=1)
        machine = returned(machine, target)
        assert machine.state == "failed"
        carry(Operation.objects.get(verb="halt", lock=machine.guest.subject))

        machine = returned(machine, target)

        assert (machine.state, note_of(machine)) == ("running", "old")
        kept = Checkpoint.objects.filter(origin=machine.subject, trigger="return", state="captured").get()
        assert kept.guest_id == machine.guest_id

    def test_a_fault_of_the_host_is_none_of_the_checkpoint(self, machine, taken, returned, fault):
        taken(machine)
        target = taken(machine)
        fault(match=rollback_of(target), action="fail", status=500, reason=FULL)

        machine = returned(machine, target)

        assert machine.state == "failed"
        assert FULL in machine.sentence
        assert state_of(target) == "captured"

    def test_where_nothing_is_left_it_says_what_can_be_branched_and_breaks_nothing_that_may_be_good(
        self, machine, taken, returned, fault, genesis
    ):
        older, target = taken(machine), taken(machine)
        fault(match="POST */rollback", action="fail", status=500, reason="it failed", times=0)

        machine = returned(machine, target)

        assert machine.state == "failed"
        assert f"bin/autovibe branch {genesis.handle}" in machine.sentence
        assert {state_of(older), state_of(target)} == {"captured"}

    def test_before_it_is_asked_for_it_is_said_what_that_would_cost(self, machine, taken, api):
        older, target = taken(machine), taken(machine)

        answer = api("bob").get(f"/api/v1/machines/{machine.handle}/rollback/", {"checkpoint": target.handle})

        assert answer.json()["possible"]
        assert answer.json()["fallback"]["handle"] == older.handle


class TestReturnWhereOnlyTheNewestCanBeGoneBackTo:
    @pytest.fixture(scope="class")
    def personality(self):
        return "zfs"

    def test_it_says_what_can_be_branched(self, machine, taken, ended, returned, fault, settings):
        settings.PROXMOX_BACKUP_STORAGE = "local"
        backed_up = taken(machine)
        final = Checkpoint.objects.get(pk=ended(machine).present_id)
        fault(match=rollback_of(final), action="fail", status=500, reason=DAMAGED)
        Checkpoint.objects.filter(pk=final.pk).update(backup="")

        machine = returned(Machine.objects.get(pk=machine.pk), Checkpoint.objects.get(pk=final.pk))

        assert machine.state == "failed"
        assert f"bin/autovibe branch {backed_up.handle}" in machine.sentence
        assert state_of(final) == "broken"

    def test_the_preview_offers_none(self, machine, taken, api):
        taken(machine)
        target = taken(machine)

        answer = api("alice").get(f"/api/v1/machines/{machine.handle}/rollback/?checkpoint={target.handle}")

        assert (answer.json()["possible"], answer.json()["fallback"]) == (False, None)


class TestBranch:
    @pytest.fixture(scope="class")
    def personality(self):
        return "lvmthin"

    @pytest.fixture
    def branched(self, project, alice, carry):
        def branched(source: Checkpoint) -> Machine:
            fresh = Checkpoint.objects.select_related("guest").get(pk=source.pk)
            made = actions.spawn(
                project=project, source=fresh, type_name="shell", prompt="sleep 600", by=alice
            )
            carry(Operation.objects.get(subject=made.subject))
            return Machine.objects.select_related("guest").get(pk=made.pk)

        return branched

    def test_a_damaged_source_is_broken_and_the_nearest_good_one_is_named_and_not_taken(
        self, machine, taken, branched, fault
    ):
        older, source = taken(machine), taken(machine)
        fault(match="POST */clone", action="fail", status=500, reason=DAMAGED)

        branch = branched(source)

        assert branch.state == "failed"
        assert f"bin/autovibe branch {older.handle}" in branch.sentence
        assert (state_of(source), state_of(older)) == ("broken", "captured")

    def test_what_is_in_a_backup_too_is_made_from_that(self, machine, taken, branched, fault):
        source = taken(machine, "then")
        _back_up(source)
        fault(match="POST */clone", action="fail", status=500, reason=DAMAGED)

        branch = branched(source)

        assert (branch.state, note_of(branch)) == ("running", "then")
        assert state_of(source) == "captured"


class TestAGuestThatWasDestroyedFromOutside:
    @pytest.fixture(scope="class")
    def personality(self):
        return "lvmthin"

    @pytest.fixture
    def destroyed(self, carry):
        def destroyed(machine: Machine) -> Machine:
            _wait(driver().stop(machine.guest.vm))
            _wait(driver().destroy(machine.guest.vm))
            observe.observe()
            long_ago = timezone.now() - timedelta(minutes=1)
            Machine.objects.filter(pk=machine.pk).update(run_started_at=long_ago)
            Guest.objects.filter(pk=machine.guest_id).update(power_since=long_ago)
            enforce.enforce()
            carry(Operation.objects.get(verb="halt", lock=machine.guest.subject))
            reconcile.reconcile()
            checkpoints.reconcile()
            return Machine.objects.select_related("guest").get(pk=machine.pk)

        return destroyed

    def test_its_sentence_names_the_last_one_that_has_a_backup(self, machine, taken, destroyed):
        durable = taken(machine)
        _back_up(durable)
        taken(machine)

        machine = destroyed(machine)

        assert machine.state == "failed"
        assert f"bin/autovibe branch {durable.handle}" in machine.sentence

    def test_what_had_none_is_broken_and_what_had_one_is_branched_from_it(
        self, machine, taken, destroyed, spawned, returned
    ):
        durable = taken(machine, "kept")
        _back_up(durable)
        other = taken(machine)

        machine = destroyed(machine)

        assert (state_of(durable), state_of(other)) == ("captured", "broken")
        assert note_of(spawned(source=durable)) == "kept"
        with pytest.raises(Conflict, match="is gone from Proxmox"):
            returned(machine, Checkpoint.objects.get(pk=durable.pk))


def _back_up(checkpoint: Checkpoint) -> None:
    """A backup of the guest's present, filed as the checkpoint's."""
    vm = checkpoint.guest.vm
    _wait(driver().back_up(vm, "local", str(checkpoint.id)))
    found = driver().backups(vm.node, "local", vm.vmid)
    volume = next(one.volume for one in found if str(checkpoint.id) in one.notes)
    Checkpoint.objects.filter(pk=checkpoint.pk).update(backup=volume)


def _wait(upid: str | None) -> None:
    deadline = time.monotonic() + 60
    while upid and not driver().tasks([upid])[0].result:
        assert time.monotonic() < deadline, upid
        time.sleep(0.05)
