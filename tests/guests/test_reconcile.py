"""What Proxmox has against what we think: told, and left alone."""

import threading
from datetime import timedelta

import pytest
import requests
from django.utils import timezone

from checkpoints import reconcile as checkpoints
from checkpoints.models import Checkpoint
from events.models import Event
from guests import observe, reconcile, strays
from guests.models import Guest, Node, Storage, Stray
from guests.states import State
from machines import actions
from operations.models import Operation, Status
from projects.errors import Conflict
from proxmox import connect
from proxmox.connect import driver
from proxmox.driver import VM, Clone


@pytest.fixture(autouse=True)
def _known(connected, genesis):
    reconcile.reconcile()


def finish(upid):
    while upid and not driver().tasks([upid])[0].result:
        pass


def fresh(guest: Guest) -> Guest:
    return Guest.objects.get(pk=guest.pk)


class TestCluster:
    def test_storages_are_known_with_what_they_can_do(self):
        storage = Storage.objects.get(name="local-lvm")

        assert storage.abilities("raw").links_snapshots

    def test_how_large_and_how_full_nodes_and_storages_are_is_known(self):
        node, storage = Node.objects.get(), Storage.objects.get(name="local-lvm")

        assert node.memory_bytes > node.memory_used_bytes > 0
        assert node.processors > 0
        assert storage.total_bytes >= storage.available_bytes > 0

    def test_of_a_node_that_is_away_nobody_knows_how_full_it_is(self, fault):
        fault(action="node-down")
        reconcile.reconcile()

        assert Node.objects.get().memory_bytes is None

    def test_a_node_that_goes_away_is_told_once_and_again_when_it_is_back(self, fault, connected):
        fault(action="node-down")
        reconcile.reconcile()
        reconcile.reconcile()
        assert not Node.objects.get().online

        clear(connected)
        reconcile.reconcile()

        kinds = Event.objects.filter(subject="node:embedded").order_by("pk").values_list("kind", flat=True)
        assert list(kinds) == ["node.away", "node.back"]


class TestPower:
    def test_guests_of_a_node_that_is_away_are_unknown_since_then(self, spawned, fault):
        machine = spawned()
        observe.observe()
        fault(action="node-down")

        changed = observe.observe().changed

        guest = fresh(machine.guest)
        assert guest in changed
        assert guest.power == Guest.Power.UNKNOWN
        assert timezone.now() - guest.power_since < timedelta(seconds=30)

    def test_when_nothing_answers_they_are_unknown_since_they_were_last_seen(
        self, spawned, settings, monkeypatch
    ):
        machine = spawned()
        observe.observe()
        seen = timezone.now() - timedelta(minutes=5)
        Guest.objects.update(observed_at=seen)
        elsewhere(settings, monkeypatch)

        observe.observe()

        guest = fresh(machine.guest)
        assert (guest.power, guest.power_since) == (Guest.Power.UNKNOWN, seen)

    def test_a_short_silence_changes_nothing(self, spawned, settings, monkeypatch):
        machine = spawned()
        observe.observe()
        elsewhere(settings, monkeypatch)

        assert observe.observe().changed == []
        assert fresh(machine.guest).power == Guest.Power.RUNNING


class TestDrift:
    def test_a_vm_that_is_as_we_left_it_has_none(self, spawned):
        machine = spawned()
        reconcile.reconcile()

        assert fresh(machine.guest).drift == []

    def test_a_lost_tag_is_told_once_with_the_command_that_mends_it(self, spawned):
        machine = spawned()
        driver().configure(machine.guest.vm, {"tags": "something"})

        reconcile.reconcile()
        reconcile.reconcile()

        (sentence,) = fresh(machine.guest).drift
        assert f"qm set {machine.guest.vmid} --tags autovibe" in sentence
        assert Event.objects.filter(kind="guest.drifted").count() == 1

    def test_a_vm_that_is_gone_is_told(self, spawned):
        machine = spawned()
        finish(driver().stop(machine.guest.vm))
        finish(driver().destroy(machine.guest.vm))

        reconcile.reconcile()

        assert fresh(machine.guest).drift == [f"VM {machine.guest.vmid} is not there any more."]

    def test_a_node_that_is_away_is_no_sign_of_any(self, spawned, fault):
        machine = spawned()
        fault(action="node-down")

        reconcile.reconcile()

        assert fresh(machine.guest).drift == []

    def test_a_stale_lock_is_told_with_the_command(self, spawned, fault):
        machine = spawned()
        fault(action="lock", vmid=machine.guest.vmid, lock="rollback")
        observe.observe()
        Guest.objects.update(lock_since=timezone.now() - timedelta(minutes=2))

        reconcile.reconcile()

        (sentence,) = fresh(machine.guest).drift
        assert f"qm unlock {machine.guest.vmid}" in sentence

    def test_it_is_forgotten_when_it_is_as_it_was(self, spawned):
        machine = spawned()
        driver().configure(machine.guest.vm, {"tags": "something"})
        reconcile.reconcile()
        driver().configure(machine.guest.vm, {"tags": "autovibe"})

        reconcile.reconcile()

        assert fresh(machine.guest).drift == []

    def test_a_checkpoint_whose_snapshot_is_gone_is_broken(self, spawned, ended):
        machine = ended(spawned())
        final = Checkpoint.objects.get(pk=machine.present_id)
        checkpoints.reconcile()
        assert Checkpoint.objects.get(pk=final.pk).usable
        finish(driver().delete_snapshot(machine.guest.vm, final.snapshot))

        checkpoints.reconcile()

        final.refresh_from_db()
        assert final.state == "broken"
        assert "somebody has deleted it in Proxmox" in final.error


class TestAdoption:
    def test_a_template_that_is_being_built_tells_of_itself(self, spawned):
        guest = spawned().guest
        Guest.objects.filter(pk=guest.pk).update(state=State.ALLOCATED, project=None)

        reconcile.reconcile()

        assert fresh(guest).state == State.ALLOCATED

    def test_a_clone_that_nobody_told_of_is_adopted_by_its_id(self, spawned):
        guest = spawned().guest
        Guest.objects.filter(pk=guest.pk).update(state=State.ALLOCATED)

        reconcile.reconcile()

        assert fresh(guest).state == State.PRESENT
        assert Event.objects.filter(kind="guest.adopted", subject=guest.subject).exists()


class TestStrays:
    """VMs that carry our mark, or are in our pool, and are nobody's."""

    @pytest.fixture
    def make(self, connected):
        def make(vmid: int, description: str) -> None:
            clone = Clone(VM("embedded", 9000), "", VM("embedded", vmid), f"s{vmid}", description, "autovibe")
            finish(driver().clone(clone))

        return make

    def test_they_are_shown_and_not_touched(self, make):
        make(77001, "somebody's")

        reconcile.reconcile()
        assert not Stray.objects.to_be_shown()
        reconcile.reconcile()

        stray = Stray.objects.to_be_shown().get()
        assert (stray.vmid, stray.name, stray.node) == (77001, "s77001", "embedded")
        assert driver().locate(77001) == "embedded"

    def test_one_that_proves_to_be_from_here_is_destroyed_on_request(self, make, carry, alice, project):
        owner = "11111111-2222-4333-8444-555555555555"
        make(77002, f"autovibe machine m99 of project {project.slug}\n{owner}")
        reconcile.reconcile()

        guest = strays.destroy(Stray.objects.get(vmid=77002), by=alice)
        carry(Operation.objects.get(subject=guest.subject))

        assert fresh(guest).state == State.GONE
        assert driver().locate(77002) == ""

    def test_one_without_a_proof_is_left_to_an_operator_with_the_command(self, make, alice):
        make(77003, "a colleague's experiment")
        reconcile.reconcile()

        with pytest.raises(Conflict, match="qm destroy 77003"):
            strays.destroy(Stray.objects.get(vmid=77003), by=alice)

    def test_a_copy_of_a_living_vm_is_never_taken_for_it(self, spawned, alice):
        guest = spawned().guest
        target = VM("embedded", 77006)
        description = driver().config(guest.vm)["description"]
        finish(driver().clone(Clone(guest.vm, "", target, "copy", description, "autovibe", full=True)))
        reconcile.reconcile()

        stray = Stray.objects.get(vmid=77006)
        assert stray.why == f"It is a copy of VM {guest.vmid} that was made by hand."
        with pytest.raises(Conflict, match="qm destroy 77006"):
            strays.destroy(stray, by=alice)
        assert fresh(guest).state == State.PRESENT

    def test_one_whose_number_a_guest_of_ours_has_had_is_left_to_an_operator(self, make, alice, project):
        Guest.objects.create(project=project, vmid=77007, node="embedded", state=State.GONE, power="absent")
        make(77007, f"of project {project.slug}\n11111111-2222-4333-8444-555555555557")
        reconcile.reconcile()

        with pytest.raises(Conflict, match="qm destroy 77007"):
            strays.destroy(Stray.objects.get(vmid=77007), by=alice)

    def test_they_are_not_forgotten_while_their_node_is_away(self, make, fault, alice):
        make(77008, "a colleague's experiment")
        reconcile.reconcile()
        strays.ignore(Stray.objects.get(vmid=77008), by=alice)
        fault(action="node-down")

        reconcile.reconcile()

        assert Stray.objects.get(vmid=77008).ignored_by == "alice"

    def test_one_that_is_to_be_left_alone_is_not_mentioned_again(self, make, alice):
        make(77005, "a colleague's experiment")
        reconcile.reconcile()
        strays.ignore(Stray.objects.get(vmid=77005), by=alice)

        reconcile.reconcile()

        assert not Stray.objects.to_be_shown().filter(vmid=77005).exists()

    def test_one_that_is_gone_is_forgotten(self, make, connected):
        make(77004, "short-lived")
        reconcile.reconcile()
        driver().configure(VM("embedded", 77004), {"tags": "autovibe", "description": "x"})
        finish(driver().destroy(VM("embedded", 77004, "x")))

        reconcile.reconcile()

        assert not Stray.objects.filter(vmid=77004).exists()


class TestStuckLock:
    """A task died and left its lock: no API token can remove it."""

    @pytest.fixture
    def stuck(self, spawned, carry, fault, alice) -> Operation:
        machine = spawned()
        fault(action="lock", vmid=machine.guest.vmid, lock="snapshot-delete")
        checkpoint = actions.checkpoint(machine, by=alice)
        operation = Operation.objects.get(arguments__checkpoint=str(checkpoint.id))
        while operation.step != "snapshot" or operation.status != Status.WAITING or operation.upid:
            carry(operation, until=(Status.WAITING,))
        Operation.objects.filter(pk=operation.pk).update(step_began_at=timezone.now() - timedelta(minutes=2))
        return carry(operation, until=(Status.NEEDS_OPERATOR,))

    def test_it_is_said_what_to_do(self, stuck):
        vmid = Checkpoint.objects.get(pk=stuck.arguments["checkpoint"]).guest.vmid
        assert stuck.error == (
            f"VM {vmid} is locked (snapshot-delete) and no task works on it. "
            f"On node embedded run: qm unlock {vmid}"
        )

    def test_it_goes_on_by_itself_once_that_was_done(self, stuck, carry, fault):
        checkpoint = Checkpoint.objects.get(pk=stuck.arguments["checkpoint"])
        fault(action="unlock", vmid=checkpoint.guest.vmid)
        Operation.objects.filter(pk=stuck.pk).update(resume_at=timezone.now())

        carry(stuck)

        checkpoint.refresh_from_db()
        assert (stuck.status, checkpoint.state) == (Status.SUCCEEDED, "captured")


def clear(node) -> None:
    requests.delete(f"{node.url}/fault", headers=node.headers, timeout=5)


def elsewhere(settings, monkeypatch) -> None:
    """The cluster does not answer any more."""
    settings.PROXMOX_URL = "http://127.0.0.1:9"
    monkeypatch.setattr(connect, "_local", threading.local())
