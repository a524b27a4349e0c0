"""One file of a checkpoint back into a machine, on a real node: what is written, kept first, and refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checkpoints.contents import files
from checkpoints.models import Checkpoint
from checkpoints.states import State as CheckpointState
from events.models import Event
from machines import actions
from machines.models import Machine
from machines.states import State
from machines.work import restore_file
from operations.models import Operation
from projects import actions as projects
from projects.errors import Conflict, Invalid, NotThere
from proxmox.connect import driver
from proxmox.driver import Power
from tests.checkpoints.kept import machine_of, take
from tests.checkpoints.real import Scene, build
from tests.node_process import NodeProcess, start_node


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with start_node(tmp_path_factory.mktemp("node"), node_name="embedded") as started:
        yield started


@pytest.fixture
def scene(
    transactional_db: None,
    node: NodeProcess,
    tmp_path: Path,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Scene:
    return build(node, tmp_path, settings, monkeypatch)


@pytest.fixture
def machine(scene: Scene) -> Machine:
    return scene.spawn()


def restore(scene: Scene, machine: Machine, *args: Any, **how: Any) -> Operation:
    """Ask for it, and have it carried out."""
    machine.refresh_from_db()
    operation = actions.restore_file(machine, *args, by=scene.alice, **how)
    scene.carry()
    operation.refresh_from_db()
    machine.refresh_from_db()
    return operation


class TestRestore:
    def test_content_and_mode_are_those_of_the_checkpoint_and_its_owner_stays(self, scene, machine):
        scene.do(machine, "mkdir src; echo one > src/a.sh; chmod 750 src/a.sh; echo 1 > other")
        before = scene.take(machine)
        scene.do(machine, "echo two > src/a.sh; chmod 600 src/a.sh; chown 7:8 src/a.sh; echo 2 > other")

        operation = restore(scene, machine, before, "src/a.sh")

        assert (operation.status, machine.state) == ("succeeded", State.RUNNING)
        assert scene.do(machine, "cat src/a.sh other; stat -c '%a %u %g' src/a.sh") == "one\n2\n750 7 8\n"

    def test_the_present_is_kept_first_so_that_it_can_be_undone(self, scene, machine):
        scene.do(machine, "echo one > a")
        before = scene.take(machine)
        scene.do(machine, "echo two > a")

        restore(scene, machine, before, "a")

        kept = machine.present
        assert (kept.state, kept.kind, kept.trigger) == (CheckpointState.CAPTURED, "manual", "return")
        assert files.content(kept, "a") == b"two\n"
        restore(scene, machine, kept, "a")
        assert scene.do(machine, "cat a") == "two\n"

    def test_what_the_checkpoint_has_not_is_deleted_where_that_is_asked_for(self, scene, machine):
        before = scene.take(machine)
        scene.do(machine, "echo text > a")

        operation = restore(scene, machine, before, "a", delete=True)

        assert (operation.status, scene.do(machine, "ls")) == ("succeeded", "")

    def test_a_large_file_that_is_gone_with_its_directories_comes_whole(self, scene, machine):
        scene.do(machine, "mkdir -p d/e; head -c 300000 /dev/urandom > d/e/a; sha256sum d/e/a > sum")
        before = scene.take(machine)
        scene.do(machine, "rm -r d")

        restore(scene, machine, before, "d/e/a")

        assert scene.do(machine, "sha256sum -c sum") == "d/e/a: OK\n"

    def test_a_file_of_another_machine_of_the_project_comes_too(self, scene, machine):
        scene.do(machine, "echo one > a")
        before = scene.take(machine)
        other = scene.spawn()

        restore(scene, other, before, "a")

        assert scene.do(other, "cat a") == "one\n"

    def test_a_paused_machine_is_paused_again(self, scene, machine):
        scene.do(machine, "echo one > a")
        before = scene.take(machine)
        scene.do(machine, "echo two > a")
        actions.pause(machine, by=scene.alice)
        scene.carry()

        operation = restore(scene, machine, before, "a")

        assert (operation.status, machine.state) == ("succeeded", State.PAUSED)
        assert driver().observe(machine.guest.vm).power == Power.PAUSED
        assert files.content(machine.present, "a") == b"two\n"
        actions.resume(machine, by=scene.alice)
        scene.carry()
        assert scene.do(machine, "cat a") == "one\n"

    def test_the_agent_goes_on_afterwards_and_what_happened_is_recorded(self, scene, machine):
        scene.do(machine, "echo one > a")
        before = scene.take(machine)
        restore(scene, machine, before, "a")

        states = scene.do(machine, "cat /proc/[0-9]*/stat | grep '(sleep)' | cut -d' ' -f3 | sort -u")
        assert "T" not in states.split()
        event = Event.objects.get(kind="machine.file_restored")
        assert (event.actor, event.data["path"], event.data["source"]) == ("alice", "a", before.handle)
        assert event.data["kept"] == machine.present.handle


class TestPlan:
    def test_the_agent_goes_on_only_once_what_was_there_is_kept_and_the_file_is_written(self):
        names = [step.name for step in restore_file.PLAN.steps]

        assert names.index("contents") < names.index("write") < names.index("thaw")
        assert len(names) == len(set(names))


class TestRefusal:
    def test_a_way_out_of_the_workspace_is_refused_in_the_guest_and_the_machine_goes_on(self, scene, machine):
        scene.do(machine, "mkdir d; echo one > d/a")
        before = scene.take(machine)
        scene.do(machine, "rm -r d; ln -s /etc d")

        operation = restore(scene, machine, before, "d/a")

        assert (operation.status, machine.state) == ("failed", State.RUNNING)
        assert "d/a leads out of /workspace through a symbolic link" in operation.error
        assert scene.do(machine, 'ls "${GUEST_ROOT:-}/etc" | grep -x a || true') == ""
        assert Event.objects.get(kind="machine.file_not_restored").data["sentence"] == operation.error

    def test_a_paused_machine_is_paused_again_after_a_refusal_too(self, scene, machine):
        scene.do(machine, "echo one > a")
        before = scene.take(machine)
        scene.do(machine, "rm a; mkdir a")
        actions.pause(machine, by=scene.alice)
        scene.carry()

        operation = restore(scene, machine, before, "a")

        assert "a is a directory" in operation.error
        assert driver().observe(machine.guest.vm).power == Power.PAUSED

    def test_nothing_is_written_when_the_present_could_not_be_kept(self, scene, machine):
        scene.do(machine, "echo one > a")
        before = scene.take(machine)
        scene.do(machine, "echo two > a")
        operation = actions.restore_file(machine, before, "a", by=scene.alice)
        Checkpoint.objects.filter(pk=machine.present.pk).update(
            state=CheckpointState.BROKEN, error="No room."
        )
        scene.carry()

        operation.refresh_from_db()
        assert "The present could not be kept, so nothing was written: No room." in operation.error
        assert scene.do(machine, "cat a") == "two\n"

    def test_a_content_that_was_pruned_meanwhile_is_said_to_be_gone(self, scene, machine):
        scene.do(machine, "echo one > a")
        before = scene.take(machine)
        operation = actions.restore_file(machine, before, "a", by=scene.alice)
        Checkpoint.objects.filter(pk=before.pk).update(state=CheckpointState.PRUNED, manifest=None)
        scene.carry()

        operation.refresh_from_db()
        assert (operation.status, "was pruned" in operation.error) == ("failed", True)


class TestAsking:
    """What is refused before anything begins; of rows alone."""

    @pytest.fixture
    def machine(self, funded, genesis, alice) -> Machine:
        return machine_of(funded, genesis, alice, State.RUNNING)

    @pytest.mark.parametrize(
        "state", [state for state in State if state not in (State.RUNNING, State.PAUSED)]
    )
    def test_only_of_one_that_is_there(self, machine, alice, state):
        checkpoint = take(machine, {"a": b"1"})
        Machine.objects.filter(pk=machine.pk).update(state=state)
        machine.refresh_from_db()

        with pytest.raises(Conflict, match="“restore-file” is not possible now"):
            actions.restore_file(machine, checkpoint, "a", by=alice)

    def test_a_file_that_is_not_there_is_said_to_be_so_with_what_helps(self, machine, alice):
        with pytest.raises(NotThere, match="--delete"):
            actions.restore_file(machine, take(machine, {"a": b"1"}), "b", by=alice)

    def test_the_agents_history_does_not_come_back_alone(self, machine, alice):
        with pytest.raises(Invalid, match="workspace"):
            actions.restore_file(machine, take(machine, {"/root/x": b"1"}), "/root/x", by=alice)

    @pytest.mark.parametrize("path", ["", ".", "..", "../a", "d/../../a", "d//a", "./a", "a/", "/etc/passwd"])
    def test_a_way_out_is_refused_before_anything_is_begun_also_where_it_were_to_be_deleted(
        self, machine, alice, path
    ):
        checkpoint, before = take(machine, {"a": b"1"}), Operation.objects.count()

        with pytest.raises(Invalid, match="workspace"):
            actions.restore_file(machine, checkpoint, path, by=alice, delete=True)

        assert not Checkpoint.objects.filter(trigger="return").exists()
        assert Operation.objects.count() == before

    def test_a_checkpoint_of_another_project_is_refused(self, machine, alice):
        checkpoint = take(machine, {"a": b"1"})
        checkpoint.project = projects.create(slug="other", by=alice)
        checkpoint.save()

        with pytest.raises(Invalid, match="belongs to another project"):
            actions.restore_file(machine, checkpoint, "a", by=alice)

    @pytest.mark.parametrize(("who", "status"), [("alice", 202), ("bob", 403), ("charlie", 404)])
    def test_who_may_over_rest(self, api, machine, who, status):
        checkpoint = take(machine, {"a": b"1"})

        answer = api(who).post(
            f"/api/v1/machines/{machine.handle}/restore-file/", {"checkpoint": checkpoint.handle, "path": "a"}
        )

        assert answer.status_code == status
        if status == 202:
            assert answer.json()["verb"] == "restore_file"
