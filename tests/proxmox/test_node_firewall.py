"""Firewall objects: options with digests, rules by position, ip sets, aliases, and their life with the VM."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from proxmox.node.configs import Config, Configs
from proxmox.node.errors import Failure
from proxmox.node.firewall import DATACENTER, NODE, Firewall, Objects, Rule
from tests.proxmox.conftest import TEMPLATE, Api

CHANGED = "detected modified configuration - file changed by other user? Try again."


@pytest.fixture(scope="module")
def vmids() -> Iterator[int]:
    return iter(range(600, 700))


@pytest.fixture
def vm(api: Api, vmids: Iterator[int]) -> str:
    """The path of a fresh VM's firewall."""
    return f"qemu/{api.clone(next(vmids))}/firewall"


def set_options(api: Api, path: str, **options: object) -> None:
    """These names have underscores, which `Api` takes for hyphens."""
    url = f"{api.node.url}/api2/json/nodes/{api.node.name}/{path}/options"
    requests.put(url, data=options, headers=api.node.headers, timeout=5).raise_for_status()


def refusal(api: Api, method: str, path: str, **parameters: object) -> tuple[int, str, dict[str, str]]:
    answer = api.call(method, path, **parameters)
    return answer.status_code, answer.reason, answer.json().get("errors", {})


class TestOptions:
    def test_the_data_centre_starts_without_a_firewall(self, api: Api) -> None:
        assert set(api.get("/cluster/firewall/options")) == {"digest"}
        assert set(api.get("firewall/options")) == {"digest"}

    def test_they_are_kept_and_deleted(self, api: Api, vm: str) -> None:
        set_options(api, vm, enable=1, policy_out="DROP", macfilter=0)
        api.put(f"{vm}/options", delete="macfilter")
        options = api.get(f"{vm}/options")
        assert {**options, "digest": ""} == {"enable": 1, "policy_out": "DROP", "digest": ""}

    def test_an_unknown_option_cannot_be_deleted(self, api: Api, vm: str) -> None:
        errors = {"delete": "no such option 'bogus'"}
        assert refusal(api, "PUT", f"{vm}/options", delete="bogus")[2] == errors

    def test_an_old_digest_is_refused(self, api: Api, vm: str) -> None:
        digest = api.get(f"{vm}/options")["digest"]
        api.put(f"{vm}/options", enable=1, digest=digest)
        assert refusal(api, "PUT", f"{vm}/options", enable=0, digest=digest) == (500, CHANGED, {})

    def test_the_node_takes_only_its_own(self, api: Api) -> None:
        status, _, errors = refusal(api, "PUT", "firewall/options", radv=1)
        assert (status, set(errors)) == (400, {"radv"})


class TestRules:
    def test_a_new_one_is_off_and_comes_first(self, api: Api, vm: str) -> None:
        api.post(f"{vm}/rules", type="out", action="ACCEPT", comment="first")
        api.post(f"{vm}/rules", type="in", action="DROP", comment="second", enable=1, pos=9)
        rows = [(rule["pos"], rule["comment"], rule["enable"]) for rule in api.get(f"{vm}/rules")]
        assert rows == [(0, "second", 1), (1, "first", 0)]

    def test_one_is_changed_moved_and_removed_by_position(self, api: Api, vm: str) -> None:
        for comment in ("c", "b", "a"):
            api.post(f"{vm}/rules", type="out", action="ACCEPT", comment=comment)
        api.put(f"{vm}/rules/2", action="REJECT", delete="comment")
        api.put(f"{vm}/rules/0", moveto=2)
        assert [rule.get("comment") for rule in api.get(f"{vm}/rules")] == ["b", "a", None]
        api.delete(f"{vm}/rules/0")
        assert api.get(f"{vm}/rules/1")["action"] == "REJECT"

    def test_the_digest_changes_with_every_rule(self, api: Api, vm: str) -> None:
        api.post(f"{vm}/rules", type="out", action="ACCEPT")
        digest = api.get(f"{vm}/rules")[0]["digest"]
        api.post(f"{vm}/rules", type="out", action="DROP")
        assert refusal(api, "DELETE", f"{vm}/rules/0", digest=digest) == (500, CHANGED, {})

    def test_there_is_none_at_a_position_beyond_the_last(self, api: Api, vm: str) -> None:
        assert refusal(api, "GET", f"{vm}/rules/0") == (500, "no rule at position 0", {})
        assert refusal(api, "DELETE", f"{vm}/rules/3") == (500, "no rule at position 3", {})

    @pytest.mark.parametrize(
        ("rule", "errors"),
        [
            ({"action": "LET"}, {"action": "unknown action 'LET'"}),
            ({"type": "forward"}, {"type": "invalid rule type 'forward' for rule_env 'vm'"}),
            ({"dport": "80"}, {"proto": "missing property - 'dport' requires this property"}),
            ({"dport": "80", "proto": "icmp"}, {}),
            ({"dport": "80", "proto": "ah"}, {"dport": "protocol 'ah' does not support ports"}),
            ({"dport": "70000", "proto": "tcp"}, {"dport": "invalid format - invalid port '70000'\n"}),
            ({"dport": "80,", "proto": "tcp"}, {"dport": "invalid format - extraneous commas in list\n"}),
            ({"proto": "nope"}, {"proto": "invalid format - unknown protocol 'nope'\n"}),
            ({"dest": "+nope"}, {"dest": "no such ipset 'nope'"}),
            ({"dest": "nope"}, {"dest": "no such alias 'nope'"}),
            ({"source": "10.0.0.1", "dest": "::1"}, {"dest": "detected mixed ipv4/ipv6 addresses in rule"}),
            ({"iface": "eth0"}, {"iface": r"value does not match the regex pattern 'net\d+'"}),
            ({"macro": "Nope"}, {"macro": "unknown macro 'Nope'"}),
        ],
    )
    def test_one_is_verified(self, api: Api, vm: str, rule: dict[str, str], errors: dict[str, str]) -> None:
        answer = api.call("POST", f"{vm}/rules", **({"type": "out", "action": "ACCEPT"} | rule))
        assert answer.json().get("errors", {}) == errors
        assert len(api.get(f"{vm}/rules")) == (0 if errors else 1)

    def test_ports_may_be_lists_ranges_and_names(self, api: Api, vm: str) -> None:
        api.post(f"{vm}/rules", type="out", action="ACCEPT", proto="tcp", dport="80,8000:8010,https")
        assert api.get(f"{vm}/rules/0")["dport"] == "80,8000:8010,https"
        backwards = refusal(api, "POST", f"{vm}/rules", type="in", action="DROP", proto="tcp", dport="9:1")
        assert "did you mean '1:9'?" in backwards[2]["dport"]


class TestIpSets:
    def test_members_come_and_go(self, api: Api, vm: str) -> None:
        api.post(f"{vm}/ipset", name="allow", comment="who may")
        api.post(f"{vm}/ipset/allow", cidr="10.0.0.77/24", comment="lan")
        api.post(f"{vm}/ipset/allow", cidr="10.0.0.5/32", nomatch=1)
        assert [(row["cidr"], row.get("nomatch")) for row in api.get(f"{vm}/ipset/allow")] == [
            ("10.0.0.5", 1),
            ("10.0.0.0/24", None),
        ]
        api.put(f"{vm}/ipset/allow/10.0.0.0%2F24", comment="net")
        assert api.get(f"{vm}/ipset/allow/10.0.0.0%2F24")["comment"] == "net"
        api.delete(f"{vm}/ipset/allow/10.0.0.0%2F24")
        assert [row["cidr"] for row in api.get(f"{vm}/ipset/allow")] == ["10.0.0.5"]
        assert [(row["name"], row["comment"]) for row in api.get(f"{vm}/ipset")] == [("allow", "who may")]

    def test_one_that_is_not_empty_is_removed_only_by_force(self, api: Api, vm: str) -> None:
        api.post(f"{vm}/ipset", name="allow")
        api.post(f"{vm}/ipset/allow", cidr="10.0.0.1")
        assert refusal(api, "DELETE", f"{vm}/ipset/allow") == (500, "IPSet 'allow' is not empty", {})
        api.delete(f"{vm}/ipset/allow", force=1)
        assert refusal(api, "GET", f"{vm}/ipset/allow")[1] == "no such IPSet 'allow'"

    def test_what_is_there_already_or_all_there_is_cannot_be_added(self, api: Api, vm: str) -> None:
        api.post(f"{vm}/ipset", name="allow")
        api.post(f"{vm}/ipset/allow", cidr="10.0.0.1")
        twice = refusal(api, "POST", f"{vm}/ipset/allow", cidr="10.0.0.1/32")
        assert twice[2] == {"cidr": "address '10.0.0.1' already exists"}
        everything = refusal(api, "POST", f"{vm}/ipset/allow", cidr="0.0.0.0/0")
        assert everything[2] == {"cidr": "a zero prefix is not allowed in ipset entries"}
        assert refusal(api, "POST", f"{vm}/ipset", name="allow")[2] == {
            "name": "IPSet 'allow' already exists"
        }

    def test_one_is_renamed(self, api: Api, vm: str) -> None:
        api.post(f"{vm}/ipset", name="old", comment="kept")
        api.post(f"{vm}/ipset", name="new", rename="old")
        assert [(row["name"], row["comment"]) for row in api.get(f"{vm}/ipset")] == [("new", "kept")]


class TestAliases:
    def test_rules_and_sets_may_name_them(self, api: Api, vm: str) -> None:
        api.post(f"{vm}/aliases", name="Gateway", cidr="10.1.2.3")
        api.post(f"{vm}/ipset", name="allow")
        api.post(f"{vm}/ipset/allow", cidr="gateway")
        api.post(f"{vm}/rules", type="out", action="ACCEPT", dest="Gateway")
        assert api.get(f"{vm}/rules/0")["ipversion"] == 4
        refs = [(row["ref"], row["scope"], row["type"]) for row in api.get(f"{vm}/refs")]
        assert refs == [("+allow", "guest", "ipset"), ("Gateway", "guest", "alias")]

    def test_one_is_renamed_and_removed(self, api: Api, vm: str) -> None:
        api.post(f"{vm}/aliases", name="one", cidr="10.1.2.3")
        api.put(f"{vm}/aliases/one", cidr="10.1.2.4", rename="two")
        assert api.get(f"{vm}/aliases/two")["cidr"] == "10.1.2.4"
        api.delete(f"{vm}/aliases/two")
        assert refusal(api, "GET", f"{vm}/aliases/two")[2] == {"name": "no such alias"}


class TestLife:
    def test_a_clone_gets_a_copy_of_its_own(self, api: Api, vmids: Iterator[int]) -> None:
        source = api.clone(next(vmids))
        api.put(f"qemu/{source}/firewall/options", enable=1)
        target = api.clone(next(vmids), source=source)
        set_options(api, f"qemu/{target}/firewall", policy_out="DROP")
        assert api.get(f"qemu/{target}/firewall/options")["enable"] == 1
        assert "policy_out" not in api.get(f"qemu/{source}/firewall/options")

    def test_a_destroyed_vm_leaves_nothing_to_the_next_of_that_number(
        self, api: Api, vmids: Iterator[int]
    ) -> None:
        vmid = api.clone(next(vmids))
        api.put(f"qemu/{vmid}/firewall/options", enable=1)
        api.done(api.delete(f"qemu/{vmid}"))
        api.clone(vmid, source=TEMPLATE)
        assert set(api.get(f"qemu/{vmid}/firewall/options")) == {"digest"}


class TestPolicy:
    """What the sandbox is told: `Firewall` by itself, on files of its own."""

    @pytest.fixture
    def firewall(self, tmp_path: Path) -> Firewall:
        configs = Configs(tmp_path / "configs", "n", fsync=False)
        configs.save(100, Config({"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1"}))
        firewall = Firewall(tmp_path / "firewall", configs)
        for name in (DATACENTER, 100):
            with firewall.edit(name) as objects:
                objects.options["enable"] = 1
        return firewall

    def test_it_is_on_only_with_every_switch(self, firewall: Firewall, tmp_path: Path) -> None:
        assert firewall.policy(100).enabled
        with firewall.edit(NODE) as objects:
            objects.options["enable"] = 0
        assert firewall.switches(100) == (True, False, True, True)
        assert not firewall.policy(100).enabled

    def test_a_device_without_it_switches_it_off(self, firewall: Firewall, tmp_path: Path) -> None:
        firewall._configs.save(100, Config({"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0"}))
        assert firewall.switches(100)[3] is False

    def test_rules_are_resolved(self, firewall: Firewall) -> None:
        with firewall.edit(100) as objects:
            objects.options["policy_out"] = "DROP"
            objects.aliases["gw"] = {"name": "gw", "cidr": "10.1.0.1"}
            objects.ipsets["allow"] = [
                {"cidr": "192.168.0.0/30"},
                {"cidr": "192.168.0.1", "nomatch": 1},
                {"cidr": "gw"},
            ]
            objects.rules = [
                {"type": "out", "action": "ACCEPT", "enable": 1, "dest": "+allow", "macro": "Web"},
                {"type": "out", "action": "DROP", "enable": 0},
                {"type": "out", "action": "ACCEPT", "enable": 1, "dest": "gw", "proto": "tcp", "dport": "9"},
            ]
        allowed = ("10.1.0.1/32", "192.168.0.0/32", "192.168.0.2/31")
        policy = firewall.policy(100)
        assert (policy.policy_in, policy.policy_out) == ("DROP", "DROP")
        assert policy.ipsets == {"allow": allowed}
        assert policy.rules == (
            Rule("out", "ACCEPT", "tcp", dest=allowed, dport="80"),
            Rule("out", "ACCEPT", "tcp", dest=allowed, dport="443"),
            Rule("out", "ACCEPT", "tcp", dest=("10.1.0.1",), dport="9"),
        )

    def test_it_outlives_the_node(self, firewall: Firewall, tmp_path: Path) -> None:
        again = Firewall(tmp_path / "firewall", firewall._configs)
        assert again.policy(100).enabled

    def test_a_failed_edit_changes_nothing(self, firewall: Firewall) -> None:
        with contextlib.suppress(Failure), firewall.edit(100) as objects:
            objects.options.clear()
            raise Failure("no")
        assert firewall.view(100).options == {"enable": 1}

    def test_a_backup_carries_it(self, firewall: Firewall) -> None:
        exported = firewall.exported(100)
        assert exported is not None
        firewall.restore(101, exported)
        assert firewall.view(101) == Objects(options={"enable": 1})
        assert firewall.exported(102) is None
