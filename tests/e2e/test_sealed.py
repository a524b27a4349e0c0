"""The main job with its network closed: the gateway is all that the agent reaches, and all that it needs."""

import pytest
import requests

from tests.e2e.stack import NODE_SECRET, Stack

pytestmark = pytest.mark.e2e

TOKEN = {"Authorization": f"PVEAPIToken=autovibe@pve!local={NODE_SECRET}"}
LOOK = """
reach() { python3 -c "import socket; socket.create_connection(('127.0.0.1', $1), 3)" 2>/dev/null; }
reach %(web)s && echo "gateway reached"
reach %(node)s || echo "node out of reach"
"""


@pytest.fixture(scope="module", autouse=True)
def _enforcing(stack: Stack) -> None:
    """Switch the data centre's firewall on, as an operator does."""
    url = f"{stack.node_url}/api2/json/cluster/firewall/options"
    requests.put(url, headers=TOKEN, data={"enable": 1}, timeout=5).raise_for_status()


class TestSealedMachine:
    def test_an_agent_does_its_whole_job(self, stack: Stack) -> None:
        handle = stack.spawn("Write a fizzbuzz with tests and make them pass", network="sealed")
        machine = stack.await_state(handle, "terminated")

        assert (machine["network"], machine["exit_code"]) == ("sealed", 0)
        assert len(stack.checkpoints(handle)) >= 6

    def test_it_reaches_the_gateway_and_not_the_node(self, stack: Stack) -> None:
        ports = {name: url.rpartition(":")[2] for name, url in (("web", stack.url), ("node", stack.node_url))}
        handle = stack.spawn(LOOK % ports, kind="shell", network="sealed")
        stack.await_state(handle, "terminated")

        said = [line["text"] for line in stack.get(f"machines/{handle}/log/")["lines"]]
        assert {"gateway reached", "node out of reach"} <= set(said)
