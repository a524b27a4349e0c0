"""Every request that the driver can send is one that Proxmox VE 8.4 and 9.2 take, by their own schemas.

A walk through everything that the driver can do, on an embedded node, with a recorder where requests leave.
"""

from pathlib import Path

import pytest
import requests

from proxmox import errors
from proxmox.driver import MARK, VM, Policy, Rule
from proxmox.pve import PveDriver
from tests.proxmox.contract.target import POOL, Target, target_named
from tests.proxmox.recorder import form, read, recording
from tests.proxmox.schema import validator
from tests.proxmox.scripted import Answer, scripted

ENDPOINTS = sorted(validator.schema("9.2"))


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The endpoints that the walk has called."""
    with recording() as endpoints, target_named("lvmthin 9.2", tmp_path_factory.mktemp("node")) as target:
        for part in (_cluster, _machine, _guest, _images, _backup, _network, _forbidden):
            part(target)
    return endpoints


def _cluster(target: Target) -> None:
    driver = target.driver
    driver.version()
    driver.quorate()
    driver.nodes()
    driver.permissions()
    driver.inventory()
    driver.storages()


def _machine(target: Target) -> None:
    driver, vm = target.driver, target.make()
    driver.configure(vm, {"cores": 2, "memory": 512, "agent": 1})
    driver.pending(vm)
    driver.supports(vm, "snapshot")
    for name in ("c1", "c2"):
        target.done(driver.snapshot(vm, name, "why"))
    target.done(driver.snapshot(vm, "c3", "why", ram=True))
    target.done(driver.delete_snapshot(vm, "c3"))
    driver.snapshots(vm)
    target.done(driver.rollback(vm, "c2"))
    target.done(driver.delete_snapshot(vm, "c2"))
    driver.supports(vm, "clone", "c1")
    target.make(vm, "c1")
    target.make(vm, "c1", full=True)
    driver.running_task(vm)
    driver.find_task(vm.node, "qmsnapshot", vm.vmid, 0)
    stops = [str(driver.stop(vm)) for _ in range(3)]
    driver.tasks(stops)
    driver.task_log(stops[0])
    target.done(driver.delete_snapshot(vm, "c1"))
    target.done(driver.make_template(vm))


def _guest(target: Target) -> None:
    driver, vm = target.driver, target.boot(target.make())
    driver.inventory()
    driver.observe(vm)
    driver.run(vm, "true")
    driver.put(vm, "/root/x", b"x")
    driver.read(vm, "/root/x")
    target.done(driver.suspend(vm))
    target.done(driver.resume(vm))
    driver.history(vm)
    driver.console(vm)
    target.done(driver.shut_down(vm, 10))


def _images(target: Target) -> None:
    driver, node = target.driver, target.node
    storage = next(one.name for one in driver.storages() if "iso" in one.content)
    target.done(driver.upload(node, storage, "seed.iso", b"\0" * 2048))
    with scripted(lambda asked: Answer(body="an image")) as server:
        target.ended(
            driver.download(node, storage, f"{server.url}/b.iso", "b.iso", content="iso", sha512="0" * 128)
        )
    for volume in driver.volumes(node, storage, "iso"):
        target.done(driver.delete_volume(node, volume))
    vm = target.fresh()
    config = {
        "scsi0": f"{target.storage.name}:1",
        "net0": "virtio,bridge=vmbr0",
        "serial0": "socket",
        "agent": 1,
    }
    target.done(
        driver.create(vm, {**config, "tags": MARK, "description": target.owner, "boot": "order=scsi0"})
    )
    target.done(driver.resize(vm, "scsi0", 2))


def _backup(target: Target) -> None:
    driver, vm = target.driver, target.make()
    storage = next(one.name for one in driver.storages() if "backup" in one.content)
    target.done(driver.back_up(vm, storage, "why"))
    (backup,) = driver.backups(target.node, storage, vm.vmid)
    driver.annotate_backup(target.node, backup.volume, notes="kept", protected=False)
    target.done(driver.restore(backup.volume, target.fresh(), name="r", description=target.owner, pool=POOL))


def _network(target: Target) -> None:
    driver, vm = target.driver, target.make()
    rules = (Rule("out", "ACCEPT", "+known", "tcp", "443", "why"), Rule("in", "DROP", "192.0.2.0/24"))
    driver.protect(vm, Policy("DROP", "DROP", rules, {"known": frozenset({"192.0.2.1", "10.0.0.0/8"})}))
    driver.protect(vm, Policy("DROP", "DROP", rules[:1], {"known": frozenset({"192.0.2.1"})}))
    driver.protect(vm, Policy("ACCEPT", "ACCEPT"))
    driver.firewall(vm)


def _forbidden(target: Target) -> None:
    """A token with rights on a pool only is forbidden what is not there; then the driver asks who has the number."""
    refusal = Answer(403, "", "Permission check failed (/vms/100, VM.Audit)")
    with (
        scripted(lambda asked: refusal if "/qemu/" in asked.path else Answer(body='{"data":[]}')) as server,
        pytest.raises(errors.Missing),
    ):
        PveDriver(server.url, "ci@pve!ci=x").config(VM("pve1", 100))


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_driver_was_seen_to_call_it_as_both_releases_take_it(called, endpoint):
    assert endpoint in called


class TestTheSchemas:
    """That the recorder would notice."""

    @pytest.mark.parametrize(
        ("method", "path", "sent", "complaint"),
        [
            ("GET", "/nodes/pve1/nope", "", "has no GET"),
            ("POST", "/pools", "", "poolid: is missing"),
            ("POST", "/pools", "poolid=a&bogus=1", "bogus: there is no such parameter"),
            ("DELETE", "/nodes/pve1/qemu/100", "purge=True", "no boolean"),
            ("DELETE", "/nodes/pve1/qemu/99", "", "vmid: 99 is out of range"),
            ("POST", "/nodes/pve1/qemu/100/clone", "newid=x", "no integer"),
            ("POST", "/nodes/pve1/qemu/100/clone", "newid=101&newid=102", "more than once"),
            ("POST", "/nodes/pve1/qemu/100/clone", "newid=101&name=a_b", "no dns-name"),
            ("POST", "/nodes/pve1/qemu/100/snapshot", "snapname=1a", "no pve-configid"),
            ("POST", "/nodes/pve1/qemu/100/snapshot", f"snapname={'a' * 41}", "41 characters"),
            ("GET", "/nodes/pve1/qemu/100/rrddata", "timeframe=century", "none of"),
            (
                "POST",
                "/nodes/pve1/storage/local/download-url",
                "content=iso&filename=x&url=x",
                "does not match",
            ),
            ("POST", "/nodes/pve1/storage/local/download-url", "checksum=x", "needs checksum-algorithm"),
            ("PUT", "/nodes/pve1/qemu/100/config", "net0=virtio,nope=1", "no key 'nope'"),
            ("PUT", "/nodes/pve1/qemu/100/config", "net99x=virtio", "no such parameter"),
            (
                "POST",
                "/nodes/pve1/qemu/100/agent/file-write",
                f"file=x&content={'a' * 61441}",
                "61441 characters",
            ),
        ],
    )
    def test_what_proxmox_would_refuse_is_noticed(self, method, path, sent, complaint):
        wrong = list(validator.complaints(method, path, form(sent) if sent else {}))

        assert any(complaint in one for one in wrong), wrong
        assert {one[:3] for one in wrong} == {"8.4", "9.2"}

    def test_a_parameter_of_one_release_alone_is_noticed(self):
        path = "/nodes/pve1/qemu/100/agent/file-read"

        assert [one[:3] for one in validator.complaints("GET", path, form("file=/x&offset=1"))] == ["8.4"]

    def test_a_slash_in_a_network_or_volume_does_not_hide_the_endpoint(self):
        for path, endpoint in (
            (
                "/nodes/n/qemu/100/firewall/ipset/a/10.0.0.0%2F8",
                "/nodes/{node}/qemu/{vmid}/firewall/ipset/{name}/{cidr}",
            ),
            ("/nodes/n/storage/s/content/s:iso/x.iso", "/nodes/{node}/storage/{storage}/content/{volume}"),
        ):
            assert validator.find("DELETE", path)[0] == f"DELETE {endpoint}"

    def test_the_name_of_an_uploaded_file_is_its_parameter(self):
        request = requests.Request(
            "POST", "http://n/api2/json/x", data={"content": "iso"}, files={"filename": ("a.iso", b"1")}
        )

        assert read(request.prepare()) == ("POST", "/x", {"content": ["iso"], "filename": ["a.iso"]})

    def test_both_releases_have_the_same_endpoints_as_the_list_they_were_distilled_by(self):
        listed = Path(validator.__file__).with_name("endpoints.txt").read_text().splitlines()

        assert sorted(listed) == ENDPOINTS == sorted(validator.schema("8.4"))
