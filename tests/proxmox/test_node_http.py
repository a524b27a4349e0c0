"""What every request meets: authentication, envelope, reason phrases, strict parameters."""

import pytest
import requests

from tests.node_process import NodeProcess
from tests.proxmox.conftest import Api


class TestAuthenticate:
    @pytest.mark.parametrize(
        ("headers", "reason"),
        [
            ({}, "No ticket"),
            ({"Authorization": "PVEAPIToken=autovibe@pve!local=wrong"}, "Authentication failed!"),
            ({"Authorization": "Bearer x"}, "Authentication failed!"),
        ],
    )
    def test_without_the_token_there_is_a_bare_401(
        self, node: NodeProcess, headers: dict[str, str], reason: str
    ) -> None:
        answer = requests.get(f"{node.url}/api2/json/version", headers=headers, timeout=5)
        assert (answer.status_code, answer.reason, answer.content) == (401, reason, b"")
        assert "Content-Type" not in answer.headers


class TestAnswer:
    def test_an_unknown_path_is_not_implemented(self, api: Api) -> None:
        answer = api.call("GET", "/nope")
        assert (answer.status_code, answer.reason) == (501, "Method 'GET /nope' not implemented")
        assert answer.json() == {"data": None, "message": "Method 'GET /nope' not implemented"}

    def test_an_unknown_node_cannot_be_looked_up(self, api: Api) -> None:
        answer = api.call("GET", "/nodes/pve9/qemu")
        assert answer.status_code == 500
        assert answer.reason.startswith(
            "hostname lookup 'pve9' failed - failed to get address info for: pve9:"
        )

    def test_an_unknown_vm_is_a_500_whose_reason_says_so(self, api: Api) -> None:
        answer = api.call("GET", "qemu/99999/config")
        reason = "Configuration file 'nodes/embedded/qemu-server/99999.conf' does not exist"
        assert (answer.status_code, answer.reason) == (500, reason)
        assert answer.json() == {"data": None, "message": reason + "\n"}
        assert answer.headers["Connection"] == "close"

    def test_delete_with_a_body_is_refused(self, api: Api) -> None:
        answer = requests.delete(
            f"{api.node.url}/api2/json/nodes/embedded/qemu/9000",
            headers=api.node.headers,
            data={"purge": 1},
            timeout=5,
        )
        assert (answer.status_code, answer.reason) == (501, "Unexpected content for method 'DELETE'")

    def test_more_than_half_a_mebibyte_is_too_large(self, api: Api) -> None:
        answer = api.call("POST", "/pools", poolid="big", comment="x" * 600_000)
        assert (answer.status_code, answer.reason) == (501, "for data too large")

    def test_the_front_page_says_what_this_is(self, node: NodeProcess) -> None:
        assert "no security boundary" in requests.get(node.url, timeout=5).text


class TestCheckParameters:
    @pytest.mark.parametrize(
        ("method", "path", "sent", "errors"),
        [
            (
                "GET",
                "/cluster/resources",
                {"type": "bogus"},
                {"type": "value 'bogus' does not have a value in the"},
            ),
            (
                *("GET", "/cluster/resources", {"bogus": 1}),
                {
                    "bogus": "property is not defined in schema and the schema does not allow additional properties"
                },
            ),
            ("GET", "qemu/abc/config", {}, {"vmid": "type check ('integer') failed - got 'abc'"}),
            (
                "GET",
                "qemu/5/config",
                {},
                {"vmid": "invalid format - value does not look like a valid VM ID\n"},
            ),
            ("POST", "qemu", {"name": "x"}, {"vmid": "property is missing and it is not optional"}),
            (
                *("POST", "qemu", {"vmid": 100, "onboot": "True"}),
                {"onboot": "type check ('boolean') failed - got 'True'"},
            ),
            (
                *("POST", "qemu", {"vmid": 100, "name": "under_score"}),
                {"name": "invalid format - value does not look like a valid DNS name\n"},
            ),
            (
                *("POST", "qemu", {"vmid": 100, "memory": 4}),
                {
                    "memory": "invalid format - format error\nmemory.current: value must have a minimum value of 16\n"
                },
            ),
            (
                "POST",
                "qemu",
                {"vmid": 100, "unique": 1},
                {"archive": "missing property - 'unique' requires this"},
            ),
            (
                *("POST", "qemu/9000/snapshot", {"snapname": "1abc"}),
                {"snapname": "invalid format - invalid configuration ID '1abc'\n"},
            ),
            (
                "POST",
                "qemu/9000/snapshot",
                {"snapname": "x" * 41},
                {"snapname": "value may only be 40 characters"},
            ),
            (
                "PUT",
                "qemu/9000/resize",
                {"disk": "scsi0", "size": "huge"},
                {"size": "value does not match the regex"},
            ),
            ("PUT", "qemu/9000/config", {"delete": "bogus"}, {"delete": "unknown option 'bogus'"}),
            ("GET", "storage/nope/status", {}, {"storage": "No such storage."}),
            ("GET", "/cluster/nextid", {"vmid": 9000}, {"vmid": "VM 9000 already exists"}),
            (
                "POST",
                "qemu/9000/status/start",
                {"skiplock": 1},
                {"skiplock": "Only root may use this option."},
            ),
            ("GET", "tasks/UPID:nonsense/status", {}, {"upid": "unable to parse worker upid"}),
        ],
    )
    def test_it_complains_like_proxmox(
        self, api: Api, method: str, path: str, sent: dict[str, object], errors: dict[str, str]
    ) -> None:
        answer = api.call(method, path, **sent)
        assert (answer.status_code, answer.reason) == (400, "Parameter verification failed."), answer.text
        given = answer.json()["errors"]
        assert given.keys() == errors.keys()
        assert all(given[name].startswith(text) for name, text in errors.items()), given

    def test_json_bodies_are_taken_too(self, api: Api) -> None:
        url = f"{api.node.url}/api2/json/pools"
        assert (
            requests.post(url, headers=api.node.headers, json={"poolid": "json"}, timeout=5).status_code
            == 200
        )
        assert {"poolid": "json", "comment": ""} in api.get("/pools")


class TestPools:
    def test_a_second_pool_of_that_name_is_refused(self, api: Api) -> None:
        api.post("/pools", poolid="ci", comment="ours")
        assert (
            api.call("POST", "/pools", poolid="ci").reason == "create pool failed: pool 'ci' already exists"
        )

    def test_a_vm_belongs_to_a_pool_until_it_is_destroyed(self, api: Api) -> None:
        api.post("/pools", poolid="members")
        api.clone(301, pool="members")
        assert [member["vmid"] for member in api.get("/pools/members")["members"]] == [301]
        assert api.call("DELETE", "/pools/members").reason == (
            "delete pool failed: pool 'members' is not empty (contains VM 301)"
        )
        api.done(api.delete("qemu/301", purge=1))
        assert api.get("/pools/members")["members"] == []

    def test_an_unknown_pool_is_a_missing_permission(self, api: Api) -> None:
        answer = api.call("POST", "qemu/9000/clone", newid=302, pool="nopool")
        assert (answer.status_code, answer.reason) == (
            403,
            "Permission check failed (pool 'nopool' does not exist)",
        )


class TestTemplate:
    def test_the_first_start_makes_one(self, api: Api) -> None:
        config = api.get("qemu/9000/config")
        assert (config["name"], config["template"], config["tags"]) == (
            "autovibe-base",
            1,
            "autovibe;template",
        )
        assert config["scsi0"] == "local-lvm:base-9000-disk-0,size=4G"

    def test_it_cannot_be_started(self, api: Api) -> None:
        assert api.ended(api.post("qemu/9000/status/start")) == "you can't start a vm if it's a template"
