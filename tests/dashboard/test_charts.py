"""The charts of a machine: what its guest used and its tokens, as pictures, as figures, and as JSON."""

from datetime import timedelta

from django.utils import timezone

from dashboard import series
from guests.models import Usage
from machines.models import Machine
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


class TestTheFigures:
    def test_they_are_told_by_the_minute_as_rates(self, machine: Machine) -> None:
        used(machine, 3)

        found = {one.name: one for one in series.of(machine)}

        assert found["cpu"].said == "last 1.50 cores, lowest 0.50 cores, highest 1.50 cores"
        assert found["network"].values == [1000.0] * 3
        assert found["memory"].said.startswith("last 2.0 GB")
        assert max(found["tokens"].values) == 5400

    def test_a_long_run_is_thinned_and_its_extremes_are_still_told(self, machine: Machine) -> None:
        used(machine, 600)
        Machine.objects.filter(pk=machine.pk).update(created_at=timezone.now() - timedelta(hours=11))
        machine.refresh_from_db()

        cpu = series.of(machine, run=True)[0]

        assert len(cpu.values) <= series.POINTS
        assert cpu.said.endswith("lowest 0.50 cores, highest 300.00 cores")
        assert len(series.of(machine)[0].values) <= 61


class TestThePage:
    def test_each_has_a_picture_that_says_it_and_its_data(self, browser: Browser, machine: Machine) -> None:
        used(machine, 3)

        page = browser("bob").get(f"/machines/{machine.handle}/").content.decode()

        assert "<title" in page[page.index('id="plot-cpu"') :]
        assert "CPU: last 1.50 cores" in page
        assert "CPU, the latest first" in page

    def test_without_figures_it_says_why(self, browser: Browser, machine: Machine) -> None:
        rows.call(machine)

        page = browser("bob").get(f"/machines/{machine.handle}/").content.decode()

        assert "Nothing was measured yet" in page


class TestTheJson:
    def test_the_script_gets_what_the_page_shows(self, browser: Browser, machine: Machine) -> None:
        used(machine, 3)

        answer = browser("bob").get(f"/machines/{machine.handle}/charts.json").json()

        assert answer["cpu"]["values"] == [0.5, 1.0, 1.5]
        assert set(answer) == {"cpu", "memory", "disk", "network", "tokens"}

    def test_outsiders_get_none(self, browser: Browser, machine: Machine) -> None:
        assert browser("charlie").get(f"/machines/{machine.handle}/charts.json").status_code == 404
