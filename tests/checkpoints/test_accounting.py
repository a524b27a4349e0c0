"""What keeping checkpoints takes: bytes of files, each counted once; and hours of them in the ledger."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from budgets import actions as budgets
from budgets import ledger
from budgets.models import LedgerEntry, Window
from budgets.resources import GB_HOUR
from checkpoints.contents import accounting
from checkpoints.models import Blob, Checkpoint
from events.models import Event
from guests.models import Guest
from guests.states import State as GuestState
from machines.keeping import storage
from machines.limits import compute
from machines.models import Machine
from machines.states import State
from projects import actions as projects
from projects.models import Project, User
from tests.checkpoints.kept import machine_of, over, take

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DISK = 8 * 3600 * 10**3  # megabyte-seconds of an hour of the disk


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


class TestBytes:
    def test_what_one_alone_has_is_noted_with_it(self, machine: Machine) -> None:
        first = take(machine, {"a": noise(100), "b": noise(200)})
        second = take(machine, {"a": noise(100), "c": noise(300)})

        accounting.reckon(machine.project)

        first.refresh_from_db()
        second.refresh_from_db()
        assert (first.unique_bytes, second.unique_bytes) == (200, 300)
        assert second.stored_bytes == len(bytes(Blob.objects.get(size=300).body))

    def test_what_two_share_neither_has_alone_even_where_their_files_are_the_same(
        self, machine: Machine
    ) -> None:
        both = [take(machine, {"a": noise(100)}) for _ in range(2)]

        accounting.reckon(machine.project)

        assert {Checkpoint.objects.get(pk=one.pk).unique_bytes for one in both} == {0}

    def test_a_content_at_several_paths_counts_once(self, machine: Machine) -> None:
        many = {f"{number}": noise(50) for number in range(500)}  # in several parts of the list

        checkpoint = take(machine, many)
        accounting.reckon(machine.project)

        checkpoint.refresh_from_db()
        assert checkpoint.unique_bytes == 50
        assert accounting.of_project(machine.project).logical_bytes == 500 * 50

    def test_nobody_is_told_what_another_project_has(
        self, machine: Machine, genesis: Checkpoint, alice: User
    ) -> None:
        other = projects.create(slug="other", by=alice)
        budgets.set_limit(other, resource="money", limit=1_000_000, by=alice)
        source = Checkpoint.objects.create(
            project=other, guest=genesis.guest, origin=other.subject, number=0, handle="other.c0", kind="genesis",
            state="captured",
        )  # fmt: skip
        theirs = machine_of(other, source, alice, State.RUNNING)
        mine = take(machine, {"a": noise(100)})
        take(theirs, {"a": noise(100)})

        accounting.reckon(machine.project)

        mine.refresh_from_db()
        assert mine.unique_bytes == 100

    def test_sums_count_what_is_shared_once_and_say_what_that_saves(self, machine: Machine) -> None:
        for _ in range(4):
            take(machine, {"a": noise(1000)})

        found = accounting.of_project(machine.project)

        assert (found.logical_bytes, found.unique_bytes) == (4000, 1000)
        assert found.dedup_ratio == round(4000 / found.stored_bytes, 2)

    @settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9)), min_size=1, max_size=6))
    def test_any_series_adds_up_as_by_hand(self, machine: Machine, series: list[dict[str, int]]) -> None:
        Checkpoint.objects.filter(origin=machine.subject).update(manifest=None)
        taken = [take(machine, {path: noise(size) for path, size in files.items()}) for files in series]

        accounting.reckon(machine.project)

        for number, checkpoint in enumerate(taken):
            others = {size for at, files in enumerate(series) if at != number for size in files.values()}
            checkpoint.refresh_from_db()
            assert checkpoint.unique_bytes == sum(set(series[number].values()) - others)
        found = accounting.of_project(machine.project)
        assert found.unique_bytes == sum({size for files in series for size in files.values()})
        assert found.held_bytes == sum(sum(set(files.values())) for files in series if files)


class TestStorageOverRest:
    @pytest.mark.parametrize(("who", "status"), [("bob", 200), ("charlie", 404)])
    def test_who_may(self, api: Callable[[str], APIClient], machine: Machine, who: str, status: int) -> None:
        assert api(who).get("/api/v1/projects/demo/storage/").status_code == status
        assert api(who).get(f"/api/v1/machines/{machine.handle}/storage/").status_code == status

    def test_it_tells_of_the_project_and_of_each_machine(
        self, api: Callable[[str], APIClient], machine: Machine
    ) -> None:
        take(machine, {"a": noise(100)}, backup_bytes=5)

        found = api("bob").get("/api/v1/projects/demo/storage/").json()

        assert (found["logical_bytes"], found["backup_bytes"], found["disk_bytes"]) == (100, 5, 8 * 10**9)
        assert [(one["machine"], one["unique_bytes"]) for one in found["machines"]] == [(machine.handle, 100)]


# --- hours ---


def charged(project: Project, start: str = "kept:guest") -> int:
    entries = LedgerEntry.objects.filter(project=project, key__startswith=start)
    return sum(entry.storage_mb_seconds for entry in entries)


@pytest.fixture
def clock() -> time_machine.Traveller:
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


@pytest.fixture
def ended(clock: time_machine.Traveller, machine: Machine) -> Machine:
    """A machine that ended at noon."""
    Machine.objects.filter(pk=machine.pk).update(state=State.TERMINATED, ended_at=timezone.now())
    return machine


class TestHours:
    def test_a_disk_is_entered_for_each_hour_that_is_over_since_its_machine_ended(
        self, ended: Machine, clock: time_machine.Traveller
    ) -> None:
        clock.move_to(NOON + HOUR * 2.5)

        assert storage.enter(ended.project) == 2
        assert charged(ended.project) == 2 * DISK
        assert not ledger.verify()

    def test_an_hour_is_entered_once_whoever_asks_how_often(
        self, ended: Machine, clock: time_machine.Traveller
    ) -> None:
        clock.move_to(NOON + HOUR)

        assert [storage.enter(ended.project) for _ in range(3)] == [1, 0, 0]

    def test_hours_without_a_hub_are_made_up_for_two_days_at_most(
        self, ended: Machine, clock: time_machine.Traveller
    ) -> None:
        clock.move_to(NOON + timedelta(days=30))

        storage.enter(ended.project)

        assert charged(ended.project) == 48 * DISK

    def test_a_clock_that_jumps_ahead_and_back_counts_no_hour_twice(
        self, ended: Machine, clock: time_machine.Traveller
    ) -> None:
        for hours in (3, 30, 4, 5, 30, 31):
            clock.move_to(NOON + HOUR * hours)
            storage.enter(ended.project)

        assert charged(ended.project) == 31 * DISK

    def test_only_the_time_after_the_end_counts(self, ended: Machine, clock: time_machine.Traveller) -> None:
        Machine.objects.update(ended_at=NOON + timedelta(minutes=45))
        clock.move_to(NOON + HOUR)

        storage.enter(ended.project)

        assert charged(ended.project) == DISK // 4

    def test_with_what_the_machine_used_itself_no_second_counts_twice(
        self, machine: Machine, clock: time_machine.Traveller
    ) -> None:
        """It runs for half of the first hour under leases, and is kept for the rest."""
        compute.begin(machine)
        clock.move_to(NOON + HOUR / 2)
        Machine.objects.update(state=State.TERMINATED, ended_at=NOON + HOUR / 2)
        compute.tick()
        clock.move_to(NOON + HOUR)

        storage.enter(machine.project)

        assert charged(machine.project, "compute:") == DISK // 2
        assert charged(machine.project) == DISK // 2

    def test_a_running_machine_s_disk_is_its_lease_s_and_one_that_is_gone_is_nobody_s(
        self, machine: Machine, clock: time_machine.Traveller
    ) -> None:
        clock.move_to(NOON + HOUR)
        assert storage.enter(machine.project) == 0

        Machine.objects.update(state=State.TERMINATED, ended_at=NOON)
        Guest.objects.update(state=GuestState.GONE)
        assert storage.enter(machine.project) == 0

    def test_contents_and_backups_count_also_while_the_machine_runs(
        self, machine: Machine, clock: time_machine.Traveller
    ) -> None:
        take(machine, {"a": b"x"}, backup_bytes=10**9)
        Checkpoint.objects.update(created_at=NOON)
        clock.move_to(NOON + HOUR)

        storage.enter(machine.project)

        assert charged(machine.project, "kept:project") == GB_HOUR // 1000 * 1000

    def test_hours_that_are_made_up_for_are_not_charged_for_what_came_later(
        self, machine: Machine, clock: time_machine.Traveller
    ) -> None:
        old, new = take(machine), take(machine, {"a": b"x"})
        Checkpoint.objects.filter(pk=old.pk).update(
            created_at=NOON, backup_bytes=10**9, durable_at=NOON + 9.5 * HOUR
        )
        Checkpoint.objects.filter(pk=new.pk).update(created_at=NOON + 9.5 * HOUR, backup_bytes=10**9)
        clock.move_to(NOON + 10 * HOUR)

        storage.enter(machine.project)

        assert charged(machine.project, "kept:project") == 2 * GB_HOUR

    def test_beyond_a_limit_it_is_overrun_nothing_is_deleted_and_it_is_told_once(
        self, ended: Machine, alice: User, clock: time_machine.Traveller
    ) -> None:
        budget = budgets.set_limit(ended.project, "storage_mb_seconds", DISK // 2, by=alice)
        take(ended, {"a": b"x"})
        over()

        for hours in (1, 2, 3):
            clock.move_to(NOON + HOUR * hours)
            storage.enter(ended.project)

        window = Window.objects.get(budget=budget)
        assert (window.spent, window.overrun) == (DISK // 2, 3 * DISK - DISK // 2)
        assert not ledger.verify()
        (told,) = Event.objects.filter(kind=storage.USED_UP)
        assert "Nothing is deleted for that" in told.data["sentence"]
        assert Checkpoint.objects.filter(state="captured").count() == 2
