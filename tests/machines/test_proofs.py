"""What is proven and exported unasked: which comes first, and within which limits. No node is asked here."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from checkpoints.models import Checkpoint, Manifest, Verification
from checkpoints.states import Depth, State, Verdict
from guests.models import Guest, Storage
from guests.states import State as GuestState
from machines.keeping import proofs
from machines.models import Machine
from operations.models import Operation

NOW = timezone.now()


@pytest.fixture(autouse=True)
def _settings(settings: Any) -> None:
    settings.CHECKPOINT_PROOFS_AT_ONCE = 1
    settings.CHECKPOINT_PROOF_DEPTH = "boot"
    settings.PROXMOX_BACKUP_STORAGE = ""


@pytest.fixture
def machine(machine: Machine, genesis: Checkpoint) -> Machine:
    """One in a guest on LVM, from a genesis that was proven."""
    Checkpoint.objects.filter(pk=genesis.pk).update(proven_at=NOW, proven_depth="boot")
    Storage.objects.create(name="local-lvm", node="embedded", kind="lvmthin")
    Guest.objects.filter(pk=machine.guest_id).update(state=GuestState.PRESENT, storage="local-lvm")
    return machine


@pytest.fixture
def left(machine: Machine) -> Callable[..., Checkpoint]:
    """A checkpoint that the machine left, so many hours ago."""
    manifest = Manifest.objects.create(digest="0" * 64, files=0, size=0)
    numbers = iter(range(1, 100))

    def left(kind: str = "automatic", *, hours: float = 2, **more: Any) -> Checkpoint:
        number = next(numbers)
        return Checkpoint.objects.create(
            project=machine.project, guest=machine.guest, origin=machine.subject, number=number,
            handle=f"{machine.handle}.c{number}", snapshot=f"c{number}", kind=kind, why="", manifest=manifest,
            state=State.CAPTURED, captured_at=NOW - timedelta(hours=hours), **more,
        )  # fmt: skip

    return left


def wanted() -> list[str]:
    found = [one.handle.partition(".")[2] for one in proofs.candidates(Depth.BOOT, NOW)]
    return list(dict.fromkeys(found))


class TestCandidates:
    def test_milestones_come_before_the_newest_and_that_before_what_is_pinned(self, left):
        pinned = left(pinned=True, hours=9)
        final = left("final", hours=8)
        named = left(name="works", hours=7)
        left(hours=6)
        newest = left(hours=1)

        assert wanted() == [one.handle.partition(".")[2] for one in (named, final, newest, pinned)]

    def test_what_was_proven_deep_enough_rests_until_it_is_old(self, left, settings):
        old = NOW - timedelta(days=settings.CHECKPOINT_PROOF_DAYS + 1)
        lately = NOW - timedelta(hours=2)
        left("final", proven_at=lately, proven_depth="boot")
        again = left("manual", proven_at=old, proven_depth="boot")
        shallow = left("manual", proven_at=lately, proven_depth="metadata")

        assert wanted() == [one.handle.partition(".")[2] for one in (shallow, again)]

    def test_what_came_to_nothing_is_left_alone_for_a_day(self, left):
        tried = left("final")
        Verification.objects.create(checkpoint=tried, depth=Depth.BOOT, verdict=Verdict.ABANDONED)

        assert wanted() == []

    def test_a_machine_whose_newest_was_proven_lately_waits(self, left):
        left(proven_at=NOW - timedelta(minutes=5), proven_depth="boot")
        left(hours=1)

        assert wanted() == []


class TestTend:
    def test_no_more_scratch_guests_than_are_allowed(self, left):
        left("final")
        left("manual")

        proofs.tend(NOW)
        proofs.tend(NOW)

        assert Verification.objects.filter(verdict=Verdict.REQUESTED).count() == 1

    def test_a_project_that_has_used_up_its_time_waits(self, left, settings):
        used = left("final")
        left("manual")
        Verification.objects.create(
            checkpoint=used, depth=Depth.BOOT, verdict=Verdict.PASSED, ended_at=NOW,
            seconds=settings.CHECKPOINT_PROOF_SECONDS_A_DAY,
        )  # fmt: skip

        proofs.tend(NOW)

        assert not Verification.objects.filter(verdict=Verdict.REQUESTED).exists()

    def test_nothing_is_proven_where_none_is_allowed(self, left, settings):
        settings.CHECKPOINT_PROOFS_AT_ONCE = 0
        left("final")

        proofs.tend(NOW)

        assert not Operation.objects.filter(verb__in=["verify", "survey"]).exists()

    def test_the_metadata_of_a_guests_checkpoints_are_read_at_once(self, left):
        settled = {str(left().pk) for _ in range(3)}
        left(hours=0.1)

        proofs.tend(NOW)

        (operation,) = Operation.objects.filter(verb="survey")
        assert set(operation.arguments["checkpoints"]) == settled


class TestExports:
    @pytest.fixture(autouse=True)
    def _storage(self, settings: Any) -> None:
        settings.PROXMOX_BACKUP_STORAGE = "backups"

    @pytest.mark.parametrize(
        ("durable", "expected"),
        [("none", []), ("final", ["c4"]), ("milestone", ["c4", "c3"]), (2, ["c4", "c3", "c2"])],
    )
    def test_those_that_the_policy_names(self, left, machine, durable, expected):
        Machine.objects.filter(pk=machine.pk).update(checkpoints={"durable": durable})
        for number, kind in enumerate(("automatic", "automatic", "manual", "final")):
            left(kind, hours=9 - number)

        found = [one.handle.partition(".")[2] for one in proofs.wanted_durable(NOW)]

        assert found == expected

    def test_the_snapshot_that_a_milestone_shares_is_exported(self, left):
        holder = left()
        left("manual", shares=holder)

        assert proofs.wanted_durable(NOW) == [holder]

    def test_it_is_not_tried_again_at_once_and_what_was_deleted_is_not_made_again(self, left):
        final = left("final")

        proofs.tend(NOW)
        assert Operation.objects.filter(verb="export", arguments__checkpoint=str(final.pk)).count() == 1
        Operation.objects.filter(verb="export").update(status="succeeded", finished_at=NOW)

        assert proofs.wanted_durable(NOW + timedelta(days=90)) == []
