"""The driver and a cluster whose statistics are missing or old: what it believes, and what it looks at itself."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from proxmox.driver import VM, Power
from proxmox.pve import PveDriver
from tests.node_process import start_node
from tests.proxmox.recorder import checked  # noqa: F401
from tests.proxmox.scripted import Answer, Asked, Script, Server, scripted

pytestmark = pytest.mark.usefixtures("checked")

# A node whose statistics are missing has a name and this state; one that is away is called `offline`.
NODES = [
    {"node": "busy", "status": "online", "maxcpu": 8},
    {"node": "booted", "status": "unknown"},
    {"node": "idle", "status": "online", "maxcpu": 8},
    {"node": "gone", "status": "offline"},
]
SAID = {"type": "qemu", "template": 0}
RESOURCES = [
    SAID | {"node": "busy", "vmid": 101, "status": "running", "name": "m101"},
    SAID | {"node": "busy", "vmid": 102, "status": "stopped", "name": "m102"},
    {"type": "qemu", "node": "booted", "vmid": 201, "status": "unknown"},
    {"type": "qemu", "node": "booted", "vmid": 202, "status": "unknown"},
    SAID | {"node": "idle", "vmid": 301, "status": "stopped", "name": "m301"},
    {"type": "qemu", "node": "gone", "vmid": 401, "status": "unknown"},
]
LISTS = {
    "busy": [
        {"vmid": 101, "status": "running", "qmpstatus": "paused"},
        {"vmid": 102, "status": "running", "qmpstatus": "running"},
    ],
    "booted": [
        {"vmid": 201, "status": "running", "qmpstatus": "running", "name": "m201"},
        {"vmid": 202, "status": "stopped", "qmpstatus": "stopped", "name": "base", "template": 1},
    ],
}


def cluster(resources: list[dict[str, Any]]) -> Script:
    """A cluster that tells those of its VMs."""

    def answer(asked: Asked) -> Answer:
        path, _, _ = asked.path.removeprefix("/api2/json/").partition("?")
        node = path.split("/")[1] if path.startswith("nodes/") else ""
        answers: dict[str, Any] = {
            "nodes": NODES,
            "cluster/resources": resources,
            "storage": [],
            f"nodes/{node}/qemu": LISTS.get(node),
            f"nodes/{node}/storage": [{"storage": "local", "type": "dir"}],
        }
        return Answer(body=json.dumps({"data": answers[path]}))

    return answer


@pytest.fixture
def server() -> Iterator[Server]:
    with scripted(cluster(RESOURCES)) as server:
        yield server


@pytest.fixture
def driver(server: Server) -> PveDriver:
    return PveDriver(server.url, "a@pve!b=c")


def lists(server: Server) -> list[str]:
    """The nodes whose own lists were asked for."""
    return sorted(asked.path.split("/")[4] for asked in server.asked if "/qemu" in asked.path)


class TestANodeWithoutStatistics:
    def test_it_is_there_and_only_one_that_is_away_is_not(self, driver):
        online = {node.name: node.online for node in driver.nodes()}

        assert online == {"busy": True, "booted": True, "idle": True, "gone": False}

    def test_its_storages_are_told(self, driver, server):
        assert {storage.node for storage in driver.storages()} == {"busy", "booted", "idle"}
        assert not any("gone" in asked.path for asked in server.asked)

    def test_its_vms_are_told_by_itself(self, driver):
        found = {vm.vmid: vm for vm in driver.inventory()}

        assert (found[201].power, found[201].name) == (Power.RUNNING, "m201")
        assert (found[202].power, found[202].name) == (Power.STOPPED, "base")
        assert found[202].template

    def test_one_that_is_away_is_not_asked_for_what_it_cannot_tell(self, driver, server):
        found = {vm.vmid: vm for vm in driver.inventory()}

        assert found[401].power == Power.UNKNOWN
        assert lists(server) == ["booted", "busy"]


class TestStatisticsThatAreOld:
    def test_where_something_runs_all_are_told_as_they_are(self, driver):
        found = {vm.vmid: vm.power for vm in driver.inventory()}

        assert (found[101], found[102]) == (Power.PAUSED, Power.RUNNING)

    def test_where_everything_is_off_nothing_is_asked(self):
        off = [row for row in RESOURCES if row["node"] == "idle"]

        with scripted(cluster(off)) as server:
            assert [vm.power for vm in PveDriver(server.url, "a@pve!b=c").inventory()] == [Power.STOPPED]
            assert [asked.path for asked in server.asked] == ["/api2/json/cluster/resources?type=vm"]


def test_a_node_that_nothing_runs_on_tells_of_a_vm_that_its_statistics_do_not_know_yet(tmp_path):
    with start_node(tmp_path, staleness_seconds=600) as node:
        driver = PveDriver(node.url, node.token)
        upid = driver.create(VM(node.name, 100), {"name": "new"})
        while upid and not driver.tasks([upid])[0].result:
            time.sleep(0.02)
        (new,) = (vm for vm in driver.inventory() if vm.vmid == 100)

    assert (new.power, new.name) == (Power.STOPPED, "new")
