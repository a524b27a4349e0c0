"""The driver, over HTTP, against the embedded node: what the rest of autovibe relies on."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from proxmox import errors
from proxmox.driver import VM, Clone, Power, Task
from proxmox.pve import PveDriver
from tests.node_process import NodeProcess, start_node
from tests.proxmox.recorder import checked, form  # noqa: F401
from tests.proxmox.scripted import Answer, Asked, scripted

pytestmark = pytest.mark.usefixtures("checked")

TEMPLATE = 9000
NUMBERS = itertools.count(20_000)
OWNER = "0b7d1c5e-1111-4222-8333-444455556666"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with start_node(tmp_path_factory.mktemp("node"), faults=True) as started:
        yield started


@pytest.fixture
def driver(node: NodeProcess) -> PveDriver:
    return PveDriver(node.url, node.token)


def fault(node: NodeProcess, **what: Any) -> None:
    """Plan a fault of the node."""
    requests.post(f"{node.url}/fault", headers=node.headers, json=what, timeout=5).raise_for_status()


@pytest.fixture
def away(node: NodeProcess) -> Iterator[None]:
    """The node is down."""
    fault(node, action="node-down")
    yield
    requests.delete(f"{node.url}/fault", headers=node.headers, timeout=5).raise_for_status()


def finish(driver: PveDriver, upid: str | None) -> str:
    """Wait for a task; its result."""
    deadline = time.monotonic() + 20
    while upid and time.monotonic() < deadline:
        if result := driver.tasks([upid])[0].result:
            return result
        time.sleep(0.02)
    assert upid is None, f"{upid} did not end"
    return "OK"


def await_agent(driver: PveDriver, vm: VM) -> None:
    deadline = time.monotonic() + 10
    while not driver.agent_answers(vm):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def make(driver: PveDriver, node: NodeProcess) -> Callable[..., VM]:
    def make(snapshot: str = "", source: int = TEMPLATE) -> VM:
        vm = VM(node.name, next(NUMBERS), OWNER)
        clone = Clone(VM(node.name, source), snapshot, vm, f"m{vm.vmid}", f"ours\n{OWNER}", "autovibe")
        driver.ensure_pool("autovibe")
        assert finish(driver, driver.clone(clone)) == "OK"
        driver.configure(vm, {"tags": "autovibe"})
        return vm

    return make


@pytest.fixture
def vm(make: Callable[..., VM]) -> VM:
    return make()


@pytest.fixture
def running(driver: PveDriver, vm: VM) -> VM:
    finish(driver, driver.start(vm))
    await_agent(driver, vm)
    return vm


class TestPower:
    def test_it_is_told_as_it_is(self, driver, running):
        assert driver.observe(running).power == Power.RUNNING

        finish(driver, driver.suspend(running))
        assert driver.observe(running).power == Power.PAUSED
        assert next(one for one in driver.inventory() if one.vmid == running.vmid).power == Power.PAUSED

        finish(driver, driver.resume(running))
        finish(driver, driver.stop(running))
        assert driver.observe(running).power == Power.STOPPED

    def test_an_agent_of_a_vm_that_is_off_does_not_answer(self, driver, vm):
        assert not driver.agent_answers(vm)
        with pytest.raises(errors.AgentAbsent):
            driver.run(vm, "true")


class TestGuest:
    def test_a_script_runs_with_its_arguments_and_its_end_is_told(self, driver, running):
        ran = driver.run(running, 'printf "%s|%s" "$1" "$2"; echo oops >&2; exit 3', "a b", "c")

        assert (ran.code, ran.out, ran.err) == (3, b"a b|c", b"oops\n")

    def test_bytes_survive_the_way_in_and_out(self, driver, running):
        content = bytes(range(256)) * 100

        driver.write(running, "/workspace/x.bin", content)

        assert driver.read(running, "/workspace/x.bin") == content
        assert driver.run(running, 'cat "${GUEST_ROOT:-}/workspace/x.bin"').out == content

    def test_what_does_not_end_in_time_is_an_unknown_outcome(self, driver, running):
        with pytest.raises(errors.UnknownOutcome, match="did not end within"):
            driver.run(running, "sleep 30", seconds=0.3)


class TestSnapshot:
    def test_going_back_puts_the_files_back(self, driver, running):
        driver.write(running, "/workspace/a", b"one")
        assert finish(driver, driver.snapshot(running, "c1", "first")) == "OK"
        driver.write(running, "/workspace/a", b"two")
        finish(driver, driver.stop(running))

        assert finish(driver, driver.rollback(running, "c1")) == "OK"

        finish(driver, driver.start(running))
        await_agent(driver, running)
        assert driver.read(running, "/workspace/a") == b"one"

    def test_one_with_memory_of_a_guest_that_is_a_process_is_not_possible(self, driver, running):
        result = finish(driver, driver.snapshot(running, "c1", "", ram=True))

        assert type(errors.classify(result)) is errors.Unsupported
        assert driver.snapshots(running) == []

    def test_a_name_that_is_used_is_an_error_of_the_task(self, driver, vm):
        finish(driver, driver.snapshot(vm, "c1", ""))

        result = finish(driver, driver.snapshot(vm, "c1", ""))

        assert type(errors.classify(result)) is errors.Exists

    def test_a_clone_of_it_has_its_files_and_not_the_present_ones(self, driver, running, make):
        driver.write(running, "/workspace/a", b"then")
        finish(driver, driver.snapshot(running, "c1", ""))
        driver.write(running, "/workspace/a", b"now")

        branch = make("c1", running.vmid)

        finish(driver, driver.start(branch))
        await_agent(driver, branch)
        assert driver.read(branch, "/workspace/a") == b"then"

    def test_what_the_storage_can_is_told_before(self, driver, vm):
        finish(driver, driver.snapshot(vm, "c1", ""))

        assert driver.supports(vm, "clone", "c1")


class TestOwnership:
    @pytest.mark.parametrize("act", ["destroy", "stop"])
    def test_a_vm_without_our_mark_is_left_alone(self, driver, vm, act):
        stranger = VM(vm.node, vm.vmid, "somebody-else")

        with pytest.raises(errors.NotOurs, match="left alone"):
            getattr(driver, act)(stranger)

    def test_the_template_cannot_be_destroyed_by_mistake(self, driver, node):
        with pytest.raises(errors.NotOurs):
            driver.destroy(VM(node.name, TEMPLATE, OWNER))


class TestTasks:
    def test_a_task_that_nobody_knows_has_an_unknown_outcome(self, driver, node):
        unknown = f"UPID:{node.name}:00000001:00000001:65000000:qmclone:9000:autovibe@pve!local:"

        (task,) = driver.tasks([unknown])

        assert type(errors.classify(task.result)) is errors.UnknownOutcome

    def test_one_that_has_just_been_started_may_not_be_known_yet(self, driver, node):
        young = f"UPID:{node.name}:00000001:00000001:{int(time.time()):08X}:qmclone:9000:autovibe@pve!local:"

        assert driver.tasks([young]) == [Task(young)]

    def test_one_that_works_on_a_vm_is_told_while_it_does(self, driver, node, vm):
        fault(node, action="slow-task", match="POST */snapshot", seconds=1, times=1)
        upid = driver.snapshot(vm, "c1", "")

        assert driver.running_task(vm) == upid
        assert finish(driver, upid) == "OK"
        assert driver.running_task(vm) == ""

    def test_a_long_log_is_told_by_its_end(self):
        lines = [{"n": n, "t": f"line {n}"} for n in range(1, 1201)]

        def page(asked: Asked) -> Answer:
            sent = form(urlsplit(asked.path).query)
            start, limit = int(sent["start"][0]), int(sent["limit"][0])
            return Answer(body=json.dumps({"data": lines[start : start + limit], "total": len(lines)}))

        with scripted(page) as server:
            log = PveDriver(server.url, "a@pve!b=c").task_log("UPID:pve1:1:1:1:x:100:a@pve!b:")

        assert log.splitlines() == [f"line {n}" for n in range(1001, 1201)]

    def test_many_are_asked_about_together(self, driver, make):
        vms = [make() for _ in range(4)]
        upids = [upid for vm in vms if (upid := driver.start(vm))]

        assert [finish(driver, upid) for upid in upids] == ["OK"] * 4
        assert [task.result for task in driver.tasks(upids)] == ["OK"] * 4

    def test_ours_is_found_again_by_kind_and_vm(self, driver, vm):
        since = time.time()
        upid = driver.snapshot(vm, "c9", "")

        assert driver.find_task(vm.node, "qmsnapshot", vm.vmid, since) == upid


class TestANodeThatIsDown:
    def test_its_vms_are_unknown_and_the_list_is_told_all_the_same(self, driver, running, away):
        found = next(one for one in driver.inventory() if one.vmid == running.vmid)

        assert found.power == Power.UNKNOWN
        assert driver.locate(running.vmid) == running.node
        assert [node.online for node in driver.nodes()] == [False]
        assert driver.storages() == []

    def test_that_it_goes_down_between_two_questions_is_no_error_of_the_list(self, driver, node, running):
        fault(node, action="fail", match="GET /nodes/*/qemu", status=595, reason="No route to host", times=1)

        assert next(one for one in driver.inventory() if one.vmid == running.vmid).power == Power.UNKNOWN
        assert next(one for one in driver.inventory() if one.vmid == running.vmid).power == Power.RUNNING

    def test_nothing_was_done_and_it_is_safe_to_ask_again(self, driver, running, away):
        with pytest.raises(errors.Transient, match="No route to host"):
            driver.start(running)

    def test_nothing_is_known_of_its_tasks_and_that_is_told(self, driver, running, away):
        upid = f"UPID:{running.node}:00000001:00000001:65000000:qmclone:9000:autovibe@pve!local:"

        with pytest.raises(errors.Transient):
            driver.tasks([upid])


class TestUnreachable:
    def test_a_refused_connection_is_safe_to_repeat(self):
        nobody = PveDriver("http://127.0.0.1:9", "autovibe@pve!local=x")

        with pytest.raises(errors.Transient, match="cannot be reached"):
            nobody.start(VM("n", 100))

    def test_a_wrong_token_is_refused(self, node):
        with pytest.raises(errors.Refused):
            PveDriver(node.url, "autovibe@pve!local=wrong").version()

    def test_a_missing_vm_is_missing(self, driver, node):
        with pytest.raises(errors.Missing):
            driver.config(VM(node.name, 999_999))


def test_a_node_that_was_killed_comes_back_with_its_guests(tmp_path: Path):
    with start_node(tmp_path, keep_guests_running=True) as first:
        driver = PveDriver(first.url, first.token)
        vm = VM(first.name, 10_001, OWNER)
        driver.ensure_pool("autovibe")
        finish(driver, driver.clone(Clone(VM(first.name, TEMPLATE), "", vm, "m1", OWNER, "autovibe")))
        driver.configure(vm, {"tags": "autovibe"})
        finish(driver, driver.start(vm))
        first.kill()

    with start_node(tmp_path) as second:
        assert PveDriver(second.url, second.token).observe(vm).power == Power.RUNNING
