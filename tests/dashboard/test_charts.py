"""The charts of a machine: what its guest used and its tokens, as pictures, as figures, and as JSON."""

from datetime import timedelta

import pytest
from django.utils import timezone

from checkpoints.models import Checkpoint
from dashboard import series
from gateway.models import Call
from guests.models import Usage
from machines.models import Machine
from projects.models import Project
from tests.dashboard import rows
from tests.dashboard.conftest import Browser


def used(machine: Machine, minutes: int) -> None:
    """So many minutes up to now, half a core more busy each."""
    now = timezone.now().replace(second=0, microsecond=0)
    Usage.objects.bulk_create(
        Usage(
            guest=machine.guest, at=now - timedelta(minutes=back), cpu_seconds=30.0 * (minutes - back),
            memory_bytes=2_000_000_000, sent_bytes=60_000,
        )
        for back in range(minutes)
    )  # fmt: skip


def since(machine: Machine, minutes: int) -> None:
    """Spawned so many minutes ago."""
    machine.created_at = timezone.now() - timedelta(minutes=minutes)
    machine.save(update_fields=["created_at"])


class TestTheFigures:
    def test_they_are_told_by_the_minute_as_rates(self, machine: Machine) -> None:
        since(machine, minutes=30)
        used(machine, 3)

        found = {one.name: one for one in series.of(machine).series}

        assert found["cpu"].said == "last 1.50 cores, lowest 0.50 cores, highest 1.50 cores"
        assert found["network"].values[-3:] == [1000.0] * 3
        assert found["memory"].said.startswith("last 2.0 GB")
        assert max(value or 0 for value in found["tokens"].values) == 5400

    def test_what_nobody_measured_is_a_gap(self, machine: Machine) -> None:
        since(machine, minutes=30)
        used(machine, 20)
        Usage.objects.filter(cpu_seconds__range=(60, 240)).delete()

        cpu = series.of(machine).series[0]

        assert cpu.values[-20:].count(None) == 7
        assert len(cpu.lines) == 2

    def test_a_long_run_is_thinned_and_its_extremes_are_still_told(self, machine: Machine) -> None:
        used(machine, 600)
        since(machine, minutes=660)

        chart = series.of(machine, run=True)
        cpu = chart.series[0]

        assert len(cpu.values) == len(chart.times) <= series.POINTS
        assert cpu.said.endswith("lowest 0.50 cores, highest 300.00 cores")
        assert cpu.values[-2] == pytest.approx(298.5, abs=2)
        assert len(series.of(machine).times) == 61

    def test_of_a_long_run_tokens_are_told_by_the_minute_as_well(self, machine: Machine) -> None:
        since(machine, minutes=660)
        Call.objects.update(started_at=timezone.now() - timedelta(minutes=300))

        chart = series.of(machine, run=True)

        assert chart.step == timedelta(minutes=3)
        assert sorted(chart.series[-1].values)[-2:] == [0, 1800]  # 5400 in three minutes
        assert chart.series[-1].said == "last 0 a minute, lowest 0 a minute, highest 1,800 a minute"


class TestThePage:
    def test_each_has_a_picture_that_says_it_and_its_data(self, browser: Browser, machine: Machine) -> None:
        used(machine, 3)

        page = browser("bob").get(f"/machines/{machine.handle}/").content.decode()

        assert "<title" in page[page.index('id="plot-cpu"') :]
        assert "CPU: last 1.50 cores" in page
        table = page[page.index("Use over time, the latest first") :]
        assert table.index(">CPU</th>") < table.index(">Memory</th>") < table.index(">1.50 cores</td>")

    def test_without_figures_it_says_why_in_one_sentence(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        fresh = rows.machine(project, genesis)

        page = browser("bob").get(f"/machines/{fresh.handle}/").content.decode()

        assert page.count("Nothing was measured yet") == 1
        assert "No model was called in this time." in page
        assert 'class="plot"' not in page

    def test_what_there_is_none_of_has_no_empty_picture(self, browser: Browser, machine: Machine) -> None:
        page = browser("bob").get(f"/machines/{machine.handle}/").content.decode()

        assert page.count("Nothing was measured yet") == 1
        assert [name for name in ("cpu", "memory", "disk", "tokens") if f'id="plot-{name}"' in page] == [
            "tokens"
        ]


class TestTheJson:
    def test_the_script_gets_what_the_page_shows(self, browser: Browser, machine: Machine) -> None:
        since(machine, minutes=30)
        used(machine, 3)

        answer = browser("bob").get(f"/machines/{machine.handle}/charts.json").json()

        assert answer["series"]["cpu"]["values"][-3:] == [0.5, 1.0, 1.5]
        assert answer["times"][-1] - answer["times"][-2] == answer["step"] == 60
        assert set(answer["series"]) == {"cpu", "memory", "disk", "network", "tokens"}

    def test_outsiders_get_none(self, browser: Browser, machine: Machine) -> None:
        assert browser("charlie").get(f"/machines/{machine.handle}/charts.json").status_code == 404
