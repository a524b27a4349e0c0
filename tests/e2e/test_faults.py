"""What is killed, cut off or restarted in the middle of things leaves machines that finish, or fail with a sentence."""

import signal
from typing import Any

import pytest

from tests.e2e.stack import Stack, eventually

pytestmark = pytest.mark.e2e

PROMPT = "Write a fizzbuzz with tests and make them pass"
SETTINGS = {"OFFLINE_MODEL_LATENCY_SECONDS": "0.3"}
NODE = ("--faults",)  # an operator has to be able to unlock what it left


@pytest.mark.parametrize(
    ("part", "moment"),
    [
        ("worker", "checkpointing"),
        pytest.param("hub", "spawning", marks=pytest.mark.whole),
        pytest.param("worker", "spawning", marks=pytest.mark.whole),
        pytest.param("hub", "checkpointing", marks=pytest.mark.whole),
        ("node", "checkpointing"),
        pytest.param("node", "spawning", marks=pytest.mark.whole),
        pytest.param("web", "spawning", marks=pytest.mark.whole),
        pytest.param("web", "checkpointing", marks=pytest.mark.whole),
    ],
)
def test_a_part_that_is_killed_in_the_middle_loses_nothing(stack: Stack, part: str, moment: str) -> None:
    handles = [stack.spawn(PROMPT) for _ in range(3)]
    eventually(lambda: _has_come(stack, handles, moment), what=f"a machine to be {moment}")

    stack.kill(part)
    stack.start(part)

    for handle in handles:
        machine = _end_of(stack, handle)
        assert machine["state"] == "terminated" or machine["sentence"]
    _nothing_is_wrong(stack, handles)


def _has_come(stack: Stack, handles: list[str], moment: str) -> bool:
    if moment == "spawning":
        return any(
            stack.get(f"machines/{handle}/")["state"] in {"cloning", "provisioning"} for handle in handles
        )
    return any(one["state"] == "requested" for handle in handles for one in stack.checkpoints(handle))


def test_a_snapshot_that_dies_waits_for_an_operator_and_the_agent_goes_on_meanwhile(stack: Stack) -> None:
    stack.operator.break_off("POST */snapshot")
    handle = stack.spawn(PROMPT)

    eventually(lambda: _stuck(stack), seconds=60, what="an operation to need an operator")
    eventually(lambda: len(stack.get(f"machines/{handle}/calls/")["results"]) >= 3, what="the agent to go on")

    assert _end_of(stack, handle)["exit_code"] == 0
    _nothing_is_wrong(stack, [handle])


def test_a_database_that_drops_every_connection_is_come_back_to(stack: Stack) -> None:
    import psycopg

    handle = stack.spawn(PROMPT)
    with psycopg.connect(stack.environment["DATABASE_URL"], autocommit=True) as connection:
        for _ in range(3):
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    eventually(lambda: _ended(stack, handle), seconds=150, what=f"{handle} to end")
    _nothing_is_wrong(stack, [handle])


def test_a_node_that_is_down_is_waited_for(stack: Stack) -> None:
    stack.kill("node", signal.SIGKILL)
    handle = stack.spawn("echo hello", "shell")

    stack.start("node")

    assert stack.await_state(handle, "terminated", seconds=120)["exit_code"] == 0


def test_guests_that_are_switched_off_with_their_node_go_on_where_they_were(stack: Stack) -> None:
    handle = stack.spawn(PROMPT)
    eventually(lambda: len(stack.checkpoints(handle)) >= 3, what="some work to be done")
    stack.kill("node", signal.SIGTERM)  # a host that is shut down stops its guests
    stack.start("node")

    machine = eventually(
        lambda: (m := stack.get(f"machines/{handle}/"))["state"] in {"paused", "terminated", "failed"} and m,
        seconds=60,
    )
    assert (machine["state"], machine["paused_for"]) == ("paused", "guest"), machine["sentence"]
    assert f"bin/autovibe resume {handle}" in machine["sentence"]
    stack.post(f"machines/{handle}/resume/")

    assert stack.await_state(handle, "terminated", seconds=90)["exit_code"] == 0


def _end_of(stack: Stack, handle: str) -> dict[str, Any]:
    """The machine, once it has ended; an operator is there meanwhile, who does once what an operation asks for."""
    helped: set[str] = set()

    def look() -> dict[str, Any] | None:
        for operation in _stuck(stack):
            if operation["id"] not in helped:
                helped.add(operation["id"])
                stack.operator.obey(operation["error"])
        return _ended(stack, handle)

    try:
        machine: dict[str, Any] = eventually(look, seconds=150)
    except AssertionError as error:
        raise AssertionError(f"{handle} did not end: {error} {stack.story(handle)}") from None
    return machine


def _stuck(stack: Stack) -> list[dict[str, Any]]:
    """Operations that need an operator: a node that dies in the middle of a snapshot leaves a lock for a person."""
    try:
        found: list[dict[str, Any]] = stack.get("operations/", status="needs_operator")["results"]
    except (OSError, AssertionError):  # the web process is on its way back
        return []
    return found


def _ended(stack: Stack, handle: str) -> dict[str, Any] | None:
    try:
        machine: dict[str, Any] = stack.get(f"machines/{handle}/")
    except (OSError, AssertionError):  # the web process is on its way back
        return None
    return machine if machine["state"] in {"terminated", "failed"} else None


def _nothing_is_wrong(stack: Stack, handles: list[str]) -> None:
    """No guest twice, none that nobody knows, no open hold, and a ledger whose sums agree."""
    import requests

    rows = requests.get(
        f"{stack.node_url}/api2/json/cluster/resources?type=vm",
        headers={"Authorization": f"PVEAPIToken={stack.environment['PROXMOX_TOKEN']}"},
        timeout=10,
    ).json()["data"]
    known = {stack.get(f"machines/{handle}/")["vmid"] for handle in handles}
    names = [row["name"] for row in rows if row["vmid"] in known]
    assert len(names) == len(set(names))
    stack.manage("ledger", "verify")
    for budget in stack.get("projects/demo/budgets/")["budgets"]:
        assert budget["spent"] + budget["reserved"] <= budget["limit"]
