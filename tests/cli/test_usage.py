"""`autovibe usage`: the minutes of a machine as a table."""

from datetime import UTC, datetime, timedelta

from tests.cli.conftest import Cli
from tests.cli.recorded import Recorded

MINUTE = {
    "at": "2025-05-06T07:08:00Z",
    "cpu_seconds": 31.25,
    "memory_bytes": 1536,
    "disk_read_bytes": 0,
    "disk_written_bytes": 2048,
    "received_bytes": 5,
    "sent_bytes": 7,
}


class TestUsage:
    def test_each_minute_is_a_row(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET machines/m12/usage/", {"results": [MINUTE]})
        done = cli("usage", "m12")

        assert done.returncode == 0, done.stderr
        row = done.stdout.splitlines()[1]
        assert row.split()[2:] == ["31.2s", "1.5", "KiB", "0", "B", "2.0", "KiB", "5", "B", "7", "B"]

    def test_it_asks_for_the_last_hour_or_for_as_long_as_is_said(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET machines/m12/usage/", {"results": []})
        cli("usage", "m12")
        cli("usage", "m12", "--since", "2d")

        now = datetime.now(UTC)
        ages = [now - datetime.fromisoformat(one.query["since"]) for one in server.asked]
        assert [round(age / timedelta(hours=1)) for age in ages] == [1, 48]

    def test_a_machine_that_was_not_measured_is_said_to_be_so(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET machines/m12/usage/", {"results": []})

        assert "Nothing was measured" in cli("usage", "m12").stderr
