"""Machines on a real node, whose agent writes what the test says; operations are carried out in this process."""

import json
import shlex
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.utils.module_loading import import_string

from budgets import actions as budgets
from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint
from guests import reconcile
from guests.models import Guest
from guests.states import State as GuestState
from machines import actions, types
from machines.models import Machine
from operations import watcher
from operations.models import Operation, Status
from projects import actions as projects
from projects.models import Project, User
from proxmox import connect
from proxmox.connect import driver
from tests.node_process import NodeProcess

SECONDS = 60
HISTORY = "/var/lib/autovibe/scribe/history.jsonl"
SCRIBE = f"""
name = "scribe"
title = "Scribe"
summary = "Does nothing, and is written for."
good_at = ["tests"]
command = "sleep 600"
resume_command = "sleep 600"
checkpoints = "every_call"
transcripts = ["{HISTORY.rpartition("/")[0]}", "/workspace/notes.md"]
"""
# What is really in a guest, as manifests tell it, without times.
_LOOK = """
import hashlib, json, os, stat, sys
root = os.environ.get("GUEST_ROOT", "")
found = {}
for top, prefix in ((root + "/workspace", ""), (root + sys.argv[1], sys.argv[1] + "/")):
    for directory, names, files in os.walk(top):
        for name in names + files:
            real = os.path.join(directory, name)
            info = os.lstat(real)
            path = prefix + os.path.relpath(real, top)
            if stat.S_ISLNK(info.st_mode):
                found[path] = ["link", os.readlink(real)]
            elif stat.S_ISDIR(info.st_mode):
                found[path] = ["dir", stat.S_IMODE(info.st_mode)]
            else:
                found[path] = ["file", stat.S_IMODE(info.st_mode), hashlib.sha256(open(real, "rb").read()).hexdigest()]
print(json.dumps(found))
"""


@dataclass
class Scene:
    """One node, one project, and the hands of workers and hub."""

    project: Project
    alice: User
    genesis: Checkpoint

    def spawn(self, source: Checkpoint | None = None) -> Machine:
        """A machine that runs, from there; it goes on with the conversation."""
        fresh = Checkpoint.objects.select_related("guest").get(pk=(source or self.genesis).pk)
        machine = actions.spawn(
            project=self.project, source=fresh, type_name="scribe", prompt="Write", by=self.alice
        )
        self.carry()
        machine.refresh_from_db()
        assert machine.state == "running", machine.sentence
        return machine

    def do(self, machine: Machine, script: str) -> str:
        """Run a script in the guest's workspace."""
        ran = driver().run(machine.guest.vm, f'set -e; cd "${{GUEST_ROOT:-}}/workspace"; {script}')
        assert ran.code == 0, ran.err.decode()
        return ran.out.decode()

    def say(self, machine: Machine, text: str) -> None:
        """The agent's history goes on."""
        path = f'"${{GUEST_ROOT:-}}{HISTORY}"'
        self.do(
            machine, f"mkdir -p $(dirname {path}); printf '%s\\n' {shlex.quote(json.dumps(text))} >> {path}"
        )

    def take(self, machine: Machine, kind: str = "automatic", **more: Any) -> Checkpoint:
        """A checkpoint as it is taken around a model call, once it is settled."""
        machine.refresh_from_db()
        prepared = checkpoints.prepare(
            project=self.project,
            guest=machine.guest,
            origin=machine.subject,
            name=machine.handle,
            kind=Checkpoint.Kind(kind),
            why="",
            parent=machine.present or machine.source,
            begun=True,
            position=checkpoints.Position(uuid.uuid4() if kind == "automatic" else None),
            **more,
        )
        Machine.objects.filter(pk=machine.pk).update(present=prepared)
        checkpoints.take(prepared, by=None)
        self.carry()
        return Checkpoint.objects.select_related("guest", "manifest", "shares").get(pk=prepared.pk)

    def rollback(self, machine: Machine, target: Checkpoint) -> None:
        machine.refresh_from_db()
        actions.rollback(machine, Checkpoint.objects.get(pk=target.pk), by=self.alice)
        self.carry()
        machine.refresh_from_db()
        assert machine.state == "running", machine.sentence

    def files(self, machine: Machine) -> dict[str, list[Any]]:
        """What is really there."""
        directory = HISTORY.rpartition("/")[0]
        return dict(json.loads(self.do(machine, f"python3 -c {shlex.quote(_LOOK)} {directory}")))

    def carry(self) -> None:
        """Until nothing is under way any more."""
        deadline = time.monotonic() + SECONDS
        while operation := Operation.objects.active().order_by("created_at").first():
            assert time.monotonic() < deadline, f"{operation}: {operation.status} {operation.error}"
            for queued in Operation.objects.filter(status=Status.QUEUED).order_by("created_at"):
                import_string(queued.task)(str(queued.id))
            time.sleep(min(watcher.tick(), 0.05))


def listed(checkpoint: Checkpoint) -> dict[str, list[Any]]:
    """What its list says, in the same words as `Scene.files`."""
    assert checkpoint.manifest
    tell = {
        "file": lambda one: ["file", one["mode"], one["sha256"]],
        "dir": lambda one: ["dir", one["mode"]],
        "link": lambda one: ["link", one["target"]],
    }
    return {one["path"]: tell[one["kind"]](one) for one in checkpoint.manifest.entries}


def build(node: NodeProcess, directory: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A scene on that node, with the machine type of the test."""
    (directory / "scribe.toml").write_text(SCRIBE)
    settings.MACHINE_TYPES_DIR = str(directory)
    settings.PROXMOX_URL, settings.PROXMOX_TOKEN = node.url, node.token
    monkeypatch.setattr(connect, "_local", threading.local())
    types._load.cache_clear()
    alice = User.objects.create_user("alice")
    project = projects.create(slug="demo", by=alice)
    budgets.set_limit(project, resource="money", limit=1_000_000, by=alice)
    template = Guest.objects.create(vmid=9000, node=node.name, template=True, state=GuestState.PRESENT)
    scene = Scene(project, alice, checkpoints.genesis(project, template))
    reconcile.reconcile()
    return scene
