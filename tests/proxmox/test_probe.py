"""The probe: a VM made from the template, used and measured, and gone afterwards whatever happened."""

import pytest

from proxmox.diagnosis import probe
from proxmox.diagnosis.findings import Finding, Status
from tests.node_process import start_node
from tests.proxmox.conftest import Api
from tests.proxmox.scripted import Answer, free_port, scripted
from tests.proxmox.test_diagnosis import of

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
