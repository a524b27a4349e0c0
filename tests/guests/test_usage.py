"""What guests used: counters that only grow, or begin anew, become amounts per minute; gaps come from the history."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from guests import usage
from guests.models import Guest, Meter, Usage
from guests.states import State
from proxmox.connect import driver
from proxmox.driver import Observed, Power, Sample
from proxmox.node.metrics import Metrics
from tests.node_process import NodeProcess

NOON = datetime(2026, 11, 22, 12, 0, 3, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def observed(vmid: int = 10_001, *, uptime: int = 600, counter: int = 0, **more: object) -> Observed:
    values = {
        "node": "embedded",
        "vmid": vmid,
        "name": f"m{vmid}",
        "power": Power.RUNNING,
        "uptime_seconds": uptime,
        "cpu": 0.25,
        "processors": 2,
        "memory_bytes": 512,
        **dict.fromkeys(Usage.NAMES, counter),
        **more,
    }
    return Observed(**values)  # type: ignore[arg-type]


def sample(at: datetime, **more: float) -> Sample:
    rates = {"disk_read_bytes": 1.0, "disk_written_bytes": 2.0, "received_bytes": 3.0, "sent_bytes": 4.0}
    return Sample(at=int(at.timestamp()), cpu=0.5, memory_bytes=100, **{**rates, **more})  # type: ignore[arg-type]


@pytest.fixture
def guest(db: None) -> Guest:
    return Guest.objects.create(vmid=10_001, node="embedded", state=State.PRESENT)


class TestRecord:
    def test_the_difference_of_two_readings_is_the_minute_between_them(self, guest):
        usage.record([observed(uptime=600, counter=1_000)], NOON)
        usage.record([observed(uptime=660, counter=1_750, cpu=0.75, memory_bytes=2048)], NOON + MINUTE)

        found = Usage.objects.get()
        assert found.at == NOON.replace(second=0)
        assert set(found.amounts.values()) == {750}
        assert (found.cpu_seconds, found.memory_bytes) == (60.0, 2048)  # a processor on average

    def test_a_minute_is_written_once(self, guest):
        usage.record([observed(counter=1_000)], NOON)
        for seconds in (60, 63, 66, 110):
            usage.record([observed(counter=1_000 + seconds)], NOON + timedelta(seconds=seconds))

        assert Usage.objects.get().sent_bytes == 60

    def test_nothing_is_lost_between_minutes(self, guest):
        for number in range(6):
            usage.record([observed(uptime=600 + 60 * number, counter=number * 100)], NOON + number * MINUTE)

        assert [row.received_bytes for row in Usage.objects.all()] == [100] * 5

    def test_a_vm_that_was_started_again_counts_from_its_start(self, guest):
        usage.record([observed(uptime=600, counter=1_000_000)], NOON)
        usage.record([observed(uptime=20, counter=300)], NOON + MINUTE)

        assert Usage.objects.get().received_bytes == 300

    def test_a_vm_that_was_off_for_long_has_no_gap(self, guest):
        usage.record([observed(uptime=60, counter=1_000)], NOON)
        usage.record([observed(uptime=30, counter=50)], NOON + timedelta(hours=5))

        last = Usage.objects.last()
        assert (last.at, last.sent_bytes) == ((NOON + timedelta(hours=5) - MINUTE).replace(second=0), 50)
        assert Meter.objects.get().gap_from is None

    def test_a_vm_that_is_seen_late_for_the_first_time_has_a_gap_since_its_start(self, guest):
        usage.record([observed(uptime=600, counter=1_000)], NOON)

        meter, start = Meter.objects.get(), NOON.replace(second=0)
        assert (meter.gap_from, meter.gap_until) == (start - 10 * MINUTE, start)

    def test_a_vm_that_has_just_been_started_waits_for_its_first_minute(self, guest):
        usage.record([observed(uptime=2, counter=10)], NOON)
        usage.record([observed(uptime=62, counter=200)], NOON + MINUTE)

        assert Usage.objects.get().received_bytes == 200

    def test_minutes_that_nobody_measured_are_a_gap_and_not_one_large_minute(self, guest):
        usage.record([observed(uptime=60, counter=7)], NOON)
        usage.record([observed(uptime=660, counter=9_000)], NOON + 10 * MINUTE)
        usage.record([observed(uptime=720, counter=9_100)], NOON + 11 * MINUTE)

        assert [row.received_bytes for row in Usage.objects.all()] == [7, 100]
        meter = Meter.objects.get()
        start = NOON.replace(second=0)
        assert (meter.gap_from, meter.gap_until) == (start, start + 10 * MINUTE)

    @pytest.mark.parametrize("silent", [("disk_read_bytes", "disk_written_bytes"), Usage.NAMES])
    def test_counters_that_are_missing_for_a_minute_are_not_booked_again_from_the_start(self, guest, silent):
        counters = [1_000_000, 1_000_100, 0, 1_000_300]
        for number, counter in enumerate(counters):
            missing = {} if counter else dict.fromkeys(silent, 0)
            vm = observed(uptime=600 + 60 * number, counter=counter or 1_000_200, **missing)
            usage.record([vm], NOON + number * MINUTE)

        rows = list(Usage.objects.all())
        for name in Usage.NAMES:
            expected = [100, 0, 200] if name in silent else [100, 100, 100]
            assert [row.amounts[name] for row in rows] == expected

    def test_a_network_device_that_was_plugged_in_again_counts_on_from_where_it_is(self, guest):
        for number, received in enumerate([1_000_000, 70, 90]):
            vm = observed(uptime=600 + 60 * number, counter=5_000 + number, received_bytes=received)
            usage.record([vm], NOON + number * MINUTE)

        assert [(row.received_bytes, row.sent_bytes) for row in Usage.objects.all()] == [(0, 1), (20, 1)]

    def test_guests_that_are_off_or_not_ours_are_not_measured(self, guest):
        others = [observed(power=Power.STOPPED), observed(vmid=77), observed(power=Power.UNKNOWN)]
        for number in range(3):
            usage.record(others, NOON + number * MINUTE)

        assert not Usage.objects.exists()

    def test_it_asks_the_database_the_same_for_one_guest_and_for_many(self, guest, django_assert_num_queries):
        vmids = [guest.vmid, *range(20_000, 20_050)]
        Guest.objects.bulk_create(Guest(vmid=vmid, node="embedded") for vmid in vmids[1:])
        usage.record([observed(vmid) for vmid in vmids], NOON)

        with django_assert_num_queries(7):  # seen already? guests, meters; begin, rows, meters, end
            usage.record([observed(vmid, counter=5) for vmid in vmids], NOON + MINUTE)
        with django_assert_num_queries(1):
            usage.record([observed(vmid, counter=9) for vmid in vmids], NOON + MINUTE)
        assert Usage.objects.count() == len(vmids)


def reading(uptime: int, counter: int) -> Observed:
    return observed(uptime=uptime, counter=counter)


class TestMeasure:
    @given(st.lists(st.integers(0, 10**12), min_size=2, max_size=30))
    def test_amounts_add_up_to_what_the_counters_grew_by(self, steps):
        total, rows, meter = 0, [], None
        for number, step in enumerate(steps):
            total += step
            vm = reading(7200 + 60 * number, total)
            meter, row = usage.measure(meter, vm, uuid4(), NOON + number * MINUTE)
            rows += [row] if row else []

        assert sum(row.sent_bytes for row in rows) == sum(steps[1:])

    @given(
        st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**12), st.integers(1, 200)), max_size=30)
    )
    def test_whatever_is_reported_no_amount_is_negative_and_no_minute_comes_twice(self, reports):
        meter, minutes, now = None, [], NOON
        for uptime, counter, seconds in reports:
            now += timedelta(seconds=seconds)
            if meter and meter.at >= now.replace(second=0, microsecond=0):
                continue  # as `record` does
            meter, row = usage.measure(meter, reading(uptime, counter), uuid4(), now)
            if row:
                assert min(row.amounts.values()) >= 0
                assert 0 <= row.cpu_seconds <= 2 * 120
                minutes.append(row.at)
                assert row.at < now.replace(second=0)

        assert minutes == sorted(set(minutes))


class TestCovering:
    @given(st.integers(1, 90), st.integers(0, 90), st.integers(0, 59))
    def test_with_a_sample_for_each_minute_every_minute_is_covered_once(self, minutes, before, late):
        since = NOON.replace(second=0)
        first = since - before * MINUTE + timedelta(seconds=late)
        samples = [sample(first + number * MINUTE) for number in range(minutes + before + 2)]

        found = list(usage.covering(samples, since, since + minutes * MINUTE))

        assert [minute for minute, _ in found] == [since + number * MINUTE for number in range(minutes)]
        assert all(-30 <= one.at - minute.timestamp() - 60 <= 30 for minute, one in found)

    def test_a_long_sample_stands_for_every_minute_in_it(self):
        since = NOON.replace(second=0)
        samples = [sample(since + 30 * number * MINUTE) for number in range(3)]

        found = list(usage.covering(samples, since, since + 60 * MINUTE))

        assert [one.at for _, one in found] == [samples[1].at] * 30 + [samples[2].at] * 30

    def test_what_the_history_does_not_know_is_left_out(self):
        since = NOON.replace(second=0)
        samples = [sample(since + number * MINUTE) for number in (1, 2, 7)]

        found = [minute for minute, _ in usage.covering(samples, since, since + 8 * MINUTE)]

        assert found == [since, since + MINUTE, since + 6 * MINUTE]

    def test_no_history_covers_nothing(self):
        assert list(usage.covering([], NOON, NOON + MINUTE)) == []


class TestPrune:
    def test_rows_go_when_they_are_too_old(self, guest, settings):
        settings.USAGE_DAYS = 30
        ages = [timedelta(days=29), timedelta(days=31), timedelta(days=400)]
        now = timezone.now()
        Usage.objects.bulk_create(
            Usage(guest=guest, at=now - age, cpu_seconds=1, memory_bytes=1) for age in ages
        )

        assert (usage.prune(), usage.prune()) == (2, 0)
        assert Usage.objects.get().at == now - ages[0]


class TestOnANode:
    def test_a_guest_that_runs_is_measured_from_one_list_of_all(self, connected, spawned, settings):
        driver().ensure_pool(settings.PROXMOX_POOL)
        machine = spawned()
        usage.record(driver().inventory(), NOON)
        usage.record(driver().inventory(), NOON + MINUTE)

        found = Usage.objects.get(guest=machine.guest, at=NOON.replace(second=0))
        assert found.memory_bytes > 1024**2
        assert Meter.objects.get(guest=machine.guest).processors == 2


class TestFill:
    """On a real node."""

    @pytest.fixture
    def gap(self, guest: Guest) -> Callable[..., Meter]:
        def gap(**more: object) -> Meter:
            until = timezone.now().replace(second=0, microsecond=0) - 5 * MINUTE
            values = {"guest": guest, "at": until, "processors": 2, "gap_from": until - 10 * MINUTE}
            return Meter.objects.create(**{**values, "gap_until": until, **more})

        return gap

    @pytest.fixture(autouse=True)
    def _template(self, connected: NodeProcess, guest: Guest) -> None:
        """Never on, and so without a history."""
        Guest.objects.filter(pk=guest.pk).update(vmid=9000)

    def test_a_gap_is_filled_from_what_the_node_has_kept(self, gap, connected):
        meter = gap()
        kept = Metrics(connected.state / "metrics.sqlite", "9.2", 60)
        rates = {"cpu": 0.5, "mem": 4096, "diskread": 1, "diskwrite": 2, "netin": 3, "netout": 4}
        for number in range(12):
            kept.add({"qemu/9000": rates}, meter.gap_from.timestamp() + 60 * number + 1)

        assert usage.fill() == Usage.objects.count() == 10
        first = Usage.objects.first()
        assert (first.at, first.cpu_seconds, first.memory_bytes) == (meter.gap_from, 60, 4096)
        assert list(first.amounts.values()) == [60, 120, 180, 240]
        assert Meter.objects.get().gap_from is None

    def test_a_gap_that_the_history_knows_nothing_of_is_given_up(self, gap):
        until = timezone.now() - timedelta(hours=10)
        gap(gap_from=until - timedelta(hours=1), gap_until=until)

        assert usage.fill() == 0
        assert Meter.objects.get().gap_from is None

    def test_a_vm_that_is_gone_has_no_gap_any_more(self, gap, guest):
        Guest.objects.filter(pk=guest.pk).update(vmid=4711)
        gap()
        usage.fill()

        assert Meter.objects.get().gap_from is None

    def test_a_cluster_that_does_not_answer_is_asked_again(self, gap, fault):
        gap()
        fault(match="GET */rrddata*", action="fail", status=596, reason="Connection timed out", times=0)
        usage.fill()

        assert Meter.objects.get().gap_from

    def test_a_gap_that_has_just_ended_waits_for_its_history(self, gap):
        now = timezone.now()
        gap(gap_until=now - MINUTE)

        assert usage.fill() == 0
        assert Meter.objects.get().gap_from
