"""The contract: VMs are made, configured, switched and removed."""

import pytest

from proxmox import errors
from proxmox.driver import MARK, VM, Power
from tests.proxmox.contract.target import POOL


class TestMaking:
    def test_a_clone_has_the_name_and_description_that_were_asked_for(self, driver, target, off):
        config = driver.config(off)

        assert config["name"] == f"contract-{off.vmid}"
        assert config["description"] == f"contract\n{target.owner}"
        assert driver.observe(off).power == Power.STOPPED

    def test_a_number_that_is_taken_is_told_at_once(self, driver, target, off):
        with pytest.raises(errors.Exists):
            driver.clone(target.cloning(off))

    def test_a_clone_of_a_snapshot_that_is_not_there_is_refused_at_once(self, driver, target, off):
        with pytest.raises(errors.Missing):
            driver.clone(target.cloning(target.fresh(), off, "nope", full=True))

    def test_a_vm_can_be_made_from_nothing_and_its_disk_grows(self, driver, target):
        vm = target.fresh()
        config = {"name": "nothing", "pool": POOL, "memory": 256, "scsi0": f"{target.storage.name}:1"}

        described = {"description": target.owner, "scsihw": "virtio-scsi-pci"}
        target.done(driver.create(vm, {**config, **described}))
        # Not with it: 9.2 asks for rights on the VM before that is in its pool.
        driver.configure(vm, {"tags": MARK})

        assert driver.config(vm)["scsi0"].endswith("size=1G")
        with pytest.raises(errors.Exists):
            driver.create(vm, config)

        target.done(driver.resize(vm, "scsi0", 2))
        assert driver.config(vm)["scsi0"].endswith("size=2G")


class TestConfiguration:
    def test_text_survives(self, driver, target, off):
        text = f"ünïcode – line one\nline two\n{target.owner}"

        driver.configure(off, {"description": text, "cores": 2})

        assert driver.config(off)["description"] == text
        assert driver.config(off)["cores"] == "2"

    def test_what_proxmox_does_not_know_is_refused_with_its_name(self, driver, target, off):
        with pytest.raises(errors.Refused, match="memory"):
            driver.configure(off, {"memory": 1})

    def test_what_waits_for_a_cold_start_is_told(self, driver, target, running):
        assert driver.pending(running) == set()

        driver.configure(running, {"memory": int(driver.config(running)["memory"]) + 16})
        assert driver.pending(running) == {"memory"}

        target.done(driver.stop(running))
        target.boot(running)
        assert driver.pending(running) == set()


class TestPower:
    def test_a_guest_is_frozen_and_goes_on(self, driver, target, running):
        target.done(driver.suspend(running))
        assert driver.observe(running).power == Power.PAUSED

        target.done(driver.resume(running))
        assert driver.observe(running).power == Power.RUNNING

    def test_what_runs_already_is_no_reason_to_worry(self, driver, target, running):
        assert target.failed(driver.start(running)) is errors.Exists

    def test_what_is_off_already_is_stopped_again_for_nothing(self, driver, target, off):
        target.done(driver.stop(off))
        target.done(driver.shut_down(off, 5))

        assert driver.observe(off).power == Power.STOPPED

    def test_a_guest_is_shut_down(self, driver, target):
        vm = target.boot(target.make())

        target.done(driver.shut_down(vm, 30))

        assert driver.observe(vm).power == Power.STOPPED


class TestRemoving:
    def test_what_is_removed_is_missing(self, driver, target):
        vm = target.make()

        target.done(driver.destroy(vm))

        with pytest.raises(errors.Missing):
            driver.observe(vm)
        with pytest.raises(errors.Missing):
            driver.destroy(vm)

    @pytest.mark.parametrize("act", ["destroy", "stop", "make_template", "console"])
    def test_another_owners_vm_is_left_alone(self, driver, off, act):
        with pytest.raises(errors.NotOurs, match="left alone"):
            getattr(driver, act)(VM(off.node, off.vmid, "somebody-else"))

    def test_the_template_is_left_alone(self, driver, target):
        with pytest.raises(errors.NotOurs):
            driver.destroy(VM(target.node, target.template.vmid, target.owner))

    def test_a_running_vm_is_not_removed(self, driver, target, running):
        with pytest.raises(errors.Refused, match="running"):
            driver.destroy(running)
