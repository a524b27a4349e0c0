"""rrddata and counters: what a VM used, by period, with gaps where nothing was sampled."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxmox.node.metrics import Metrics
from tests.node_process import NodeProcess, start_node
from tests.proxmox.conftest import Api

SECONDS = 20
_VM = 800
STEP = 60
START = 1_800_000_000 // (360 * STEP) * (360 * STEP)  # where all lengths of rows begin


@pytest.fixture
def metrics(tmp_path: Path) -> Metrics:
    return Metrics(tmp_path / "metrics.sqlite", "9.2", STEP)


def sampled(metrics: Metrics, minutes: int, value: Callable[[int], float], start: int = START) -> None:
    """Two samples a minute, the second one more than the first; the last minute is not over."""
    for minute in range(minutes):
        for second, more in ((5, 0), (35, 2)):
            sample = {"vm": {"cpu": value(minute) + more}}
            metrics.add(sample, start + minute * STEP + second)


class TestRows:
    def test_a_row_is_the_mean_of_a_period_and_has_the_time_of_its_end(self, metrics: Metrics) -> None:
        sampled(metrics, 3, float)
        rows = metrics.rows("vm", "hour", "AVERAGE", START + 2 * STEP + 40)
        assert rows[-2:] == [{"cpu": 1.0, "time": START + STEP}, {"cpu": 2.0, "time": START + 2 * STEP}]

    def test_a_gap_has_its_time_and_nothing_else(self, metrics: Metrics) -> None:
        sampled(metrics, 2, float)
        sampled(metrics, 2, float, START + 10 * STEP)
        rows = metrics.rows("vm", "hour", "AVERAGE", START + 11 * STEP + 40)
        assert len(rows) == 60
        assert [row["time"] for row in rows] == list(range(START - 48 * STEP, START + 12 * STEP, STEP))
        assert [row for row in rows if len(row) > 1 and row["time"] > START + 3 * STEP] == [
            {"cpu": 1.0, "time": START + 11 * STEP}
        ]

    def test_the_newest_is_left_out_until_it_is_written(self, metrics: Metrics) -> None:
        sampled(metrics, 1, float)
        rows = metrics.rows("vm", "hour", "AVERAGE", START + STEP + 1)
        assert rows[-1] == {"time": START}

    def test_longer_ones_are_means_of_shorter(self, metrics: Metrics) -> None:
        sampled(metrics, 61, lambda minute: 10.0 if minute < 30 else 20.0)
        rows = metrics.rows("vm", "week", "AVERAGE", START + 60 * STEP + 40)
        assert rows[-2:] == [
            {"cpu": 11.0, "time": START + 30 * STEP},
            {"cpu": 21.0, "time": START + 60 * STEP},
        ]
        assert len(rows) == 336

    def test_a_maximum_is_that_of_the_kept_rows(self, tmp_path: Path) -> None:
        metrics = Metrics(tmp_path / "metrics.sqlite", "8.4", STEP)
        sampled(metrics, 181, lambda minute: 100.0 if minute < 30 else 0.0)
        assert metrics.rows("vm", "week", "MAX", START + 180 * STEP)[-1]["cpu"] == 101.0
        assert metrics.rows("vm", "week", "AVERAGE", START + 180 * STEP)[-1]["cpu"] == pytest.approx(
            17.67, abs=0.01
        )

    @pytest.mark.parametrize(
        ("release", "timeframe", "rows", "seconds"),
        [
            ("8.4", "hour", 70, 60),
            ("8.4", "day", 70, 1800),
            ("8.4", "year", 70, 604_800),
            ("9.2", "day", 1440, 60),
            ("9.2", "month", 1440, 1800),
            ("9.2", "year", 1440, 21_600),
        ],
    )
    def test_each_release_has_its_own_lengths(
        self, tmp_path: Path, release: str, timeframe: str, rows: int, seconds: int
    ) -> None:
        found = Metrics(tmp_path / "metrics.sqlite", release, STEP).rows("vm", timeframe, "", START)
        assert len(found) == rows - 1  # the newest is empty
        assert found[1]["time"] - found[0]["time"] == seconds

    def test_they_outlive_the_node_and_are_forgotten_after_a_day(
        self, metrics: Metrics, tmp_path: Path
    ) -> None:
        sampled(metrics, 2, float)
        again = Metrics(tmp_path / "metrics.sqlite", "9.2", STEP)
        assert again.rows("vm", "hour", "", START + STEP)[-1]["cpu"] == 1.0
        sampled(again, 2, float, START + 1441 * STEP)
        day = again.rows("vm", "day", "", START + STEP)
        assert [row for row in day if len(row) > 1] == []
        assert again.rows("vm", "week", "", START + 30 * STEP)[-1]["cpu"] == 1.0


class TestOverHttp:
    @pytest.fixture(scope="class", params=["8.4", "9.2"])
    def node(
        self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[NodeProcess]:
        directory = tmp_path_factory.mktemp("node")
        with start_node(directory, release=request.param, metrics_seconds=1) as running:
            api = Api(running)
            api.clone(_VM)
            api.start(_VM)
            yield running

    def until(self, found: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            if answer := found():
                return answer
            time.sleep(0.1)
        raise AssertionError("It did not come to that.")

    def test_a_vm_at_work_shows(self, api: Api) -> None:
        work = "dd if=/dev/urandom of=/big bs=1M count=40 conv=fsync 2>/dev/null; while :; do :; done"
        api.post(f"qemu/{_VM}/agent/exec", command=["/bin/sh", "-c", work])

        def busy() -> list[dict[str, float]]:
            rows = api.get(f"qemu/{_VM}/rrddata", timeframe="hour", cf="AVERAGE")
            return [row for row in rows if row.get("cpu", 0) > 0.1 and row["mem"]]

        row = self.until(busy)[0]
        expected = {"cpu", "maxcpu", "mem", "maxmem", "netin", "netout", "diskread", "diskwrite"}
        expected |= {"disk", "maxdisk", "time"}
        assert expected <= set(row)
        assert ("memhost" in row) == (api.get("/version")["release"] == "9.2")
        assert row["cpu"] <= 1.5
        status = api.get(f"qemu/{_VM}/status/current")
        assert status["diskwrite"] >= 40 * 1024**2
        resource = next(row for row in api.get("/cluster/resources", type="vm") if row["vmid"] == _VM)
        assert resource["diskwrite"] >= 40 * 1024**2

    def test_a_vm_that_is_off_has_what_it_was_given(self, api: Api) -> None:
        def given() -> list[dict[str, float]]:
            rows = api.get("qemu/9000/rrddata", timeframe="hour")
            return [row for row in rows if "maxmem" in row]

        assert set(self.until(given)[0]) == {"maxcpu", "maxmem", "maxdisk", "disk", "time"}

    def test_the_node_has_them_too(self, api: Api) -> None:
        row = self.until(lambda: [row for row in api.get("rrddata", timeframe="hour") if "memtotal" in row])[
            0
        ]
        assert 0 < row["memused"] < row["memtotal"]

    def test_an_unknown_timeframe_or_vm_is_refused(self, api: Api) -> None:
        assert api.call("GET", f"qemu/{_VM}/rrddata", timeframe="minute").status_code == 400
        assert "does not exist" in api.call("GET", "qemu/99999/rrddata", timeframe="hour").reason
