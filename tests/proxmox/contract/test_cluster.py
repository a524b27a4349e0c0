"""The contract: what is told of the cluster."""

import re
import time

import pytest

from proxmox import errors
from proxmox.driver import VM, Power
from tests.proxmox.contract.target import POOL, TEMPLATE


def seen(driver, vm):
    return next((one for one in driver.inventory() if one.vmid == vm.vmid), None)


class TestCluster:
    def test_its_version_is_one_that_is_supported(self, driver):
        assert re.match(r"[89]\.\d+", driver.version())

    def test_it_can_decide(self, driver):
        assert driver.quorate()

    def test_the_templates_node_is_there_and_has_numbers(self, driver, target):
        node = next(one for one in driver.nodes() if one.name == target.node)

        assert node.online
        assert node.processors > 0
        assert 0 < node.memory_used_bytes < node.memory_bytes
        assert 0 <= node.cpu <= 1

    def test_the_tokens_privileges_are_told_by_path(self, driver):
        held = driver.permissions()

        assert any("VM.Allocate" in privileges for privileges in held.values())
        assert all(path.startswith("/") for path in held)

    def test_a_pool_that_is_there_is_no_error(self, driver):
        driver.ensure_pool(POOL)
        driver.ensure_pool(POOL)

    def test_the_templates_storage_can_hold_disks(self, target):
        assert "images" in target.storage.content
        assert target.storage.active
        assert 0 < target.storage.available_bytes <= target.storage.total_bytes


class TestInventory:
    def test_the_template_is_in_it(self, driver, target):
        template = seen(driver, target.template)

        assert (template.node, template.template, template.power) == (target.node, True, Power.STOPPED)

    def test_a_vm_of_ours_is_in_it_with_pool_tags_and_size(self, driver, off):
        found = seen(driver, off)

        assert found.tags == {"autovibe"}
        assert found.pool == POOL
        assert found.disk_bytes > 0

    def test_a_running_one_is_told_as_it_is(self, driver, target, running):
        # Statistics are up to 10 s old (pvestatd).
        deadline = time.monotonic() + target.seconds
        while (found := seen(driver, running)).power != Power.RUNNING and time.monotonic() < deadline:
            time.sleep(0.2)

        assert (found.power, found.name) == (Power.RUNNING, f"contract-{running.vmid}")

    def test_a_vm_can_be_located(self, driver, target, off):
        assert driver.locate(off.vmid) == target.node
        assert driver.locate(TEMPLATE) == target.node
        assert driver.locate(999_999_998) == ""

    def test_a_vm_that_nobody_has_is_missing(self, driver, target):
        nobody = VM(target.node, 999_999_998, target.owner)

        for ask in (driver.observe, driver.config, driver.destroy, driver.stop):
            with pytest.raises(errors.Missing):
                ask(nobody)
