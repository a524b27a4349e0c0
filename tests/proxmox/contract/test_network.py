"""The contract: a VM's firewall is made to be a policy, and read back; consoles and histories are told."""

import pytest

from proxmox import errors
from proxmox.driver import VM, Policy, Rule
from tests.proxmox.recorder import ROOT, form

SEALED = Policy(
    incoming="DROP",
    outgoing="REJECT",
    rules=(
        Rule("out", "ACCEPT", "+gateway", "tcp", "8000", "the gateway"),
        Rule("out", "ACCEPT", "192.0.2.53", "udp", "53"),
        Rule("in", "ACCEPT", "192.0.2.0/24", "tcp", "22"),
    ),
    sets={"gateway": frozenset({"192.0.2.1", "2001:db8::/64"})},
)
OPEN = Policy("DROP", "ACCEPT", (Rule("out", "DROP", "+inside"),), {"inside": frozenset({"10.0.0.0/8"})})


class TestFirewall:
    def test_a_policy_is_read_back_as_it_was_made(self, driver, off):
        driver.protect(off, SEALED)

        found = driver.firewall(off)
        assert found.policy == SEALED
        assert found.vm
        assert found.node
        assert found.interfaces

    def test_another_policy_takes_its_place_and_leaves_nothing_of_it(self, driver, off):
        driver.protect(off, SEALED)
        driver.protect(off, OPEN)

        assert driver.firewall(off).policy == OPEN

    def test_the_same_again_changes_nothing(self, driver, off):
        driver.protect(off, OPEN)
        driver.protect(off, OPEN)

        assert driver.firewall(off).policy == OPEN

    def test_members_of_a_set_come_and_go(self, driver, off):
        for members in ({"10.1.0.0/16", "10.2.0.0/16"}, {"10.2.0.0/16", "10.3.0.0/16"}, set()):
            policy = Policy("DROP", "ACCEPT", OPEN.rules, {"inside": frozenset(members)})
            driver.protect(off, policy)
            assert driver.firewall(off).policy == policy

    def test_a_strangers_vm_is_left_alone(self, driver, off):
        with pytest.raises(errors.NotOurs):
            driver.protect(VM(off.node, off.vmid, "somebody-else"), OPEN)


class TestConsole:
    def test_a_ticket_says_where_and_how(self, driver, running):
        console = driver.console(running)

        address, _, query = console.url.partition("?")
        assert address.startswith(("ws://", "wss://"))
        assert f"{ROOT}/nodes/{running.node}/qemu/{running.vmid}/vncwebsocket" in address
        assert 5900 <= int(form(query)["port"][0]) <= 5999
        assert 0 < len(form(query)["vncticket"][0]) <= 512  # vncwebsocket takes no more
        assert console.greeting.endswith("\n")
        assert console.headers["Authorization"].startswith("PVEAPIToken=")


class TestHistory:
    @pytest.mark.parametrize("timeframe", ["hour", "day", "week", "month", "year"])
    def test_it_is_told_oldest_first(self, driver, running, timeframe):
        samples = driver.history(running, timeframe)

        assert [one.at for one in samples] == sorted(one.at for one in samples)
        assert all(one.cpu >= 0 and one.memory_bytes >= 0 for one in samples)
