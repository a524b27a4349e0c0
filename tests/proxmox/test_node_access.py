"""Who may do what: tickets, tokens, roles, access control lists, pools, and the privilege that each route needs."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from tests.node_process import NodeProcess, start_node
from tests.proxmox.conftest import TEMPLATE, Api

PASSWORD = "the password of root"
STORAGE = "local-lvm"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with start_node(tmp_path_factory.mktemp("node"), root_password=PASSWORD) as running:
        yield running


def set_list(api: Api, **parameters: Any) -> requests.Response:
    """`Api` has a parameter of its own called path."""
    url, headers = f"{api.node.url}/api2/json/access/acl", dict(api._session.headers)
    return requests.put(url, data=parameters, headers=headers, timeout=5)


@dataclass
class Somebody:
    """A user with a password and an API token, which has the same rights where `privsep` is off."""

    api: Api  # with the token
    admin: Api
    userid: str
    tokenid: str

    def granted(self, path: str, *roles: str, token: bool = False, propagate: int = 1) -> None:
        who = {"tokens": self.tokenid} if token else {"users": self.userid}
        answer = set_list(self.admin, path=path, roles=",".join(roles), propagate=propagate, **who)
        assert answer.reason == "OK"

    def reason(self, method: str, path: str, **parameters: Any) -> str:
        """What the node says to a request: its reason phrase."""
        return str(self.api.call(method, path, **parameters).reason)


class Client(Api):
    """`Api` with a token of its own."""

    def __init__(self, node: NodeProcess, token: str) -> None:
        super().__init__(node)
        self._session.headers["Authorization"] = f"PVEAPIToken={token}"


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return itertools.count(300)


def made(admin: Api, number: int, *, privsep: int) -> Somebody:
    userid = f"somebody{number}@pve"
    admin.post("/access/users", userid=userid, password="the password of somebody")
    token = admin.post(f"/access/users/{userid}/token/ci", privsep=privsep)
    return Somebody(
        Client(admin.node, f"{token['full-tokenid']}={token['value']}"), admin, userid, f"{userid}!ci"
    )


@pytest.fixture
def somebody(api: Api, numbers: Iterator[int]) -> Somebody:
    """Somebody whose token may do what they may."""
    return made(api, next(numbers), privsep=0)


def log_in(node: NodeProcess, username: str, password: str) -> requests.Response:
    data = {"username": username, "password": password}
    return requests.post(f"{node.url}/api2/json/access/ticket", data=data, timeout=5)


@dataclass
class Browser:
    """Somebody with a ticket in a cookie."""

    node: NodeProcess
    ticket: dict[str, Any]

    def call(self, method: str, path: str, *, csrf: str = "", **data: Any) -> requests.Response:
        return requests.request(
            method,
            f"{self.node.url}/api2/json{path}",
            cookies={"PVEAuthCookie": self.ticket["ticket"]},
            headers={"CSRFPreventionToken": csrf} if csrf else {},
            data=data,
            timeout=5,
        )


@pytest.fixture
def root(node: NodeProcess) -> Browser:
    return Browser(node, log_in(node, "root@pam", PASSWORD).json()["data"])


class TestTickets:
    def test_a_ticket_reads_without_and_writes_with_the_second_token(self, root: Browser) -> None:
        assert root.call("GET", "/version").status_code == 200
        refused = root.call("POST", "/pools", poolid="browser")
        assert (refused.status_code, refused.reason) == (401, "Permission denied - invalid csrf token")
        assert refused.content == b""
        csrf = root.ticket["CSRFPreventionToken"]
        assert root.call("POST", "/pools", csrf=csrf, poolid="browser").status_code == 200

    def test_a_ticket_renews_itself(self, node: NodeProcess, root: Browser) -> None:
        assert log_in(node, "root@pam", root.ticket["ticket"]).status_code == 200

    def test_it_says_what_its_user_is_capable_of(self, root: Browser, somebody: Somebody) -> None:
        assert root.ticket["cap"]["vms"]["VM.Allocate"] == 1
        somebody.granted("/vms/9000", "PVEAuditor")
        theirs = log_in(root.node, somebody.userid, "the password of somebody").json()["data"]["cap"]
        assert theirs["vms"] == {"VM.Audit": 1, "VM.GuestAgent.Audit": 1}
        assert theirs["storage"] == {}

    @pytest.mark.parametrize(
        ("username", "password"),
        [
            ("root@pam", "wrong"),
            ("ghost@pve", PASSWORD),
            ("root@nope", PASSWORD),
            ("autovibe@pve!local", "x"),
        ],
    )
    def test_a_failed_log_in_has_a_body(self, node: NodeProcess, username: str, password: str) -> None:
        answer = log_in(node, username, password)
        assert (answer.status_code, answer.reason) == (401, "authentication failure")
        assert answer.json() == {"data": None, "message": "authentication failure\n"}

    @pytest.mark.parametrize(
        "spoil", ["PVE:root@pam:{now}::c2lnbmF0dXJl", "garbage", "PVE:root@pam:00000000::x"]
    )
    def test_a_forged_ticket_is_a_bare_401(self, node: NodeProcess, spoil: str) -> None:
        answer = Browser(node, {"ticket": spoil.format(now="6B030C6A")}).call("GET", "/version")
        assert (answer.status_code, answer.reason, answer.content) == (401, "Authentication failed!", b"")

    def test_that_of_a_disabled_user_is_worth_nothing(self, api: Api, somebody: Somebody) -> None:
        browser = Browser(
            api.node, log_in(api.node, somebody.userid, "the password of somebody").json()["data"]
        )
        assert browser.call("GET", "/version").status_code == 200
        api.put(f"/access/users/{somebody.userid}", enable=0)
        assert browser.call("GET", "/version").reason == "Authentication failed!"
        assert somebody.reason("GET", "/version") == "Authentication failed!"
        assert log_in(api.node, somebody.userid, "the password of somebody").status_code == 401

    def test_without_a_password_root_cannot_log_in(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        with start_node(tmp_path_factory.mktemp("bare")) as node:
            assert log_in(node, "root@pam", "").status_code == 401


class TestTokens:
    def test_the_secret_is_told_once(self, api: Api, somebody: Somebody) -> None:
        made = api.post(f"/access/users/{somebody.userid}/token/second", comment="for CI")
        assert made["full-tokenid"] == f"{somebody.userid}!second"
        read = api.get(f"/access/users/{somebody.userid}/token/second")
        assert read == {"privsep": 1, "expire": 0, "comment": "for CI"}

    def test_there_is_only_one_of_a_name(self, api: Api, somebody: Somebody) -> None:
        answer = api.call("POST", f"/access/users/{somebody.userid}/token/ci")
        assert answer.json()["errors"] == {"tokenid": "Token already exists."}

    def test_an_expired_or_deleted_one_is_unknown(self, api: Api, somebody: Somebody) -> None:
        path = f"/access/users/{somebody.userid}/token/ci"
        api.put(path, expire=1)
        assert somebody.reason("GET", "/version") == "Authentication failed!"
        api.put(path, expire=0)
        assert somebody.reason("GET", "/version") == "OK"
        api.delete(path)
        assert somebody.reason("GET", "/version") == "Authentication failed!"

    def test_a_new_secret_replaces_the_old(self, api: Api, somebody: Somebody) -> None:
        fresh = api.put(f"/access/users/{somebody.userid}/token/ci", regenerate=1)
        assert somebody.reason("GET", "/version") == "Authentication failed!"
        assert Client(api.node, f"{fresh['full-tokenid']}={fresh['value']}").get("/version")

    def test_one_with_separate_privileges_needs_them_itself(self, api: Api, numbers: Iterator[int]) -> None:
        separate = made(api, next(numbers), privsep=1)
        separate.granted("/vms", "PVEVMAdmin")
        audit = "Permission check failed (/vms/9000, VM.Audit)"
        assert separate.reason("GET", f"qemu/{TEMPLATE}/config") == audit
        separate.granted("/vms", "PVEAuditor", token=True)
        assert separate.reason("GET", f"qemu/{TEMPLATE}/config") == "OK"
        assert separate.reason("POST", f"qemu/{TEMPLATE}/status/start").endswith("VM.PowerMgmt)")

    def test_it_has_no_more_than_its_user(self, api: Api, numbers: Iterator[int]) -> None:
        separate = made(api, next(numbers), privsep=1)
        separate.granted("/vms", "PVEVMAdmin", token=True)
        assert separate.reason("GET", f"qemu/{TEMPLATE}/config").startswith("Permission check failed")


class TestLists:
    def test_a_deeper_one_replaces_those_above(self, somebody: Somebody) -> None:
        somebody.granted("/", "PVEAdmin")
        somebody.granted("/vms/9000", "PVEAuditor")
        assert somebody.reason("GET", f"qemu/{TEMPLATE}/config") == "OK"
        assert somebody.reason("DELETE", f"qemu/{TEMPLATE}").endswith("(/vms/9000, VM.Allocate)")

    def test_one_that_does_not_propagate_holds_on_its_path_alone(self, somebody: Somebody) -> None:
        somebody.granted("/vms", "PVEAuditor", propagate=0)
        assert somebody.reason("GET", f"qemu/{TEMPLATE}/config").endswith("VM.Audit)")
        assert somebody.api.get("/access/permissions")["/vms"]["VM.Audit"] == 0

    def test_no_access_beats_everything(self, somebody: Somebody) -> None:
        somebody.granted("/vms", "PVEAdmin", "NoAccess")
        assert somebody.reason("GET", f"qemu/{TEMPLATE}/config").endswith("VM.Audit)")

    def test_a_group_gives_until_the_user_has_a_list_of_their_own(self, api: Api, somebody: Somebody) -> None:
        api.post("/access/groups", groupid="people", comment="all of them")
        api.put(f"/access/users/{somebody.userid}", groups="people")
        set_list(api, path="/vms", groups="people", roles="PVEAuditor")
        assert somebody.reason("GET", f"qemu/{TEMPLATE}/config") == "OK"
        assert api.get("/access/groups/people")["members"] == [somebody.userid]
        somebody.granted("/vms", "NoAccess")
        assert somebody.reason("GET", f"qemu/{TEMPLATE}/config").endswith("VM.Audit)")

    def test_who_may_allocate_hands_on_what_they_have(self, api: Api, somebody: Somebody) -> None:
        somebody.granted("/vms/9000", "PVEVMAdmin")
        parameters = {"path": "/vms/9000", "users": somebody.userid}
        assert set_list(somebody.api, roles="PVETemplateUser", **parameters).reason == "OK"
        refused = set_list(somebody.api, roles="PVEDatastoreAdmin", **parameters)
        assert "superset of privileges" in refused.json()["errors"]["role"]

    def test_one_is_taken_back(self, api: Api, somebody: Somebody) -> None:
        somebody.granted("/vms/9000", "PVEAuditor")
        set_list(api, path="/vms/9000", users=somebody.userid, roles="PVEAuditor", delete=1)
        assert somebody.api.get("/access/permissions") == {}

    @pytest.mark.parametrize(
        ("parameters", "reason"),
        [
            ({"path": "/nope", "roles": "PVEAdmin", "users": "root@pam"}, "Parameter verification failed."),
            ({"path": "/", "roles": "PVEAdmin"}, "Parameter verification failed."),
            (
                {"path": "/", "roles": "Nope", "users": "root@pam"},
                "ACL update failed: role 'Nope' does not exist",
            ),
            (
                {"path": "/", "roles": "PVEAdmin", "users": "ghost@pve"},
                "ACL update failed: user 'ghost@pve' does not exist",
            ),
        ],
    )
    def test_nonsense_is_refused(self, api: Api, parameters: dict[str, str], reason: str) -> None:
        assert set_list(api, **parameters).reason == reason


class TestRoles:
    def test_one_is_made_changed_and_deleted(self, api: Api, somebody: Somebody) -> None:
        api.post("/access/roles", roleid="CI", privs="VM.Audit")
        somebody.granted("/vms", "CI")
        assert somebody.reason("GET", f"qemu/{TEMPLATE}/config") == "OK"
        api.put("/access/roles/CI", privs="VM.Clone", append=1)
        assert api.get("/access/roles/CI") == {"VM.Audit": 1, "VM.Clone": 1}
        api.delete("/access/roles/CI")
        assert somebody.reason("GET", f"qemu/{TEMPLATE}/config").endswith("VM.Audit)")

    def test_built_in_ones_stay_as_they_are(self, api: Api) -> None:
        reason = api.call("PUT", "/access/roles/PVEAdmin", privs="VM.Audit").reason
        assert reason == "auto-generated role 'PVEAdmin' cannot be modified"
        assert "cannot be deleted" in api.call("DELETE", "/access/roles/NoAccess").reason

    def test_privileges_of_another_release_are_none(self, api: Api) -> None:
        answer = api.call("POST", "/access/roles", roleid="Old", privs="VM.Monitor")
        assert answer.json()["errors"] == {"privs": "invalid format - invalid privilege 'VM.Monitor'\n"}


class TestPools:
    def test_a_member_of_the_pool_gets_its_vm_with_the_end_of_the_clone(
        self, api: Api, somebody: Somebody, numbers: Iterator[int]
    ) -> None:
        vmid = next(numbers)
        api.post("/pools", poolid=f"pool{vmid}")
        somebody.granted(f"/pool/pool{vmid}", "PVEVMAdmin", "PVEPoolUser")
        somebody.granted("/vms/9000", "PVETemplateUser")
        somebody.granted(f"/storage/{STORAGE}", "PVEDatastoreUser")
        somebody.granted("/sdn/zones/localnetwork", "PVESDNUser")
        not_yet = somebody.reason("GET", f"qemu/{vmid}/config")
        assert not_yet == f"Permission check failed (/vms/{vmid}, VM.Audit)"
        upid = somebody.api.post(f"qemu/{TEMPLATE}/clone", newid=vmid, pool=f"pool{vmid}")
        somebody.api.done(upid)
        assert somebody.api.get(f"qemu/{vmid}/config")["name"]
        assert {row["vmid"] for row in somebody.api.get("qemu")} == {TEMPLATE, vmid}
        assert [row["poolid"] for row in somebody.api.get("/pools")] == [f"pool{vmid}"]
        somebody.api.done(somebody.api.delete(f"qemu/{vmid}"))
        assert somebody.reason("GET", f"qemu/{vmid}/config") == not_yet

    def test_a_vm_that_is_made_in_it_gets_its_tags_afterwards(
        self, api: Api, somebody: Somebody, numbers: Iterator[int]
    ) -> None:
        vmid = next(numbers)
        api.post("/pools", poolid=f"pool{vmid}")
        somebody.granted(f"/pool/pool{vmid}", "PVEVMAdmin")
        upid = somebody.api.post("qemu", vmid=vmid, pool=f"pool{vmid}", tags="mine")
        assert api.ended(upid) == (
            f"unable to create VM {vmid} - Permission check failed (/vms/{vmid}, VM.Config.Options)"
        )
        somebody.api.done(somebody.api.post("qemu", vmid=vmid, pool=f"pool{vmid}"))
        assert somebody.reason("PUT", f"qemu/{vmid}/config", tags="mine") == "OK"

    def test_before_9_it_gets_them_at_once(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        with start_node(tmp_path_factory.mktemp("old"), release="8.4") as node:
            api = Api(node)
            somebody = made(api, 1, privsep=0)
            api.post("/pools", poolid="mine")
            somebody.granted("/pool/mine", "PVEVMAdmin")
            somebody.api.done(somebody.api.post("qemu", vmid=300, pool="mine", tags="mine"))

    def test_an_unknown_pool_is_a_matter_of_permission(self, api: Api) -> None:
        answer = api.call("POST", f"qemu/{TEMPLATE}/clone", newid=399, pool="nope")
        assert (answer.status_code, answer.reason) == (
            403,
            "Permission check failed (pool 'nope' does not exist)",
        )

    def test_another_ones_vm_cannot_be_drawn_into_a_pool(self, api: Api, somebody: Somebody) -> None:
        api.post("/pools", poolid="mine")
        somebody.granted("/pool/mine", "PVEPoolAdmin")
        reason = somebody.reason("PUT", "/pools/mine", vms=TEMPLATE)
        assert reason == "Permission check failed (/vms/9000, Permissions.Modify|VM.Allocate)"


class TestClone:
    @pytest.mark.parametrize(
        ("missing", "reason"),
        [
            ("PVETemplateUser", "Permission check failed (/vms/9000, VM.Clone)"),
            ("PVEVMAdmin", "Permission check failed"),
            ("PVEDatastoreUser", f"Permission check failed (/storage/{STORAGE}, Datastore.AllocateSpace)"),
            ("PVESDNUser", "Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use)"),
        ],
    )
    def test_it_names_the_privilege_that_is_missing(
        self, somebody: Somebody, numbers: Iterator[int], missing: str, reason: str
    ) -> None:
        vmid = next(numbers)
        for path, role in (
            ("/vms/9000", "PVETemplateUser"),
            (f"/vms/{vmid}", "PVEVMAdmin"),
            (f"/storage/{STORAGE}", "PVEDatastoreUser"),
            ("/sdn/zones/localnetwork", "PVESDNUser"),
        ):
            if role != missing:
                somebody.granted(path, role)
        assert somebody.reason("POST", f"qemu/{TEMPLATE}/clone", newid=vmid) == reason


class TestConfigure:
    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"description": "x"}, "OK"),
            ({"cores": 2}, "Permission check failed (/vms/{vmid}, VM.Config.CPU)"),
            ({"memory": 64}, "Permission check failed (/vms/{vmid}, VM.Config.Memory)"),
            ({"net0": "virtio,bridge=vmbr0"}, "Permission check failed (/vms/{vmid}, VM.Config.Network)"),
            ({"delete": "net0"}, "Permission check failed (/vms/{vmid}, VM.Config.Network)"),
            ({"startup": "order=1"}, "Permission check failed (/, Sys.Modify)"),
            (
                {"ciuser": "x"},
                "Permission check failed (/vms/{vmid}, VM.Config.Cloudinit|VM.Config.Network)",
            ),
            (
                {"scsi1": f"{STORAGE}:1"},
                f"Permission check failed (/storage/{STORAGE}, Datastore.AllocateSpace)",
            ),
            ({"args": "-foo"}, "only root can set 'args' config"),
        ],
    )
    def test_each_option_has_a_privilege_of_its_own(
        self,
        api: Api,
        somebody: Somebody,
        numbers: Iterator[int],
        options: dict[str, Any],
        reason: str,
    ) -> None:
        vmid = api.clone(next(numbers))
        api.post("/access/roles", roleid=f"Options{vmid}", privs="VM.Config.Options")
        somebody.granted(f"/vms/{vmid}", f"Options{vmid}")
        assert somebody.reason("PUT", f"qemu/{vmid}/config", **options) == reason.format(vmid=vmid)


class TestAgent:
    def test_each_call_has_a_privilege_of_its_own(self, api: Api, somebody: Somebody) -> None:
        somebody.granted("/vms", "PVEVMUser")
        assert somebody.reason("POST", f"qemu/{TEMPLATE}/agent/exec", command="true") == (
            "Permission check failed (/vms/9000, VM.GuestAgent.Unrestricted)"
        )
        assert somebody.reason("POST", f"qemu/{TEMPLATE}/agent/ping") == "VM 9000 is not running"

    def test_before_9_there_is_one_for_all(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        with start_node(tmp_path_factory.mktemp("old"), release="8.4") as node:
            somebody = made(Api(node), 1, privsep=0)
            assert somebody.reason("POST", f"qemu/{TEMPLATE}/agent/ping") == (
                "Permission check failed (/vms/9000, VM.Monitor)"
            )


class TestSeen:
    def test_somebody_without_rights_sees_the_nodes_and_nothing_else(self, somebody: Somebody) -> None:
        assert set(somebody.api.get("/nodes")[0]) <= {
            *("id", "node", "type", "status", "level", "ssl_fingerprint"),
        }
        assert somebody.api.get("qemu") == []
        assert [row["type"] for row in somebody.api.get("/cluster/resources")] == ["node"]
        assert somebody.api.get("storage") == []
        assert somebody.api.get("/pools") == []
        assert somebody.api.get("/access/acl") == []
        assert [row["userid"] for row in somebody.api.get("/access/users")] == []

    def test_403_comes_before_the_question_whether_there_is_such_a_vm(self, somebody: Somebody) -> None:
        reason = somebody.reason("POST", "qemu/99999/status/start")
        assert reason == "Permission check failed (/vms/99999, VM.PowerMgmt)"

    def test_a_task_is_its_owners_and_the_auditors(
        self, api: Api, somebody: Somebody, numbers: Iterator[int]
    ) -> None:
        upid = api.post(f"qemu/{TEMPLATE}/clone", newid=next(numbers))
        api.done(upid)
        audit = f"Permission check failed (/nodes/{api.node.name}, Sys.Audit)"
        assert somebody.reason("GET", f"tasks/{upid}/status") == audit
        assert somebody.reason("GET", f"tasks/{upid}/log") == audit
        assert somebody.reason("DELETE", f"tasks/{upid}").endswith("Sys.Modify)")
        assert somebody.api.get("tasks") == []
        somebody.granted("/nodes", "PVEAuditor")
        assert upid in [row["upid"] for row in somebody.api.get("tasks")]
        assert somebody.reason("GET", f"tasks/{upid}/status") == "OK"

    def test_others_permissions_are_for_auditors(self, somebody: Somebody) -> None:
        reason = somebody.reason("GET", "/access/permissions", userid="autovibe@pve")
        assert reason == "Permission check failed (/access, Sys.Audit)"
        assert somebody.api.get("/access/permissions") == {}


class TestBackups:
    def test_they_are_for_who_may_back_the_vm_up(
        self, api: Api, somebody: Somebody, numbers: Iterator[int]
    ) -> None:
        vmid = api.clone(next(numbers))
        room = "Permission check failed (/storage/local, Datastore.AllocateSpace)"
        assert somebody.reason("POST", "vzdump", vmid=vmid, storage="local") == room
        somebody.granted("/storage/local", "PVEDatastoreUser")
        upid = somebody.api.post("vzdump", vmid=vmid, storage="local")
        assert somebody.api.ended(upid) == f"Permission check failed (/vms/{vmid}, VM.Backup)"

        api.done(api.post("vzdump", vmid=vmid, storage="local"))
        assert somebody.api.get("storage/local/content", content="backup") == []
        somebody.granted(f"/vms/{vmid}", "PVEVMUser")
        (backup,) = somebody.api.get("storage/local/content", content="backup")
        restored = somebody.api.call("POST", "qemu", vmid=next(numbers), archive=backup["volid"])
        assert restored.reason == "Permission check failed"
        somebody.api.done(somebody.api.delete(f"storage/local/content/{backup['volid']}"))

    def test_what_is_pruned_on_a_storage_is_for_its_owner(self, somebody: Somebody) -> None:
        somebody.granted("/storage/local", "PVEDatastoreUser")
        reason = somebody.reason("DELETE", "storage/local/prunebackups")
        assert reason == "Permission check failed (/storage/local, Datastore.Allocate)"


class TestRoot:
    def test_only_a_ticket_of_root_sets_a_lock_and_ignores_it(
        self, api: Api, root: Browser, numbers: Iterator[int]
    ) -> None:
        vmid = api.clone(next(numbers))
        path, csrf = f"/nodes/{api.node.name}/qemu/{vmid}/config", root.ticket["CSRFPreventionToken"]
        assert api.call("PUT", path, lock="backup").reason == "only root can set 'lock' config"
        assert root.call("PUT", path, csrf=csrf, lock="backup").reason == "OK"
        assert api.get(path)["lock"] == "backup"
        refused = api.call("PUT", path, skiplock=1, delete="lock")
        assert refused.json()["errors"] == {"skiplock": "Only root may use this option."}
        assert root.call("PUT", path, csrf=csrf, skiplock=1, delete="lock").reason == "OK"
        assert "lock" not in api.get(path)


class TestLife:
    def test_accounts_outlive_the_node_and_an_old_own_token_does_not(
        self, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        state = tmp_path_factory.mktemp("kept")
        with start_node(state, token="autovibe@pve!local=one") as node:
            somebody = made(Api(node), 1, privsep=0)
            somebody.granted("/vms", "PVEAuditor")
            token = somebody.api._session.headers["Authorization"]
        with start_node(state, token="autovibe@pve!other=two") as node:
            kept = Client(node, str(token).removeprefix("PVEAPIToken="))
            assert kept.get(f"qemu/{TEMPLATE}/config")
            assert Client(node, "autovibe@pve!local=one").call("GET", "/version").status_code == 401

    def test_secrets_are_not_in_its_files(self, node: NodeProcess, api: Api, somebody: Somebody) -> None:
        kept = (node.state / "accounts.json").read_text()
        secret = str(somebody.api._session.headers["Authorization"]).rpartition("=")[2]
        assert secret not in kept
        assert "the password of somebody" not in kept
        assert (node.state / "accounts.json").stat().st_mode & 0o077 == 0
