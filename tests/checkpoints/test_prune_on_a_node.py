"""Taking, branching, going back and pruning in a made-up order on a real node: what is kept still holds its files."""

import random
import re
from collections.abc import Callable

import pytest

from checkpoints import actions as checkpoints
from checkpoints.contents import files, garbage
from checkpoints.keeping import pruning
from checkpoints.models import Checkpoint
from machines import actions
from machines.keeping import pruning as retention
from machines.models import Machine
from proxmox.connect import driver
from tests.faults.conftest import Scene, nodes, scene  # noqa: F401 - fixtures

pytestmark = pytest.mark.e2e

WORKSPACE = '"${GUEST_ROOT:-}/workspace"'
RULES = {"keep_last": 2, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "milestones": False}


class Story:
    """One machine and its branches; `seed` says what happens to them."""

    def __init__(self, at: Scene, seed: int) -> None:
        self.at, self.chance = at, random.Random(seed)
        self.machines = [at.running()]
        pruning.set_rules(at.project, RULES, by=at.alice)

    def take(self) -> None:
        machine = self._machine()
        path, content = self.chance.choice("abc"), self.chance.randrange(1000)
        self._run(machine, f"echo {content} > {path}; rm -f {self.chance.choice('def')}")
        actions.checkpoint(machine, by=self.at.alice)
        self.at.carry()

    def branch(self) -> None:
        if found := self._kept():
            self.machines.append(self.at.spawn(self.chance.choice(found)))
            self.at.carry()

    def restore(self) -> None:
        machine = self._machine()
        if found := [one for one in self._kept() if one.guest_id == machine.guest_id]:
            self.go_back(machine, self.chance.choice(found))

    def prune(self) -> None:
        retention.prune(self.at.project)
        self.at.carry()
        garbage.sweep_all()

    def go_back(self, machine: Machine, target: Checkpoint) -> None:
        actions.rollback(machine, target, by=self.at.alice)
        self.at.carry()

    def check(self) -> None:
        """Each checkpoint that is kept: its machine, put back to it, has the very files of its list."""
        for checkpoint in self._kept():
            machine = actions.machine_of(checkpoint)
            assert machine
            checkpoints.require_usable(checkpoint)
            self.go_back(self._fresh(machine), checkpoint)
            listed = {
                one["path"]: one["sha256"] for one in files.entries(checkpoint) if one["kind"] == "file"
            }
            said = self._run(self._fresh(machine), "find . -type f -exec sha256sum {} +")
            found = {path: digest for digest, path in re.findall(r"(\w{64})  \./(.+)", said)}
            assert found == listed, checkpoint.handle
            assert all(files.content(checkpoint, path) for path in listed)

    def _machine(self) -> Machine:
        return self._fresh(self.chance.choice(self.machines))

    def _fresh(self, machine: Machine) -> Machine:
        found = Machine.objects.select_related("guest", "project", "source", "present").get(pk=machine.pk)
        assert found.state == "running", found.sentence
        return found

    def _kept(self) -> list[Checkpoint]:
        kept = Checkpoint.objects.filter(project=self.at.project, state="captured").exclude(kind="genesis")
        return list(kept.select_related("guest", "project", "manifest").order_by("created_at"))

    def _run(self, machine: Machine, script: str) -> str:
        ran = driver().run(machine.guest.vm, f"cd {WORKSPACE} && {script}")
        assert ran.code == 0, ran.err
        return ran.out.decode()


def test_whatever_happens_in_between_each_list_is_what_a_machine_put_back_to_it_has(
    scene: Callable[[str], Scene],  # noqa: F811
) -> None:
    story = Story(scene("lvmthin"), seed=5)
    for verb in ("take", "take", "restore", "take", "prune", "branch", "take", "prune"):
        getattr(story, verb)()

    pruned = Checkpoint.objects.filter(state="pruned").count()
    story.check()

    assert pruned >= 2
    story.at.check()
