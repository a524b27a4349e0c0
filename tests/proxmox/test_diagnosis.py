"""The check of a cluster, against embedded nodes and scripted ones: what it finds, and that its commands mend it."""

import json
import shlex
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

from proxmox.diagnosis import probe, tls
from proxmox.diagnosis.check import diagnose
from proxmox.diagnosis.findings import Finding, Report, Status
from proxmox.diagnosis.setup import Setup
from tests.node_process import NodeProcess, start_node
from tests.proxmox.conftest import TEMPLATE, Api
from tests.proxmox.scripted import Answer, Asked, Script, Server, free_port, scripted

POOL = "autovibe"
TOKEN = "autovibe@pve!ci=secret"


def settings(url: str, token: str = TOKEN, **also: object) -> Setup:
    values = {
        "urls": (url,),
        "token": token,
        "pool": POOL,
        "template": TEMPLATE,
        "vmids": range(10_000, 20_000),
        "gateway_url": f"http://127.0.0.1:{free_port()}",
    }
    return Setup(**{**values, **also})  # type: ignore[arg-type]


def of(node: NodeProcess, **also: object) -> Setup:
    return settings(node.url, **{"token": node.token, **also})


def found(report: Report, name: str) -> Finding:
    """The one finding of that name, or else the one whose name begins so."""
    named = [finding for finding in report.findings if finding.name == name]
    named = named or [finding for finding in report.findings if finding.name.startswith(name)]
    assert len(named) == 1, [finding.name for finding in report.findings]
    return named[0]


@pytest.fixture
def pool(api: Api) -> Iterator[None]:
    api.post("/pools", poolid=POOL)
    yield
    api.delete("/pools", poolid=POOL)


class TestACluster:
    def test_that_is_ready_has_everything_looked_at_and_nothing_missing(self, node, api, pool):
        api.put("/cluster/firewall/options", enable=1)
        try:
            with scripted(lambda asked: Answer(status=503)) as gateway:
                report = diagnose(of(node, gateway_url=gateway.url))
        finally:
            api.put("/cluster/firewall/options", enable=0)

        assert {finding.status for finding in report.findings} == {Status.OK}, report
        assert [finding.section for finding in report.findings] == sorted(
            (finding.section for finding in report.findings),
            key=["Connection", "Cluster", "Template", "Storages", "Rights", "Network"].index,
        )
        assert report.status == Status.OK
        assert Report.read(report.plain()) == report

    def test_without_our_pool_is_told_how_to_make_it(self, node):
        finding = found(diagnose(of(node)), "Pool")

        assert finding.status == Status.WARNING  # this token may make it
        assert finding.commands == ("pveum pool add autovibe",)

    def test_with_a_vm_of_somebody_else_among_our_numbers(self, node, api):
        vmid = api.clone(10_050, name="payroll")

        finding = found(diagnose(of(node)), "VMIDs")
        assert finding.status == Status.WARNING
        assert "10050 (payroll)" in finding.sentence
        assert finding.commands == ("PROXMOX_VMID_FIRST=10051",)

        assert found(diagnose(of(node, known=frozenset({vmid}))), "VMIDs").status == Status.OK

    def test_that_has_lost_its_quorum_or_a_node(self):
        with scripted(proxmox("9.2.11", quorate=0)) as server:
            report = diagnose(settings(server.url))

        assert found(report, "Quorum").status == Status.MISSING
        assert found(report, "Quorum").commands[0] == "pvecm status"
        assert found(report, "Nodes").status == Status.WARNING
        assert "pve2 is offline" in found(report, "Nodes").sentence

    @pytest.mark.parametrize(
        ("version", "status"),
        [("7.4-3", Status.MISSING), ("8.4.21", Status.OK), ("9.2.11", Status.OK), ("10.0.1", Status.WARNING)],
    )
    def test_of_a_version_that_autovibe_does_or_does_not_know(self, version, status):
        with scripted(proxmox(version)) as server:
            assert found(diagnose(settings(server.url)), "Version").status == status


def proxmox(version: str, *, quorate: int = 1, **more: Any) -> Script:
    """A cluster of two nodes, one of them away, that answers a few questions and refuses the others."""
    answers = {
        "/version": {"version": version, "release": version[:3], "repoid": "f6997e69"},
        "/cluster/status": [{"type": "cluster", "name": "lab", "quorate": quorate, "nodes": 2}],
        "/nodes": [{"node": "pve1", "status": "online"}, {"node": "pve2", "status": "offline"}],
        "/access/permissions": {},
        "/pools": [],
        "/cluster/resources?type=vm": [],
        **more,
    }

    def script(asked: Asked) -> Answer:
        path = asked.path.removeprefix("/api2/json")
        if path in answers:
            return Answer(body=json.dumps({"data": answers[path]}))
        return Answer(status=403, reason="Permission check failed (/, Sys.Audit)")

    return script


class TestTheConnection:
    def test_a_node_that_is_down_ends_the_check(self, node):
        down = f"http://127.0.0.1:{free_port()}"
        report = diagnose(of(node, urls=(down,)))

        endpoint = found(report, "Endpoint")
        assert endpoint.status == Status.MISSING
        assert "cannot be reached from here: connection refused" in endpoint.sentence
        assert endpoint.commands == ("systemctl status pveproxy", f"curl -k {down}/api2/json/version")
        assert found(report, "Everything else").status == Status.UNKNOWN
        assert len(report.findings) == 2

    def test_a_node_that_is_down_is_a_warning_while_another_answers(self, node):
        down = f"http://127.0.0.1:{free_port()}"
        report = diagnose(of(node, urls=(down, node.url)))

        assert found(report, f"Endpoint {down}").status == Status.WARNING
        assert found(report, f"Endpoint {node.url}").status == Status.OK
        assert found(report, "Template 9000").status == Status.OK

    def test_an_address_that_is_none_is_said_at_once(self, node):
        (finding,) = diagnose(of(node, urls=("pve1:8006",))).findings

        assert finding.status == Status.MISSING
        assert "PROXMOX_URL" in finding.sentence

    def test_a_token_that_is_not_taken_is_named_without_its_secret(self, node):
        report = diagnose(of(node, token="nobody@pve!ci=guessed"))

        finding = found(report, "Token")
        assert finding.status == Status.MISSING
        assert "nobody@pve!ci" in finding.sentence
        assert finding.commands == (
            "pveum user token list nobody@pve",
            "pveum user token add nobody@pve ci --privsep 1",
            "PROXMOX_TOKEN='nobody@pve!ci=…'",
        )
        assert "guessed" not in str(report)
        assert found(report, "Everything else").status == Status.UNKNOWN


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secured(authority: trustme.CA) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with scripted(proxmox("9.2.11"), tls=context) as server:
        yield server


class TestTrust:
    def test_an_unknown_certificate_is_shown_and_nothing_is_sent_to_it(self, secured):
        secured.asked.clear()
        report = diagnose(settings(secured.url))

        finding, shown = found(report, "Endpoint"), tls.certificate_fingerprint(secured.url)
        assert finding.status == Status.MISSING
        assert "not trusted: unable to get local issuer certificate" in finding.sentence
        assert shown in finding.sentence
        assert finding.commands[1] == f"PROXMOX_FINGERPRINT={shown}"
        assert not secured.asked

    def test_pinned_as_the_check_says_it_is_trusted(self, secured):
        asked = settings(secured.url)
        (_, told) = found(diagnose(asked), "Endpoint").commands

        report = diagnose(replace(asked, fingerprint=told.partition("=")[2]))

        assert found(report, "Endpoint").status == Status.OK
        assert found(report, "Token").status == Status.OK

    def test_another_certificate_than_the_pinned_one_is_not(self, secured):
        secured.asked.clear()
        report = diagnose(settings(secured.url, fingerprint="AB:" * 31 + "AB"))

        finding = found(report, "Endpoint")
        assert finding.status == Status.MISSING
        assert finding.commands[0].startswith("openssl x509 -noout -fingerprint -sha256 -in")
        assert finding.commands[1] == f"PROXMOX_FINGERPRINT={tls.certificate_fingerprint(secured.url)}"
        assert not secured.asked

    def test_the_clusters_own_authority_can_be_trusted(self, secured, authority, tmp_path: Path):
        file = tmp_path / "pve-root-ca.pem"
        authority.cert_pem.write_to_path(file)

        report = diagnose(settings(secured.url, verify_tls=str(file)))

        assert found(report, "Endpoint").status == Status.OK

    def test_one_that_nobody_checks_is_a_warning(self, secured):
        report = diagnose(settings(secured.url, verify_tls=False))

        assert found(report, "Endpoint").status == Status.WARNING
        assert found(report, "Endpoint").commands


class TestTheTemplate:
    def test_when_there_is_none_a_command_makes_one(self, node):
        report = diagnose(of(node, template=9999))

        assert found(report, "Template").status == Status.MISSING
        assert found(report, "Template").commands == (
            "manage.py template build claude-code",
            f"PROXMOX_TEMPLATE={TEMPLATE}",
        )
        assert report.status == Status.MISSING

    def test_a_vm_that_is_none_yet_is_made_one(self, node, api):
        vmid = api.clone(120)

        finding = found(diagnose(of(node, template=vmid)), "Template")
        assert finding.status == Status.MISSING
        assert finding.commands == ("qm shutdown 120 && qm template 120",)

    def test_without_the_agent_switched_on_it_is_useless(self, node, api):
        vmid = api.clone(121)
        api.put(f"qemu/{vmid}/config", agent=0)
        api.done(api.post(f"qemu/{vmid}/template"))

        finding = found(diagnose(of(node, template=vmid)), "Guest agent")
        assert finding.status == Status.MISSING
        assert finding.commands == ("qm set 121 --agent enabled=1",)


class TestStorages:
    @pytest.mark.parametrize(
        ("personality", "name", "says", "status"),
        [
            ("lvmthin", "local-lvm", "rollback to any of them, branch by linked clone", Status.OK),
            ("qcow2", "local", "rollback to any of them, branch by full copy, backups", Status.OK),
            ("zfs", "local-zfs", "rollback to the newest only, branch by freeze-and-fork", Status.WARNING),
        ],
    )
    def test_each_says_what_it_can_do(self, tmp_path, personality, name, says, status):
        with start_node(tmp_path, storage_type=personality) as node:
            report = diagnose(of(node))
            backed = diagnose(of(node, backup_storage="local"))
            absent = diagnose(of(node, backup_storage="nas"))

        storage = next(finding for finding in report.findings if finding.name == f"Storage {name}")
        assert says in storage.sentence
        assert "It holds the template." in storage.sentence
        assert found(report, "Branching").status == status
        assert found(backed, "Branching").status == Status.OK
        if status == Status.WARNING:
            assert found(report, "Branching").commands[0] == "PROXMOX_BACKUP_STORAGE=local"
            assert found(absent, "Branching").status == Status.MISSING

    def test_that_is_nearly_full_is_told_before_it_pauses_every_vm(self, tmp_path):
        with start_node(tmp_path, free_gib=1) as node:
            storage = found(diagnose(of(node)), "Storage local-lvm")

        assert storage.status == Status.WARNING
        assert storage.sentence.startswith("1.0 of ")
        assert "too little" in storage.sentence

    def test_a_template_where_nothing_can_be_checkpointed_is_to_be_built_elsewhere(self):
        thick = {"storage": "san", "type": "lvm", "content": "images", "active": 1, "total": 1, "avail": 1}
        thin = {**thick, "storage": "fast", "type": "lvmthin"}
        template = {"type": "qemu", "vmid": TEMPLATE, "node": "pve1", "template": 1, "status": "stopped"}
        script = proxmox(
            "9.2.11",
            **{
                "/cluster/resources?type=vm": [template],
                f"/nodes/pve1/qemu/{TEMPLATE}/config": {"scsi0": "san:vm-9000-disk-0,size=8G", "agent": "1"},
                "/storage": [{"storage": "san"}, {"storage": "fast"}],
                "/nodes/pve1/storage?enabled=1": [thick, thin],
            },
        )
        with scripted(script) as server:
            report = diagnose(settings(server.url))

        assert found(report, "Checkpoints").status == Status.MISSING
        assert found(report, "Checkpoints").commands == (
            "manage.py template build claude-code --storage fast",
        )
        assert "lvm on pve1: no snapshots." in found(report, "Storage san").sentence


class TestTheNetwork:
    def test_a_firewall_that_is_off_cannot_seal_anything(self, node):
        finding = found(diagnose(of(node)), "Firewall")

        assert finding.status == Status.WARNING
        assert f"{node.url}/api2/json/cluster/firewall/options" in finding.commands[0]

    def test_a_gateway_that_does_not_answer(self, node):
        assert found(diagnose(of(node)), "Gateway").status == Status.WARNING

    def test_something_else_at_the_gateways_address(self, node):
        finding = found(diagnose(of(node, gateway_url=node.url)), "Gateway")

        assert finding.status == Status.WARNING
        assert "something else" in finding.sentence

    def test_an_address_that_means_another_computer_inside_a_vm(self):
        with scripted(proxmox("9.2.11")) as server:
            asked = settings(server.url, gateway_url="http://localhost:8000")
            finding = found(diagnose(asked), "Gateway")

        assert finding.status == Status.MISSING
        assert finding.commands == ("AUTOVIBE_GATEWAY_URL=http://<address of this computer>:8000",)


def shell(api: Api, command: str) -> None:
    """Run one `pveum` line as a node's shell would, through the API: `a || b` runs b when a fails."""
    first, _, second = command.partition(" || ")
    response = _pveum(api, shlex.split(first))
    if not response.ok and second:
        response = _pveum(api, shlex.split(second))
    assert response.ok or "already exists" in response.reason, f"{command}: {response.reason}"


def _pveum(api: Api, words: list[str]):
    program, noun, verb, what, *options = words
    assert program == "pveum"
    given = {name.removeprefix("--"): value for name, value in zip(options[::2], options[1::2], strict=True)}
    if (noun, verb) == ("acl", "modify"):
        address = f"{api.node.url}/api2/json/access/acl"
        return requests.put(address, headers=api.node.headers, data={"path": what, **given}, timeout=10)
    method, path = {
        ("role", "add"): ("POST", "/access/roles"),
        ("role", "modify"): ("PUT", f"/access/roles/{what}"),
        ("pool", "add"): ("POST", "/pools"),
    }[noun, verb]
    name = {"role": "roleid", "pool": "poolid"}[noun] if method == "POST" else None
    return api.call(method, path, **({name: what} if name else {}), **given)


def newcomer(api: Api, user: str) -> Setup:
    api.post("/access/users", userid=user)
    made = api.post(f"/access/users/{user}/token/agents", privsep=1)
    return of(api.node, token=f"{user}!agents={made['value']}")


class TestRights:
    """A token with privilege separation that was given nothing, and its user neither."""

    @pytest.fixture(scope="class", params=["8.4", "9.2"])
    def strict(self, request, tmp_path_factory) -> Iterator[Api]:
        with start_node(tmp_path_factory.mktemp("node"), release=request.param) as running:
            yield Api(running)

    @pytest.fixture(scope="class")
    def limited(self, strict: Api) -> Setup:
        return newcomer(strict, "ci@pve")

    def test_every_lack_is_named_with_its_path_and_role(self, strict):
        report = diagnose(newcomer(strict, "new@pve"))

        assert found(report, "Token").status == Status.OK
        finding = found(report, "Rights on /pool/autovibe")
        assert finding.status == Status.MISSING
        nine = found(report, "Version").sentence.endswith("9.2.11.")
        assert ("VM.GuestAgent.Unrestricted" in finding.sentence) is nine
        assert ("VM.Monitor" in finding.sentence) is not nine
        assert finding.commands[1] == (
            "pveum acl modify /pool/autovibe --roles AutovibeAgent --users new@pve --tokens 'new@pve!agents'"
        )
        assert found(report, "Rights on /vms/9000").status == Status.MISSING
        assert found(report, "Rights on /").status == Status.WARNING

    @pytest.fixture(scope="class")
    def mended(self, strict: Api, limited: Setup) -> Report:
        """The check once its commands were run, until it has none any more.

        Some things show only when others are mended: the template's storage, once the template is seen.
        """
        for _ in range(4):
            report = diagnose(limited)
            commands = [command for finding in report.findings for command in finding.commands]
            if not (wanted := [command for command in commands if command.startswith("pveum ")]):
                break
            for command in wanted:
                shell(strict, command)
        return report

    def test_the_commands_mend_all_of_it(self, mended):
        lacking = {finding.name for finding in mended.findings if finding.status != Status.OK}

        assert lacking == {"Firewall", "Gateway"}
        assert len([finding for finding in mended.findings if finding.section == "Rights"]) >= 5

    def test_and_what_they_give_is_enough_for_a_machine(self, mended, limited):
        told: list[Finding] = []
        with scripted(lambda asked: Answer()) as gateway:
            probe.probe(replace(limited, gateway_url=gateway.url), 10_001, told.append)

        assert {finding.status for finding in told} == {Status.OK}, told
        assert told[-1].name == "Clean-up"
