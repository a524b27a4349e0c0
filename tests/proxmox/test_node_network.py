"""Guests whose firewall is closed, on a real node: what they reach, and what cannot be enforced."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from proxmox.node.errors import Failure
from proxmox.node.firewall import Policy, Rule
from proxmox.node.outlets import Outlet, permitted
from tests.node_process import NodeProcess, start_node
from tests.proxmox.conftest import Api

# Says "yes" when it gets a connection and reads what the server there sends, else the error's name.
PROBE = """
import socket
try:
    with socket.create_connection(("{host}", {port}), timeout=3) as connection:
        connection.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        print("yes" if connection.makefile("rb").read() else "empty")
except OSError as error:
    print(type(error).__name__)
"""
BIG = 3_000_000


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"x" * (BIG if self.path == "/big" else 5)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        length = len(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(length).encode())

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def gateway() -> Iterator[int]:
    """A web server on this computer; its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[int]:
    """Another one, which no rule names."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def close(api: Api, vmid: int, *rules: dict[str, object], outgoing: str = "REJECT") -> None:
    """Switch everything on, and allow what the rules say."""
    api.put("/cluster/firewall/options", enable=1)
    options = f"{api.node.url}/api2/json/nodes/{api.node.name}/qemu/{vmid}/firewall/options"
    chosen = {"enable": 1, "policy_out": outgoing}
    requests.put(options, headers=api.node.headers, data=chosen, timeout=5).raise_for_status()
    for rule in rules:
        api.post(f"qemu/{vmid}/firewall/rules", **{"type": "out", "action": "ACCEPT", "enable": 1, **rule})
    config = api.get(f"qemu/{vmid}/config")
    for name, value in config.items():
        if name.startswith("net"):
            api.put(f"qemu/{vmid}/config", **{name: f"{value},firewall=1"})


def to(port: int, host: str = "127.0.0.1", proto: str = "tcp") -> dict[str, object]:
    return {"proto": proto, "dest": host, "dport": str(port)}


def reaches(api: Api, vmid: int, port: int, host: str = "127.0.0.1") -> str:
    program = PROBE.format(host=host, port=port)
    api.write(vmid, "/root/probe.py", program)
    return api.out(vmid, "python3 /root/probe.py").strip()


class TestClosedGuest:
    @pytest.fixture(scope="class")
    def vmid(self, node: NodeProcess, gateway: int) -> int:
        api = Api(node)
        vmid = api.clone(2100)
        close(api, vmid, to(gateway))
        api.start(vmid)
        return vmid

    def test_the_port_that_a_rule_names_answers(self, api, vmid, gateway):
        assert reaches(api, vmid, gateway) == "yes"

    def test_another_port_of_this_computer_does_not(self, api, vmid, elsewhere):
        assert reaches(api, vmid, elsewhere) == "ConnectionRefusedError"

    def test_the_node_itself_does_not(self, api, node, vmid):
        assert reaches(api, vmid, int(node.url.rpartition(":")[2])) == "ConnectionRefusedError"

    def test_the_outside_does_not(self, api, vmid):
        assert reaches(api, vmid, 53, host="192.0.2.1") == "OSError"  # unreachable: there is no route

    def test_long_answers_and_long_requests_get_through_whole(self, api, vmid, gateway):
        program = (
            f"import urllib.request as u; there = 'http://127.0.0.1:{gateway}/'; "
            f"print(len(u.urlopen(there + 'big').read()), u.urlopen(there, data=bytes({BIG})).read().decode())"
        )

        assert api.out(vmid, f'python3 -c "{program}"').split() == [str(BIG), str(BIG)]

    def test_many_connections_at_once_are_passed_on(self, api, vmid, gateway):
        program = f"""
import threading, urllib.request
answers = []
def ask():
    answers.append(urllib.request.urlopen("http://127.0.0.1:{gateway}/").read())
threads = [threading.Thread(target=ask) for _ in range(40)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(answers.count(b"xxxxx"))
"""
        api.write(vmid, "/root/many.py", program)

        assert api.out(vmid, "python3 /root/many.py").strip() == "40"

    def test_a_port_where_nobody_listens_gives_an_end_not_a_wait(self, api):
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            port = nobody.getsockname()[1]
        vmid = api.clone(2101)
        close(api, vmid, to(port))
        api.start(vmid)

        assert reaches(api, vmid, port) in {"empty", "ConnectionResetError"}

    def test_new_rules_hold_from_the_next_start(self, api, vmid, gateway, elsewhere):
        other = api.clone(2102)
        close(api, other, to(gateway))
        api.start(other)
        api.post(f"qemu/{other}/firewall/rules", type="out", action="ACCEPT", enable=1, **to(elsewhere))
        before = reaches(api, other, elsewhere)
        api.stop(other)
        api.start(other)

        assert (before, reaches(api, other, elsewhere)) == ("ConnectionRefusedError", "yes")

    def test_a_set_of_addresses_counts_as_what_is_in_it(self, api, gateway):
        vmid = api.clone(2103)
        api.post(f"qemu/{vmid}/firewall/ipset", name="gateway")
        api.post(f"qemu/{vmid}/firewall/ipset/gateway", cidr="127.0.0.1")
        close(api, vmid, to(gateway, host="+gateway"))
        api.start(vmid)

        assert reaches(api, vmid, gateway) == "yes"


class TestOpenGuest:
    @pytest.mark.parametrize(
        ("number", "left_out"), [(0, "/cluster/firewall/options"), (1, "qemu/{}/firewall/options")]
    )
    def test_one_switch_that_is_off_leaves_everything_open(
        self, tmp_path, gateway, elsewhere, number, left_out
    ):
        with start_node(tmp_path / "node") as running:
            api = Api(running)
            vmid = api.clone(2110)
            close(api, vmid, to(gateway))
            api.put(left_out.format(vmid), enable=0)
            api.start(vmid)

            assert reaches(api, vmid, elsewhere) == "yes"

    def test_a_policy_that_accepts_leaves_everything_open(self, api, gateway, elsewhere):
        vmid = api.clone(2112)
        close(api, vmid, to(gateway), outgoing="ACCEPT")
        api.start(vmid)

        assert reaches(api, vmid, elsewhere) == "yes"


class TestWhatCannotBeEnforced:
    @pytest.mark.parametrize(
        ("number", "rule", "what"),
        [
            (1, {"proto": "tcp", "dest": "192.0.2.0/24", "dport": "443"}, "tcp to 192.0.2.0/24 port 443"),
            (2, {"proto": "udp", "dport": "53"}, "udp to any address port 53"),
            (3, {"dest": "127.0.0.1"}, "any protocol to 127.0.0.1"),
        ],
    )
    def test_a_way_that_cannot_be_offered_makes_the_start_fail_and_says_which(self, api, number, rule, what):
        vmid = api.clone(2120 + number)
        close(api, vmid, rule)

        assert what in api.ended(api.post(f"qemu/{vmid}/status/start"))
        assert api.get(f"qemu/{vmid}/status/current")["status"] == "stopped"

    def test_plain_processes_cannot_be_closed_and_do_not_start(self, tmp_path, gateway):
        with start_node(tmp_path / "node", sandbox=False) as running:
            api = Api(running)
            vmid = api.clone(2130)
            close(api, vmid, to(gateway))

            ended = api.ended(api.post(f"qemu/{vmid}/status/start"))

        assert "cannot close it" in ended
        assert "open" in ended


class TestGuestWithoutANetworkDevice:
    def test_it_reaches_nothing_though_its_firewall_is_open(self, api, elsewhere):
        vmid = api.clone(2135)
        api.put(f"qemu/{vmid}/config", delete="net0")
        api.start(vmid)

        assert reaches(api, vmid, elsewhere) == "ConnectionRefusedError"
        assert reaches(api, vmid, 53, host="192.0.2.1") == "OSError"

    def test_it_does_not_start_where_that_cannot_be_had(self, tmp_path):
        with start_node(tmp_path / "node", sandbox=False) as running:
            api = Api(running)
            vmid = api.clone(2136)
            api.put(f"qemu/{vmid}/config", delete="net0")

            assert "shares its network" in api.ended(api.post(f"qemu/{vmid}/status/start"))


class TestAfterARestart:
    @pytest.mark.parametrize("frozen", [False, True])
    def test_a_closed_guest_keeps_its_way_out(self, tmp_path, gateway, elsewhere, frozen):
        with start_node(tmp_path, keep_guests_running=True) as first:
            api = Api(first)
            vmid = api.clone(2140)
            close(api, vmid, to(gateway))
            api.start(vmid)
            if frozen:
                api.done(api.post(f"qemu/{vmid}/status/suspend"))
            first.kill()
        with start_node(tmp_path) as second:
            api = Api(second)
            if frozen:
                api.done(api.post(f"qemu/{vmid}/status/resume"))

            assert reaches(api, vmid, gateway) == "yes"
            assert reaches(api, vmid, elsewhere) == "ConnectionRefusedError"


def allowing(*rules: Rule, outgoing: str = "DROP", enabled: bool = True) -> Policy:
    return Policy(enabled, "DROP", outgoing, rules)


class TestPermitted:
    @given(st.booleans(), st.sampled_from(["DROP", "REJECT"]))
    def test_nothing_is_permitted_where_no_rule_says_so(self, enabled, outgoing):
        assert permitted(allowing(outgoing=outgoing, enabled=enabled)) == (() if enabled else None)

    @given(st.sets(st.integers(1, 65535), min_size=1, max_size=10))
    def test_every_port_of_a_list_is_permitted_and_no_other(self, ports):
        rule = Rule("out", "ACCEPT", "tcp", dest=("127.0.0.1",), dport=",".join(map(str, ports)))

        assert permitted(allowing(rule)) == tuple(Outlet("127.0.0.1", port) for port in sorted(ports))

    def test_a_range_is_every_port_in_it(self):
        rule = Rule("out", "ACCEPT", "tcp", dest=("::1",), dport="8000:8002")

        assert permitted(allowing(rule)) == tuple(Outlet("::1", port) for port in (8000, 8001, 8002))

    def test_rules_about_what_comes_in_do_not_matter(self):
        assert permitted(allowing(Rule("in", "DROP"))) == ()

    @pytest.mark.parametrize(
        "rule",
        [
            Rule("out", "DROP", "tcp", dest=("127.0.0.1",), dport="80"),
            Rule("out", "ACCEPT", "tcp", dest=("127.0.0.0/8",), dport="80"),
            Rule("out", "ACCEPT", "tcp", dest=("127.0.0.1-127.0.0.9",), dport="80"),
            Rule("out", "ACCEPT", "tcp", dest=("127.0.0.1",), dport="http"),
            Rule("out", "ACCEPT", "tcp", dest=("127.0.0.1",), dport="1:1000"),
            Rule("out", "ACCEPT", "tcp", dest=("127.0.0.1",), dport="80", source=("10.0.0.1",)),
        ],
        ids=repr,
    )
    def test_what_cannot_be_kept_exactly_is_refused(self, rule):
        with pytest.raises(Failure, match="start failed"):
            permitted(allowing(rule))
