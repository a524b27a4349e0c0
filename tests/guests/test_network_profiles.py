"""Network profiles: the policy they become, the proof that it is in force, and machines that run under it."""

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from autovibe.environment import destinations as parsed
from checkpoints.states import State as CheckpointState
from guests import network
from guests.models import Guest
from guests.profiles import ORDER, Destination, Profile, policy, shortfall, stricter
from guests.states import State
from machines import actions
from machines.models import Machine
from machines.states import State as MachineState
from operations import engine
from operations.models import Operation, Status
from projects.errors import Invalid
from proxmox import errors
from proxmox.connect import driver
from proxmox.driver import VM, Clone, Firewall, Policy, Power, Rule
from tests.node_process import NodeProcess

NETWORKS = st.one_of(
    st.ip_addresses().map(str),
    st.tuples(st.ip_addresses(v=4), st.integers(1, 32)).map(
        lambda pair: str(ipaddress.ip_network(pair, strict=False))
    ),
)
DESTINATIONS = st.builds(Destination, NETWORKS, st.integers(0, 65535), st.sampled_from(["tcp", "udp"]))


def allows(found: Policy, address: str, port: int, protocol: str) -> bool:
    """What Proxmox's firewall does with a first packet out: the first rule that fits decides."""
    for rule in found.rules:
        members = found.sets[rule.peer[1:]] if rule.peer else {"0.0.0.0/0", "::/0"}
        there = any(ipaddress.ip_address(address) in ipaddress.ip_network(one) for one in members)
        if there and rule.protocol in {"", protocol} and rule.port in {"", str(port)}:
            return rule.action == "ACCEPT"
    return found.outgoing == "ACCEPT"


class TestPolicy:
    @given(st.lists(DESTINATIONS, max_size=8), st.integers(1, 65535), st.sampled_from(["tcp", "udp"]))
    def test_it_lets_through_what_was_named_and_nothing_else(self, named, port, protocol):
        found = policy(named)

        for one in named:
            address = str(ipaddress.ip_network(one.network)[0])
            assert allows(found, address, one.port or port, one.protocol if one.port else protocol)
            fits = [
                other
                for other in named
                if ipaddress.ip_address(address) in ipaddress.ip_network(other.network)
                and other.port in {0, port}
                and (not other.port or other.protocol == protocol)
            ]
            assert allows(found, address, port, protocol) == bool(fits)

    @given(st.lists(DESTINATIONS, max_size=8))
    def test_nothing_comes_in_and_the_rest_is_refused(self, named):
        found = policy(named)

        assert (found.incoming, found.outgoing) == ("DROP", "REJECT")
        assert {(rule.direction, rule.action) for rule in found.rules} <= {("out", "ACCEPT")}

    @given(st.lists(DESTINATIONS, max_size=8))
    def test_the_order_in_which_things_are_named_does_not_matter(self, named):
        assert policy(named) == policy(named[::-1])

    def test_no_network_is_any_network(self):
        assert allows(policy([Destination("", 53, "udp")]), "192.0.2.1", 53, "udp")


class TestStricter:
    @given(st.sampled_from(ORDER), st.sampled_from(ORDER))
    def test_it_is_one_of_the_two_whichever_comes_first(self, one, other):
        assert stricter(one, other) == stricter(other, one) == min(one, other, key=ORDER.index)

    def test_sealed_is_the_strictest_and_open_the_least(self):
        assert (ORDER[0], ORDER[-1]) == (Profile.SEALED, Profile.OPEN)


WANTED = policy([Destination("192.0.2.1/32", 443), Destination("198.51.100.0/24")])
GOOD = Firewall(cluster=True, node=True, vm=True, interfaces=True, policy=WANTED)


def lacking(**more: object) -> str:
    values = {name: getattr(GOOD, name) for name in GOOD.__slots__}
    return shortfall(Firewall(**{**values, **more}), WANTED, node="pve1", vmid=100)


class TestShortfall:
    def test_all_four_switches_and_the_policy_are_enough(self):
        assert lacking() == ""

    @pytest.mark.parametrize(
        ("switch", "command"),
        [
            ("cluster", "pvesh set /cluster/firewall/options --enable 1"),
            ("node", "pvesh set /nodes/pve1/firewall/options --enable 1"),
            ("vm", "pvesh set /nodes/pve1/qemu/100/firewall/options --enable 1"),
            ("interfaces", "qm set 100 --net0 …,firewall=1"),
        ],
    )
    def test_each_switch_that_is_off_is_named_with_the_command_that_mends_it(self, switch, command):
        assert command in lacking(**{switch: False})

    def test_the_command_for_the_data_centre_comes_with_a_warning(self):
        assert "every node refuses incoming connections" in lacking(cluster=False)

    @pytest.mark.parametrize(
        "other",
        [
            Policy("ACCEPT", "REJECT", WANTED.rules, WANTED.sets),
            Policy("DROP", "ACCEPT", WANTED.rules, WANTED.sets),
            Policy("DROP", "REJECT", WANTED.rules[:1], WANTED.sets),
            Policy("DROP", "REJECT", (Rule("out", "ACCEPT"), *WANTED.rules), WANTED.sets),
            Policy(
                "DROP", "REJECT", WANTED.rules, {**WANTED.sets, "autovibe-any": frozenset({"10.0.0.0/8"})}
            ),
            Policy("DROP", "REJECT", WANTED.rules, {**WANTED.sets, "autovibe-any": frozenset({"dc/office"})}),
        ],
    )
    def test_a_policy_that_differs_is_not_accepted(self, other):
        assert "something else changes them" in lacking(policy=other)

    def test_comments_and_ways_to_write_an_address_do_not_matter(self):
        rules = tuple(Rule("out", "ACCEPT", rule.peer, rule.protocol, rule.port) for rule in WANTED.rules)
        sets = {**WANTED.sets, "autovibe-tcp-443": frozenset({"192.0.2.1/32"})}

        assert lacking(policy=Policy("DROP", "REJECT", rules, sets)) == ""


class TestDestinations:
    @pytest.fixture(autouse=True)
    def _plain(self, settings):
        settings.GATEWAY_URL = "http://192.0.2.10:8000"
        settings.NETWORK_ALLOW = settings.NETWORK_HUB_ALLOW = settings.NETWORK_DNS = []

    def test_a_gateway_that_is_given_by_address_is_all_that_sealed_guests_reach(self):
        assert list(network.destinations(Profile.SEALED)) == [Destination("192.0.2.10", 8000)]

    @pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443)])
    def test_the_port_is_the_schemes_when_none_is_said(self, settings, scheme, port):
        settings.GATEWAY_URL = f"{scheme}://192.0.2.10/"
        assert list(network.destinations(Profile.SEALED)) == [Destination("192.0.2.10", port)]

    def test_what_is_allowed_to_everybody_and_to_hubs_is_added(self, settings):
        settings.NETWORK_ALLOW, settings.NETWORK_HUB_ALLOW = [("10.0.0.5/32", 3128)], [("10.1.0.0/16", 0)]
        sealed, hub = (set(network.destinations(one)) for one in (Profile.SEALED, Profile.HUB))

        assert sealed == {Destination("192.0.2.10", 8000), Destination("10.0.0.5/32", 3128)}
        assert hub == {*sealed, Destination("10.1.0.0/16")}

    def test_a_gateway_that_is_given_by_name_needs_its_resolver(self, settings, monkeypatch):
        answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.10", 443))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **more: answer)
        settings.GATEWAY_URL, settings.NETWORK_DNS = "https://gateway.example", ["10.0.0.53/32"]

        found = set(network.destinations(Profile.SEALED))

        dns = {Destination("10.0.0.53/32", 53, protocol) for protocol in ("udp", "tcp")}
        assert found == {Destination("192.0.2.10", 443), *dns}

    def test_this_computers_own_name_needs_none(self, settings):
        settings.GATEWAY_URL = "http://localhost:8000"
        assert list(network.destinations(Profile.SEALED)) == [Destination("127.0.0.1", 8000)]

    def test_an_address_is_no_name_however_it_is_written(self, settings):
        settings.GATEWAY_URL = "http://[2001:DB8:0::1]:8000"
        assert {one.port for one in network.destinations(Profile.SEALED)} == {8000}

    def test_a_gateway_without_an_address_is_refused(self, settings):
        settings.GATEWAY_URL = "http://gateway.invalid"
        with pytest.raises(
            (errors.Refused, errors.Transient), match=r"gateway\.invalid.*AUTOVIBE_GATEWAY_URL"
        ):
            list(network.destinations(Profile.SEALED))


class TestSettings:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", []),
            ("10.0.0.0/8", [("10.0.0.0/8", 0)]),
            (" 10.0.0.5:443 , 2001:db8::/32 ", [("10.0.0.5/32", 443), ("2001:db8::/32", 0)]),
            ("[2001:db8::1]:8000", [("2001:db8::1/128", 8000)]),
        ],
    )
    def test_networks_with_and_without_a_port_are_understood(self, monkeypatch, text, expected):
        monkeypatch.setenv("NETWORK_ALLOW", text)
        assert parsed("NETWORK_ALLOW") == expected

    @pytest.mark.parametrize(
        "text", ["example.org", "10.0.0.1/8", "10.0.0.1:0", "10.0.0.1:65536", "0.0.0.0/0:80", "::/0"]
    )
    def test_nonsense_and_everything_are_refused(self, monkeypatch, text):
        monkeypatch.setenv("NETWORK_ALLOW", text)
        with pytest.raises(ImproperlyConfigured, match="NETWORK_ALLOW: "):
            parsed("NETWORK_ALLOW")


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def gateway(settings) -> Iterator[int]:
    """Something that answers where the settings say that the gateway is; its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings.GATEWAY_URL = f"http://127.0.0.1:{server.server_port}"
        yield server.server_port
        server.shutdown()


def switch(node: NodeProcess, *, on: bool) -> None:
    url = f"{node.url}/api2/json/cluster/firewall/options"
    requests.put(url, headers=node.headers, data={"enable": int(on)}, timeout=5).raise_for_status()


@pytest.fixture
def enforcing(connected: NodeProcess) -> Iterator[NodeProcess]:
    """The node, with the data centre's switch on."""
    switch(connected, on=True)
    yield connected
    switch(connected, on=False)


def reached(vm: VM, port: int) -> bool:
    """Whether a guest gets an answer from that port of this computer."""
    program = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{port}/', timeout=5).read()"
    return driver().run(vm, f'python3 -c "{program}"').code == 0


class TestClose:
    @pytest.fixture
    def guest(self, connected: NodeProcess, gateway: int, db: None) -> Guest:
        """A clone that is off and carries our mark."""
        vmid = 7000 + Guest.objects.count() + len(driver().inventory())
        guest = Guest.objects.create(vmid=vmid, node="embedded", state=State.PRESENT)
        template = VM("embedded", 9000)
        driver().ensure_pool("autovibe")
        upid = driver().clone(Clone(template, "", guest.vm, f"n{vmid}", str(guest.id), "autovibe"))
        while upid and not driver().tasks([upid])[0].result:
            pass
        driver().configure(guest.vm, {"tags": "autovibe"})
        return guest

    @pytest.mark.parametrize("profile", [Profile.SEALED, Profile.HUB])
    def test_a_profile_is_set_and_proven(self, enforcing, guest, profile):
        network.close(guest, profile)

        found = driver().firewall(guest.vm)
        wanted = policy(network.destinations(profile))
        assert shortfall(found, wanted, node=guest.node, vmid=guest.vmid) == ""

    def test_a_data_centre_whose_firewall_is_off_is_an_error_with_the_command(self, connected, guest):
        with pytest.raises(errors.Refused, match=r"“sealed” cannot be enforced: the data centre's.*enable=1"):
            network.close(guest, Profile.SEALED)

    def test_open_needs_nothing(self, connected, guest):
        network.close(guest, Profile.OPEN)

        assert not driver().firewall(guest.vm).vm

    def test_open_lifts_what_came_with_a_clone(self, enforcing, guest):
        network.close(guest, Profile.SEALED)
        network.close(guest, Profile.OPEN, inherited=Profile.SEALED)

        assert driver().firewall(guest.vm).policy.outgoing == "ACCEPT"

    def test_what_somebody_has_opened_is_closed_again(self, enforcing, guest):
        network.close(guest, Profile.SEALED)
        wanted = driver().firewall(guest.vm).policy
        driver().protect(guest.vm, Policy("ACCEPT", "ACCEPT", (Rule("out", "ACCEPT"),)))
        network.close(guest, Profile.SEALED)

        assert driver().firewall(guest.vm).policy == wanted

    def test_nothing_is_written_when_all_is_as_it_should_be(self, enforcing, guest, fault):
        network.close(guest, Profile.SEALED)
        fault(match="P* */qemu/*/firewall/*", action="fail", status=500, reason="written to", times=0)

        network.close(guest, Profile.SEALED)


class TestSealedMachine:
    """Machines in real guests, whose operations are carried by the test."""

    @pytest.fixture
    def sealed(self, enforcing: NodeProcess, gateway: int, settings, spawned) -> Machine:
        settings.MACHINE_NETWORK = "sealed"
        machine: Machine = spawned()
        return machine

    def test_its_guest_reaches_the_gateway_and_nothing_else(self, sealed, gateway, enforcing):
        node_port = int(enforcing.url.rpartition(":")[2])

        assert sealed.network == Profile.SEALED
        assert reached(sealed.guest.vm, gateway)
        assert not reached(sealed.guest.vm, node_port)

    def test_it_is_sealed_again_before_it_goes_on(self, sealed, gateway, enforcing, alice, carry):
        carry(actions.pause(sealed, by=alice))
        driver().protect(sealed.guest.vm, Policy("ACCEPT", "ACCEPT"))
        sealed.refresh_from_db()
        carry(actions.resume(sealed, by=alice))

        assert driver().firewall(sealed.guest.vm).policy.outgoing == "REJECT"

    def test_it_waits_where_it_cannot_be_sealed_any_more_and_goes_on_once_it_can(
        self, sealed, enforcing, alice, carry, monkeypatch
    ):
        monkeypatch.setattr(engine, "LOOK_SECONDS", 0.2)
        carry(actions.pause(sealed, by=alice))
        switch(enforcing, on=False)
        sealed.refresh_from_db()
        operation = carry(actions.resume(sealed, by=alice), until=(Status.NEEDS_OPERATOR,))
        waiting = (operation.status, driver().observe(sealed.guest.vm).power)
        switch(enforcing, on=True)
        operation = carry(operation)

        assert waiting == (Status.NEEDS_OPERATOR, Power.PAUSED)
        assert operation.status == Status.SUCCEEDED, operation.error

    def test_it_is_sealed_after_a_rollback(self, sealed, gateway, enforcing, alice, carry):
        taken = actions.checkpoint(sealed, by=alice)
        carry(Operation.objects.get(verb="checkpoint", subject=sealed.subject))
        driver().protect(sealed.guest.vm, Policy("ACCEPT", "ACCEPT"))
        taken.refresh_from_db()
        operation = carry(actions.rollback(sealed, taken, by=alice))
        node_port = int(enforcing.url.rpartition(":")[2])

        assert operation.status == Status.SUCCEEDED, operation.error
        assert reached(sealed.guest.vm, gateway)
        assert not reached(sealed.guest.vm, node_port)

    def test_without_the_switch_it_does_not_start_and_says_why(
        self, connected, gateway, settings, funded_spawn, carry
    ):
        settings.MACHINE_NETWORK = "sealed"
        machine = funded_spawn()
        operation = carry(Operation.objects.get(subject=machine.subject, verb="spawn"))
        machine.refresh_from_db()

        assert operation.status == Status.FAILED
        assert machine.state == MachineState.FAILED
        assert "the data centre's firewall is off" in machine.sentence

    def test_an_open_branch_of_it_is_open(self, sealed, enforcing, settings, alice, carry, funded_spawn):
        taken = actions.checkpoint(sealed, by=alice)
        carry(Operation.objects.get(verb="checkpoint", subject=sealed.subject))
        taken.refresh_from_db()
        assert taken.state == CheckpointState.CAPTURED
        settings.MACHINE_NETWORK = ""
        branch = funded_spawn(source=taken, network="open")
        carry(Operation.objects.get(subject=branch.subject, verb="spawn"))
        node_port = int(enforcing.url.rpartition(":")[2])

        assert reached(branch.guest.vm, node_port)


@pytest.fixture
def funded_spawn(project, genesis, alice) -> Callable[..., Machine]:
    """Asks for a machine; nobody carries it out."""
    from budgets import actions as budgets

    budgets.set_limit(project, resource="money", limit=1_000_000, by=alice)

    def spawn(**more: object) -> Machine:
        asked = {"source": genesis, "type_name": "shell", "prompt": "sleep 600", **more}
        return actions.spawn(project=project, by=alice, **asked)  # type: ignore[arg-type]

    return spawn


class TestChoosing:
    @pytest.mark.parametrize(
        ("installation", "asked", "expected"),
        [
            ("", "", "open"),
            ("", "sealed", "sealed"),
            ("hub", "", "hub"),
            ("hub", "sealed", "sealed"),
            ("sealed", "sealed", "sealed"),
        ],
    )
    def test_a_spawn_may_be_stricter_than_its_type(
        self, funded_spawn, settings, installation, asked, expected
    ):
        settings.MACHINE_NETWORK = installation
        assert funded_spawn(network=asked).network == expected

    @pytest.mark.parametrize(("installation", "asked"), [("sealed", "hub"), ("hub", "open")])
    def test_but_not_laxer(self, funded_spawn, settings, installation, asked):
        settings.MACHINE_NETWORK = installation
        with pytest.raises(Invalid, match=f"profile “{installation}” at most"):
            funded_spawn(network=asked)

    def test_an_unknown_profile_is_refused_with_the_known_ones(self, funded_spawn):
        with pytest.raises(Invalid, match="sealed, hub, open"):
            funded_spawn(network="airtight")

    def test_a_branch_is_as_strict_as_what_it_comes_from(self, funded_spawn, alice):
        parent = funded_spawn(network="sealed")
        for state in (MachineState.CLONING, MachineState.PROVISIONING, MachineState.RUNNING):
            parent.move(state)
        left = actions.checkpoint(parent, by=alice)
        left.move(CheckpointState.CAPTURED)

        assert funded_spawn(source=left).network == "sealed"
        assert funded_spawn(source=left, network="open").network == "open"
