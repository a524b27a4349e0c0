"""Locks that live work holds are waited for; those that a dead task left are told with the command."""

import itertools

import pytest

from guests import locks, work
from guests.models import Guest
from proxmox.connect import driver
from proxmox.driver import VM, Clone

NUMBERS = itertools.count(78_001)


@pytest.fixture
def target(connected, project) -> Guest:
    return Guest.objects.create(project=project, vmid=next(NUMBERS), node="embedded")


def clone(target: Guest) -> str | None:
    driver().ensure_pool("autovibe")
    return driver().clone(Clone(VM("embedded", 9000), "", target.vm, "t", str(target.id), "autovibe"))


def finish(upid):
    while upid and not driver().tasks([upid])[0].result:
        pass


class TestBlocked:
    def test_a_vm_that_is_still_being_cloned_is_not_given_up(self, target, fault):
        fault(match="POST */clone", action="slow-task", seconds=1)
        upid = clone(target)
        while target.vmid not in {one.vmid for one in driver().inventory()}:
            assert not driver().tasks([upid])[0].result, "it is there while it is being made"

        assert locks.blocked(target) == ""
        finish(upid)

    def test_a_clone_whose_worker_died_is_told_with_the_commands(self, target, fault):
        fault(match="POST */clone", action="kill-task")
        finish(clone(target))

        assert locks.blocked(target).endswith(
            f"On node embedded run: qm unlock {target.vmid} && qm destroy {target.vmid}"
        )
        fault(action="unlock", vmid=target.vmid)

    def test_a_backup_of_several_vms_holds_a_lock_though_it_is_named_after_none(self, spawned, fault):
        guest = spawned().guest
        fault(match="POST */vzdump", action="slow-task", seconds=1)
        upid = driver()._http.change(
            "post", "nodes/embedded/vzdump", vmid=f"9000,{guest.vmid}", storage="local", mode="snapshot"
        )
        fault(action="lock", vmid=guest.vmid, lock="backup")

        assert locks.blocked(guest) == ""
        finish(upid)
        fault(action="lock", vmid=guest.vmid, lock="backup")
        assert f"qm unlock {guest.vmid}" in locks.blocked(guest)

    def test_who_may_not_see_the_tasks_of_others_is_told_to_look(self, target):
        sentence = locks.unlocking(target, "backup", surely=False)

        assert (
            "If nobody else's does (see its task list in Proxmox), on node embedded run: qm unlock"
            in sentence
        )


class TestIsGone:
    def test_only_proxmox_itself_is_believed(self, spawned):
        guest = spawned().guest

        assert not work.is_gone(guest)
        assert work.is_gone(Guest(project=guest.project, vmid=78999, node="embedded"))
