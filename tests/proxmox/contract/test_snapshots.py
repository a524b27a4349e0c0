"""The contract: snapshots, going back, and branching from them as the storage can."""

import pytest

from proxmox import errors
from proxmox.driver import VM, Power


class TestSnapshots:
    def test_they_are_a_tree_with_descriptions(self, driver, target):
        vm = target.make()
        assert driver.snapshots(vm) == []

        target.done(driver.snapshot(vm, "c1", "first\nsecond line"))
        target.done(driver.snapshot(vm, "c2", ""))

        first, second = sorted(driver.snapshots(vm), key=lambda one: one.name)
        assert (first.parent, first.description, first.complete) == ("", "first\nsecond line", True)
        assert (second.parent, second.complete) == ("c1", True)

    def test_a_name_is_used_once(self, driver, target):
        vm = target.make()
        target.done(driver.snapshot(vm, "c1", ""))

        assert target.failed(driver.snapshot(vm, "c1", "")) is errors.Exists

    def test_one_that_is_not_there_is_missing(self, driver, target, off):
        assert target.failed(driver.delete_snapshot(off, "nope")) is errors.Missing
        assert target.failed(driver.rollback(off, "nope")) is errors.Missing

    def test_forgetting_one_makes_its_parent_the_parent_of_its_children(self, driver, target):
        vm = target.make()
        for name in ("c1", "c2", "c3"):
            target.done(driver.snapshot(vm, name, ""))

        target.done(driver.delete_snapshot(vm, "c2"))

        assert {one.name: one.parent for one in driver.snapshots(vm)} == {"c1": "", "c3": "c1"}

    def test_going_back_restores_the_configuration_too(self, driver, target):
        vm = target.make()
        driver.configure(vm, {"cores": 1})
        target.done(driver.snapshot(vm, "c1", ""))
        driver.configure(vm, {"cores": 2})

        target.done(driver.rollback(vm, "c1"))

        assert driver.config(vm)["cores"] == "1"

    def test_going_back_to_an_older_one_is_what_the_storage_says(self, driver, target):
        vm = target.make()
        for name in ("c1", "c2"):
            target.done(driver.snapshot(vm, name, ""))

        if target.newest_only:
            assert target.failed(driver.rollback(vm, "c1")) is errors.Unsupported
            target.done(driver.delete_snapshot(vm, "c2"))
        target.done(driver.rollback(vm, "c1"))

    def test_a_strangers_are_left_alone(self, driver, off):
        stranger = VM(off.node, off.vmid, "somebody-else")

        for act in (driver.delete_snapshot, driver.rollback, lambda vm, name: driver.snapshot(vm, name, "")):
            with pytest.raises(errors.NotOurs):
                act(stranger, "c1")

    def test_a_running_guest_goes_back_to_the_files_of_then(self, driver, target):
        vm = target.boot(target.make())
        driver.put(vm, "/root/contract", b"then")
        target.done(driver.snapshot(vm, "c1", ""))
        driver.put(vm, "/root/contract", b"now")

        target.done(driver.stop(vm))
        target.done(driver.rollback(vm, "c1"))
        assert driver.observe(vm).power == Power.STOPPED

        target.boot(vm)
        assert driver.read(vm, "/root/contract") == b"then"


class TestBranching:
    def test_what_is_told_beforehand_is_what_happens(self, driver, target):
        """`supports` decides how a branch is made; it must not promise too much or too little."""
        vm = target.make()
        target.done(driver.snapshot(vm, "c1", ""))

        for feature, full in (("clone", False), ("copy", True)):
            branch = target.fresh()
            if driver.supports(vm, feature, "c1"):
                target.done(driver.clone(target.cloning(branch, vm, "c1", full=full)))
                assert driver.snapshots(branch) == []
            else:
                with pytest.raises(errors.Unsupported):
                    driver.clone(target.cloning(branch, vm, "c1", full=full))

    def test_a_template_is_cloned_whatever_the_storage(self, driver, target):
        vm = target.make()

        target.done(driver.make_template(vm))
        assert driver.observe(vm).template

        target.make(vm)

    def test_a_vm_with_snapshots_becomes_no_template(self, driver, target):
        vm = target.make()
        target.done(driver.snapshot(vm, "c1", ""))

        with pytest.raises(errors.Unsupported):
            target.done(driver.make_template(vm))
