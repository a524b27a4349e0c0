"""The contract: backups, what is written on them, and new VMs from them."""

import re

import pytest

from proxmox import errors
from proxmox.driver import VM, Backup
from tests.proxmox.contract.target import POOL


@pytest.fixture(scope="module")
def storage(target):
    """A storage for backups that the template's node has."""
    for one in target.driver.storages():
        if "backup" in one.content and one.node == target.node and one.active:
            return one.name
    return pytest.skip("There is no storage for backups.")


@pytest.fixture(scope="module")
def backup(target, storage) -> Backup:
    """A backup of a VM whose cores are 3."""
    vm = target.make()
    target.driver.configure(vm, {"cores": 3})
    target.done(target.driver.back_up(vm, storage, "line one\nback\\slash"))
    (found,) = target.driver.backups(target.node, storage, vm.vmid)
    target.backups.append(found.volume)
    return found


class TestBackups:
    def test_one_is_listed_with_its_notes(self, backup, storage):
        assert backup.notes == "line one\nback\\slash"
        assert backup.volume.startswith(f"{storage}:")
        assert backup.bytes > 0
        assert backup.created_at > 1_700_000_000
        assert not backup.protected

    def test_it_can_be_protected_and_then_not_be_deleted(self, driver, target, storage, backup):
        driver.annotate_backup(target.node, backup.volume, notes="kept", protected=True)
        (found,) = driver.backups(target.node, storage, backup.vmid)
        assert (found.notes, found.protected) == ("kept", True)

        assert target.failed(driver.delete_volume(target.node, backup.volume)) is errors.Refused

        driver.annotate_backup(target.node, backup.volume, notes="kept", protected=False)

    def test_a_new_vm_is_made_from_it_with_an_identity_of_its_own(self, driver, target, backup):
        vm = target.fresh()
        text = f"restored\n{target.owner}"

        target.done(
            driver.restore(backup.volume, vm, name=f"contract-{vm.vmid}", description=text, pool=POOL)
        )

        config = driver.config(vm)
        assert (config["cores"], config["description"], config["name"]) == ("3", text, f"contract-{vm.vmid}")

    def test_a_number_that_is_taken_is_never_overwritten(self, driver, target, backup, off):
        with pytest.raises(errors.Exists):
            driver.restore(backup.volume, off, name="x", description="x", pool=POOL)

    def test_a_backup_that_is_not_there_is_missing(self, driver, target, backup):
        older = re.sub(r"\b20\d\d([-_])", r"2001\1", backup.volume)

        with pytest.raises(errors.Missing):
            driver.restore(older, target.fresh(), name="x", description="x", pool=POOL)

    def test_a_vm_that_is_on_no_node_is_not_backed_up_in_silence(self, driver, target, storage):
        with pytest.raises(errors.Missing):
            driver.back_up(VM(target.node, 999_999_998, target.owner), storage, "")

    def test_a_strangers_vm_is_left_alone(self, driver, storage, off):
        with pytest.raises(errors.NotOurs):
            driver.back_up(VM(off.node, off.vmid, "somebody-else"), storage, "")

    def test_deleting_one_that_is_gone_is_success(self, driver, target, backup):
        target.done(driver.delete_volume(target.node, backup.volume))
        target.done(driver.delete_volume(target.node, backup.volume))
