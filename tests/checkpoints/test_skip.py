"""Skipping: a checkpoint that finds nothing changed shares the last one's snapshot, and any other does not."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from checkpoints import actions
from checkpoints.contents import parts
from checkpoints.models import Blob, Checkpoint, Manifest
from checkpoints.states import State
from checkpoints.taking import sharing
from guests.models import Guest
from machines.models import Machine
from projects.models import Project
from proxmox.connect import driver
from tests.checkpoints.kept import sha
from tests.checkpoints.real import Scene, build, listed
from tests.guest.conftest import eventually
from tests.node_process import NodeProcess, start_node

CHANGES = {
    "a file of the workspace": "echo two > src/a",
    "who may read it": "chmod 600 src/a",
    "whose it is": "chown 7 src/a",
    "a new directory": "mkdir src/empty",
    "a program elsewhere": 'mkdir -p "${GUEST_ROOT:-}/opt"; echo x > "${GUEST_ROOT:-}/opt/tool"',
    "a file that is gone": "rm src/b",
    "a history that went away": "rm notes.md",
    "a directory of the history": 'mkdir "${GUEST_ROOT:-}/var/lib/autovibe/scribe/more"',
}


class TestInAGuest:
    @pytest.fixture(scope="class")
    def node(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
        with start_node(tmp_path_factory.mktemp("node")) as node:
            yield node

    @pytest.fixture
    def scene(
        self,
        transactional_db: None,
        node: NodeProcess,
        tmp_path: Path,
        settings: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Scene:
        return build(node, tmp_path, settings, monkeypatch)

    @pytest.fixture
    def machine(self, scene: Scene) -> Machine:
        """It has written something."""
        machine = scene.spawn()
        scene.do(machine, "mkdir src; echo one > src/a; ln -s a src/b; echo first > notes.md")
        scene.say(machine, "one")
        return machine

    def snapshots(self, machine: Machine) -> set[str]:
        return {one.name for one in driver().snapshots(machine.guest.vm)}

    def test_a_turn_that_only_talked_shares_the_last_snapshot(self, scene: Scene, machine: Machine) -> None:
        first = scene.take(machine)
        scene.say(machine, "two")
        scene.do(machine, "echo second >> notes.md")
        scene.do(
            machine, 'mkdir -p "${GUEST_ROOT:-}/tmp"; echo x > "${GUEST_ROOT:-}/tmp/x"'
        )  # volatile, but where it is
        second = scene.take(machine)
        third = scene.take(machine)

        assert (first.shares, second.shares, third.shares) == (None, first, first)
        assert [one.state for one in (first, second, third)] == [State.CAPTURED] * 3
        assert second.snapshot == third.snapshot == first.snapshot
        assert self.snapshots(machine) == {first.snapshot}
        assert listed(third) == scene.files(machine)

    def test_whatever_else_changed_is_in_a_snapshot_of_its_own(self, scene: Scene, machine: Machine) -> None:
        scene.take(machine)
        for what, script in CHANGES.items():
            scene.do(machine, script)

            after = scene.take(machine)

            assert after.shares is None, what
            assert after.snapshot in self.snapshots(machine)
            assert listed(after) == scene.files(machine)
            assert scene.take(machine).shares == after

    def test_after_a_return_the_state_is_not_taken_for_the_same(self, scene: Scene, machine: Machine) -> None:
        first = scene.take(machine)
        scene.do(machine, "echo two > src/a")
        scene.take(machine)
        scene.rollback(machine, first)

        after = scene.take(machine)

        assert after.parent == first
        assert after.shares is None
        assert after.work_digest == first.work_digest
        assert after.rest_digest != first.rest_digest

    def test_it_says_where_the_conversation_stood(self, scene: Scene, machine: Machine) -> None:
        scene.do(machine, "rm notes.md")
        first = scene.take(machine)
        scene.say(machine, "two")
        second = scene.take(machine)

        assert first.transcript == second.transcript == "/var/lib/autovibe/scribe/history.jsonl"
        assert (first.transcript_bytes, second.transcript_bytes) == (len('"one"\n'), len('"one"\n"two"\n'))


def entry(path: str, content: bytes, **more: Any) -> dict[str, Any]:
    Blob.objects.bulk_create([Blob.holding(sha(content), content)], ignore_conflicts=True)
    size = len(content)
    return {
        "path": path, "kind": "file", "mode": 0o644, "size": size, "sha256": sha(content), "mtime_ns": 1,
        "kept": True, **more,
    }  # fmt: skip


def manifest_of(*entries: dict[str, Any]) -> Manifest:
    return parts.keep(sorted(entries, key=lambda one: str(one["path"])), files=1, size=1)


Take = Callable[..., Checkpoint]


class TestDecision:
    """The same without a guest: what it says is as it is here, but for what each test changes."""

    @pytest.fixture
    def take(self, project: Project, genesis: Checkpoint) -> Take:
        guest = Guest.objects.create(project=project, vmid=10_000, node="n")

        def take(parent: Checkpoint | None = None, **more: Any) -> Checkpoint:
            prepared = actions.prepare(
                project=project, guest=more.pop("guest", guest), origin="machine:1", name="m1", why="",
                kind=more.pop("kind", Checkpoint.Kind.AUTOMATIC), parent=parent or genesis,
            )  # fmt: skip
            said = {"work_digest": "w", "rest_digest": "r", **more}
            said.setdefault("manifest", manifest_of(entry("a", b"1"), entry("/log", b"1")))
            Checkpoint.objects.filter(pk=prepared.pk).update(**said)
            prepared.refresh_from_db()
            sharing.consider(prepared)
            prepared.refresh_from_db()
            prepared.move(State.CAPTURED, captured_at=timezone.now())
            return prepared

        return take

    def test_what_is_the_same_shares_the_last_snapshot(self, take: Take) -> None:
        first = take()
        second = take(first)

        assert take(second).shares == second.shares == first

    @pytest.mark.parametrize(
        "said",
        [
            {"work_digest": "other"},
            {"rest_digest": "other"},
            {"rest_digest": ""},
            {"work_digest": ""},
            {"ram": True},
            {"kind": Checkpoint.Kind.MANUAL},
            {"kind": Checkpoint.Kind.FINAL},
            {"manifest": None},
        ],
        ids=str,
    )
    def test_what_is_not_the_same_or_was_asked_for_shares_nothing(
        self, take: Take, said: dict[str, Any]
    ) -> None:
        assert take(take(), **said).shares is None

    @pytest.mark.parametrize(
        "was",
        [
            {"rest_digest": ""},
            {"ram": True},
            {"state": State.PRUNING},
            {"state": State.BROKEN},
            {"manifest": None},
        ],
        ids=str,
    )
    def test_nothing_is_shared_with_one_that_is_not_known_well_enough(
        self, take: Take, was: dict[str, Any]
    ) -> None:
        first = take()
        Checkpoint.objects.filter(pk=first.pk).update(**was)
        first.refresh_from_db()

        assert take(first).shares is None

    def test_nothing_is_shared_between_guests(self, take: Take, project: Project) -> None:
        other = Guest.objects.create(project=project, vmid=10_001, node="n")

        assert take(take(), guest=other).shares is None

    def test_nothing_is_shared_where_that_is_not_wanted(self, take: Take, settings: Any) -> None:
        settings.CHECKPOINT_SKIP = False

        assert take(take()).shares is None

    def test_history_that_is_kept_may_have_grown(self, take: Take) -> None:
        grown = manifest_of(entry("a", b"1"), entry("/log", b"12"), entry("/more", b"1"))

        assert take(take(), manifest=grown).shares

    @pytest.mark.parametrize(
        "entries",
        [
            [("a", b"1"), ("/log", b"12", {"kept": False})],
            [("a", b"1")],
            [("a", b"2"), ("/log", b"1")],
            [("a", b"1"), ("b", b"1"), ("/log", b"1")],
        ],
        ids=["history that is not kept", "history that is gone", "another file", "one more file"],
    )
    def test_what_a_guest_says_is_compared_with_what_it_listed(
        self, take: Take, entries: list[tuple[Any, ...]]
    ) -> None:
        made = [entry(path, content, **(more[0] if more else {})) for path, content, *more in entries]

        assert take(take(), manifest=manifest_of(*made)).shares is None

    @pytest.mark.django_db(transaction=True)
    def test_retention_that_is_faster_is_waited_for(self, take: Take) -> None:
        first = take()
        locked, waited = threading.Event(), []

        def prune() -> None:
            with transaction.atomic():
                row = Checkpoint.objects.select_for_update().get(pk=first.pk)
                row.move(State.PRUNING)
                locked.set()
                waited.append(eventually(_somebody_waits))
            connection.close()

        pruning = threading.Thread(target=prune)
        pruning.start()
        assert locked.wait(20)

        assert take(first).shares is None

        pruning.join()
        assert waited == [True]


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(cursor.fetchone()[0])
