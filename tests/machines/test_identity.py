"""Clones and restored guests become somebody of their own, and the event log has the proof before the agent starts."""

import json

import pytest

from checkpoints.models import Checkpoint
from events.models import Event
from guests import reconcile
from machines import actions
from machines.models import Machine, MachineToken
from machines.work.identity import KIND
from operations.models import Operation, Status
from proxmox.connect import driver
from tests.guests.conftest import *  # noqa: F403 (a node, and operations carried by hand)

THINGS = {"address", "clock", "host_keys", "hostname", "machine_id", "randomness", "token"}


@pytest.fixture(autouse=True)
def _known(connected, genesis):
    """The hub has looked at the cluster."""
    reconcile.reconcile()


@pytest.fixture
def taken(carry, alice):
    """A checkpoint that is taken of a machine."""

    def taken(machine: Machine) -> Checkpoint:
        checkpoint = actions.checkpoint(machine, by=alice)
        carry(Operation.objects.get(verb="checkpoint", arguments__checkpoint=str(checkpoint.id)))
        return Checkpoint.objects.select_related("guest").get(pk=checkpoint.pk)

    return taken


@pytest.fixture
def returned(carry, alice):
    """A machine that is put back to a checkpoint."""

    def returned(machine: Machine, target: Checkpoint) -> Machine:
        operation = carry(actions.rollback(machine, target, by=alice))
        assert operation.error == ""
        return Machine.objects.select_related("guest").get(pk=machine.pk)

    return returned


def proofs(machine: Machine) -> list[dict]:
    found = Event.objects.filter(subject=machine.subject, kind=KIND).order_by("id")
    return [event.data for event in found]


def read(machine: Machine, path: str) -> str:
    return driver().read(machine.guest.vm, path).decode().strip()


class TestOfAClone:
    def test_there_is_a_proof_of_each_thing(self, spawned):
        (proof,) = proofs(spawned())

        assert proof.keys() >= THINGS
        assert all(set(proof[thing]) & {"proof", "why"} for thing in THINGS)

    def test_it_is_in_the_log_before_the_agent_starts(self, spawned):
        machine = spawned()

        kinds = Event.objects.filter(subject=machine.subject).order_by("id").values_list("kind", flat=True)
        assert list(kinds)[-2:] == [KIND, "machine.running"]

    def test_it_shares_nothing_with_its_source(self, spawned, taken):
        machine = spawned()
        branch = spawned(source=taken(machine))

        assert read(machine, "/etc/machine-id") != read(branch, "/etc/machine-id")
        assert read(branch, "/etc/hostname") == branch.handle
        (proof,) = proofs(branch)
        assert proof["hostname"]["old"] == machine.handle
        assert proof["address"]["old"]["net0"] in driver().config(machine.guest.vm)["net0"]
        assert proof["address"]["new"]["net0"] in driver().config(branch.guest.vm)["net0"]
        assert proof["address"]["new"] != proof["address"]["old"]

    def test_an_address_that_its_source_has_as_well_is_replaced(
        self, spawned, carry, project, genesis, alice, fault
    ):
        source = spawned()
        # It is made, and comes back later to be marked.
        fault(match="PUT */config", action="fail", status=595, reason="Connection refused")
        branch = actions.spawn(project=project, source=genesis, type_name="shell", prompt="true", by=alice)
        operation = Operation.objects.get(subject=branch.subject)
        while carry(operation, until=(Status.WAITING,)).step != "mark":
            assert not operation.ended, operation.error
        address = driver().config(branch.guest.vm)["net0"]
        Checkpoint.objects.filter(pk=genesis.pk).update(guest=source.guest)
        driver().configure(source.guest.vm, {"net0": address})

        carry(operation)

        assert operation.error == ""
        assert proofs(branch)[-1]["address"]["new"]["net0"] not in address

    def test_the_token_of_a_source_that_still_runs_is_not_on_its_disk(self, spawned, taken):
        machine = spawned()
        settings = f"/var/lib/autovibe/runs/{machine.run}/settings.json"
        alive = json.loads(read(machine, settings))["token"]

        branch = spawned(source=taken(machine))

        assert alive not in read(branch, settings)
        assert json.loads(read(machine, settings))["token"] == alive
        assert proofs(branch)[0]["token"]["scrubbed"] > 0

    def test_no_secret_is_in_the_log(self, spawned):
        machine = spawned()
        token = json.loads(read(machine, f"/var/lib/autovibe/runs/{machine.run}/settings.json"))["token"]

        (proof,) = proofs(machine)
        assert token not in json.dumps(proof)
        assert MachineToken.digest_of(token).startswith(proof["token"]["new"])


class TestOfAMachineThatWasPutBack:
    def test_it_has_a_network_address_that_it_never_had_and_the_rest_of_its_device(
        self, spawned, taken, returned
    ):
        machine = spawned()
        target = taken(machine)
        before = driver().config(machine.guest.vm)["net0"]

        machine = returned(machine, target)

        after = driver().config(machine.guest.vm)["net0"]
        assert after != before
        assert after.partition(",")[2] == before.partition(",")[2]
        proof = proofs(machine)[-1]
        assert proof["address"]["old"]["net0"] in before
        assert proof["address"]["new"]["net0"] in after

    def test_it_is_somebody_else_each_time(self, spawned, taken, returned):
        machine = spawned()
        target = taken(machine)

        first = read(returned(machine, target), "/etc/machine-id")
        second = read(returned(Machine.objects.get(pk=machine.pk), target), "/etc/machine-id")

        assert first != second
        assert len(proofs(machine)) == 3

    def test_its_earlier_token_is_dead(self, spawned, taken, returned):
        machine = spawned()
        before = set(MachineToken.objects.filter(machine=machine).values_list("pk", flat=True))

        machine = returned(machine, taken(machine))

        assert not MachineToken.objects.filter(pk__in=before, revoked_at=None).exists()
        assert MachineToken.objects.filter(machine=machine, revoked_at=None).count() == 1


class TestOfAMachineThatIsOnlyResumed:
    def test_it_stays_who_it_was(self, spawned, carry, alice):
        machine = spawned()
        before = read(machine, "/etc/machine-id")
        carry(actions.pause(machine, by=alice))
        machine.refresh_from_db()

        carry(actions.resume(machine, by=alice))

        assert read(machine, "/etc/machine-id") == before
        assert len(proofs(machine)) == 1
