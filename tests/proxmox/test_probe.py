"""The probe: a VM made from the template, used and measured, and gone afterwards whatever happened."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxmox import errors
from proxmox.diagnosis import probe
from proxmox.diagnosis.case import Case
from proxmox.diagnosis.findings import Finding, Status
from proxmox.diagnosis.scratch import Scratch
from proxmox.driver import VM, Driver
from tests.node_process import start_node
from tests.proxmox.conftest import TEMPLATE, Api
from tests.proxmox.scripted import Answer, free_port, scripted
from tests.proxmox.test_diagnosis import of
from tests.proxmox.test_node_access import made
from tests.proxmox.test_node_power import until

STEPS = ["Clone", "Start", "Agent", "Python", "Gateway from inside", "Snapshot", "Clean-up"]


def vmids(api: Api) -> set[int]:
    return {int(row["vmid"]) for row in api.get("qemu")}


class TestProbe:
    def test_it_uses_a_vm_as_a_machine_would_and_removes_it(self, node, api):
        told: list[Finding] = []
        before = vmids(api)

        with scripted(lambda asked: Answer(status=503)) as gateway:
            probe.probe(of(node, gateway_url=gateway.url), 10_001, told.append)

        assert [finding.name for finding in told] == STEPS
        assert {finding.status for finding in told} == {Status.OK}, told
        assert all(" s: " in finding.sentence for finding in told[:-1])
        assert [asked.path for asked in gateway.asked] == ["/healthz"]
        assert vmids(api) == before

    def test_a_gateway_that_guests_cannot_reach_is_told_and_the_rest_still_measured(self, node, api):
        told: list[Finding] = []

        probe.probe(of(node, gateway_url=f"http://127.0.0.1:{free_port()}"), 10_002, told.append)

        lacking = [finding for finding in told if finding.status != Status.OK]
        assert [finding.name for finding in lacking] == ["Gateway from inside"]
        assert "refused" in lacking[0].sentence
        assert lacking[0].commands
        assert told[-2].name == "Snapshot"

    def test_an_agent_that_does_not_answer_ends_it(self, tmp_path):
        told: list[Finding] = []
        with start_node(tmp_path, boot_seconds=30) as slow:
            api = Api(slow)
            before = vmids(api)
            probe.probe(of(slow), 10_003, told.append, agent_seconds=0.5)

            assert vmids(api) == before
        assert [finding.name for finding in told] == ["Clone", "Start", "Agent", "Clean-up"]
        assert told[2].status == Status.MISSING
        assert "qemu-guest-agent" in told[2].commands[0]

    def test_a_guest_that_boots_is_asked_for_its_agent_every_other_second_at_most(self, node, api):
        why = "QEMU guest agent is not running"
        api.fault(action="fail", match="POST */agent/ping", times=2, status=500, reason=why)
        told: list[Finding] = []

        probe.probe(of(node), 10_006, told.append)

        assert told[2].status == Status.OK
        assert float(told[2].sentence.partition(" s")[0]) >= 4

    def test_a_number_that_is_taken_is_left_alone(self, node, api):
        api.clone(10_004, name="payroll")
        told: list[Finding] = []

        probe.probe(of(node), 10_004, told.append)

        assert [(finding.name, finding.status) for finding in told] == [("Clone", Status.MISSING)]
        assert 10_004 in vmids(api)

    @pytest.mark.parametrize("step", STEPS[:-1])
    def test_interrupted_anywhere_it_still_removes_the_vm(self, node, api, step):
        before = vmids(api)

        def interrupt(finding: Finding) -> None:
            if finding.name == step:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            probe.probe(of(node), 10_010 + STEPS.index(step), interrupt)

        assert vmids(api) == before

    def test_without_a_template_nothing_is_asked(self, node, api):
        told: list[Finding] = []

        probe.probe(of(node, template=9999), 10_005, told.append)

        assert [(finding.name, finding.status) for finding in told] == [("Template", Status.MISSING)]


def test_a_clone_whose_answer_was_lost_is_looked_for_and_removed(node, api):
    api.fault(action="drop", match="POST */clone")
    told: list[Finding] = []
    before = vmids(api)

    probe.probe(of(node), 10_020, told.append)

    assert [(finding.name, finding.status) for finding in told] == [
        ("Clone", Status.MISSING),
        ("Clean-up", Status.OK),
    ]
    assert vmids(api) == before


def test_a_clone_under_way_is_waited_for_by_who_may_see_it_in_its_pool_only(tmp_path):
    with start_node(tmp_path, faults=True, boot_seconds=0) as node:
        api, somebody = Api(node), made(Api(node), 1, privsep=0)
        api.post("/pools", poolid="autovibe")
        (template,) = Case(of(node)).driver.inventory()
        somebody.granted("/pool/autovibe", "PVEVMAdmin", "PVEPoolUser")
        somebody.granted(f"/vms/{TEMPLATE}", "PVETemplateUser")
        somebody.granted("/storage", "PVEDatastoreUser")
        somebody.granted("/sdn/zones/localnetwork", "PVESDNUser")
        token = str(somebody.api._session.headers["Authorization"]).removeprefix("PVEAPIToken=")
        driver = Case(of(node, token=token)).driver
        scratch = Scratch(driver, VM(template.node, template.vmid), 10_001, pool="autovibe")
        api.fault(action="slow-task", match="POST */clone", seconds=1)
        # Neither while it is made nor when it is removed one hears of the task's end.
        api.fault(action="fail", match="GET */tasks/*/status", times=2, status=400, reason="not now")

        with pytest.raises(errors.Refused, match="not now"):
            scratch.make()

        assert scratch.remove()
        assert vmids(api) == {TEMPLATE}


class TestALockedVM:
    """On 9.2 a VM that was off for a moment is locked for a while, by `qm cleanup`."""

    @pytest.fixture
    def driver(self, tmp_path: Path) -> Iterator[Driver]:
        with start_node(tmp_path, boot_seconds=0, lock_seconds=0.2, cleanup_seconds=1.5) as node:
            yield Case(of(node)).driver

    @pytest.fixture
    def scratch(self, driver: Driver) -> Scratch:
        """A VM that has just come back."""
        (template,) = driver.inventory()
        scratch = Scratch(driver, VM(template.node, template.vmid), 10_001, pool="autovibe")
        scratch.make()
        for change in (driver.start, driver.stop, driver.start):
            scratch.wait(change(scratch.vm))
        until(lambda: self.is_locked(driver, scratch.vm))
        return scratch

    def is_locked(self, driver: Driver, vm: VM) -> bool:
        try:
            driver.configure(vm, {"onboot": 0})
        except errors.Transient:
            return True
        return False

    def test_is_removed_when_it_is_free(self, driver: Driver, scratch: Scratch) -> None:
        assert scratch.remove()
        with pytest.raises(errors.Missing):
            driver.config(scratch.vm)

    def test_has_a_snapshot_taken_when_it_is_free(self, driver: Driver, scratch: Scratch) -> None:
        scratch.snapshot("check", "")
        assert [snapshot.name for snapshot in driver.snapshots(scratch.vm)] == ["check"]
