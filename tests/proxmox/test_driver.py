"""The driver, over HTTP, against the embedded node: what the rest of autovibe relies on."""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxmox import errors
from proxmox.driver import VM, Clone, Power
from proxmox.pve import PveDriver
from tests.node_process import NodeProcess, start_node

TEMPLATE = 9000
NUMBERS = itertools.count(20_000)
OWNER = "0b7d1c5e-1111-4222-8333-444455556666"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with start_node(tmp_path_factory.mktemp("node")) as started:
        yield started


@pytest.fixture
def driver(node: NodeProcess) -> PveDriver:
    return PveDriver(node.url, node.token)


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

    def test_many_are_asked_about_together(self, driver, make):
        vms = [make() for _ in range(4)]
        upids = [upid for vm in vms if (upid := driver.start(vm))]

        assert [finish(driver, upid) for upid in upids] == ["OK"] * 4
        assert [task.result for task in driver.tasks(upids)] == ["OK"] * 4

    def test_ours_is_found_again_by_kind_and_vm(self, driver, vm):
        since = time.time()
        upid = driver.snapshot(vm, "c9", "")

        assert driver.find_task(vm.node, "qmsnapshot", vm.vmid, since) == upid


class TestUnreachable:
    def test_a_refused_connection_is_safe_to_repeat(self):
        nobody = PveDriver("http://127.0.0.1:9", "autovibe@pve!local=x")

        with pytest.raises(errors.Transient, match="cannot be reached"):
            nobody.start(VM("n", 1))

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
