"""Going back to, and branching from, a checkpoint that shares a snapshot: its conversation is its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checkpoints.contents import manifests
from checkpoints.contents.integrity import Books
from checkpoints.models import Blob, Checkpoint
from checkpoints.trust import proofs
from machines import actions
from machines.models import Machine
from machines.work import bundle, rollback
from projects.errors import Conflict
from tests.checkpoints.real import HISTORY, Scene, build, listed
from tests.node_process import NodeProcess, start_node


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with start_node(tmp_path_factory.mktemp("node")) as node:
        yield node


@pytest.fixture
def scene(
    transactional_db: None, node: NodeProcess, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Scene:
    return build(node, tmp_path, settings, monkeypatch)


@pytest.fixture
def machine(scene: Scene) -> Machine:
    """It has a long history, and a note in its workspace that belongs to that."""
    machine = scene.spawn()
    scene.do(machine, "echo one > a; echo first > notes.md; chmod 600 notes.md")
    scene.say(machine, "one")
    scene.do(machine, f'head -c 200000 /dev/urandom | base64 >> "${{GUEST_ROOT:-}}{HISTORY}"')
    return machine


@pytest.fixture
def shared(scene: Scene, machine: Machine) -> Checkpoint:
    """It shares a snapshot; the machine has gone on since, in every way."""
    scene.take(machine)
    scene.say(machine, "two")
    scene.do(machine, "echo second >> notes.md; chown 7:8 notes.md")
    shared = scene.take(machine)
    assert shared.shares
    scene.say(machine, "three")
    scene.do(machine, "echo three > a; rm notes.md")
    assert scene.take(machine).shares is None
    return shared


def times(scene: Scene, machine: Machine) -> str:
    return scene.do(machine, f'stat -c %y "${{GUEST_ROOT:-}}{HISTORY}" | head -n 1')


class TestOverlay:
    def test_a_branch_and_a_return_have_its_files_and_its_conversation(
        self, scene: Scene, machine: Machine, shared: Checkpoint
    ) -> None:
        branch = scene.spawn(shared)

        assert scene.files(branch) == listed(shared)
        assert scene.do(branch, f'tail -n 1 "${{GUEST_ROOT:-}}{HISTORY}"') == '"two"\n'

        scene.rollback(machine, shared)

        assert scene.files(machine) == listed(shared)
        assert scene.do(machine, "stat -c %a notes.md") == "600\n"
        assert times(scene, machine) == times(scene, branch)
        after = scene.take(machine)
        assert (after.work_digest, after.digest) == (shared.work_digest, shared.digest)

    def test_only_what_was_added_to_it_is_sent(self, shared: Checkpoint) -> None:
        sent = {one["path"]: one for one in map(bundle._history, manifests.overlaid(shared))}

        assert sent.keys() == {HISTORY, "/workspace/notes.md"}
        assert sent[HISTORY]["keeps"] == 4 * 65536
        assert len(sent[HISTORY]["content"]) < 20_000

    def test_one_with_a_snapshot_of_its_own_has_nothing_to_overlay(
        self, scene: Scene, machine: Machine
    ) -> None:
        assert manifests.overlay(scene.take(machine)) == []

    def test_a_content_that_is_damaged_is_not_handed_out(self, shared: Checkpoint) -> None:
        damage(shared)

        with pytest.raises(Conflict, match="gone, or damaged"):
            manifests.overlay(shared)
        assert "gone, or damaged" in proofs.fault_in_rows(shared, Books())
        assert proofs.fault_in_rows(shared.holder, Books()) == ""

    def test_who_goes_back_to_it_lands_on_the_snapshot_that_it_shares(
        self, scene: Scene, machine: Machine, shared: Checkpoint
    ) -> None:
        damage(shared)
        actions.rollback(Machine.objects.get(pk=machine.pk), shared, by=scene.alice)
        scene.carry()

        machine, holder = Machine.objects.get(pk=machine.pk), shared.holder
        assert (machine.state, machine.present_id) == ("running", holder.pk)
        assert f"It goes back to {holder.handle}" in machine.sentence
        assert "three" not in scene.do(machine, f'cat a "${{GUEST_ROOT:-}}{HISTORY}"')
        states = {one.pk: one.state for one in Checkpoint.objects.filter(guest=machine.guest)}
        assert (states[shared.pk], states[holder.pk]) == ("broken", "captured")

    def test_it_is_found_while_the_vm_still_runs(self) -> None:
        names = [step.name for step in rollback.PLAN.steps]

        assert names.index("snapshot") < names.index("sound") < names.index("stop")


def damage(shared: Checkpoint) -> None:
    """What was said after the snapshot that it shares rots in our own store."""
    (change,) = [one for one in manifests.overlaid(shared) if one.after and one.after["path"] == HISTORY]
    assert change.after
    Blob.objects.filter(pk=change.after["chunks"][-1]).update(body=Blob.holding("", b"rot").body)
