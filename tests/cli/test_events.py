"""`autovibe events` and `autovibe audit`: what happened, as a table, as it happens, and as a file."""

import json
from typing import Any

from tests.cli.conftest import Cli
from tests.cli.recorded import Recorded

EVENT: dict[str, Any] = {
    "id": 7,
    "at": "2025-05-06T07:08:00Z",
    "kind": "machine.paused",
    "subject": "machine:3f0c1a52-0c1f-4b7e-9c39-0d8d6a3f9e11",
    "project": "demo",
    "actor": "alice",
    "actor_kind": "person",
    "interface": "api",
    "token": None,
    "address": "203.0.113.9",
    "request_id": None,
    "data": {"handle": "m12"},
}


def message(place: int, **event: Any) -> str:
    data = json.dumps({**EVENT, **event})
    return f"id: {place}\nevent: machine.paused\ndata: {data}\n\n"


END = 'event: end\ndata: {"detail": "You are not signed in any more."}\n\n'


class TestEvents:
    def test_each_is_a_row(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET events/", {"results": [EVENT], "next": None})

        done = cli("events")

        assert done.returncode == 0, done.stderr
        row = done.stdout.splitlines()[1].split()
        assert row[2:] == ["alice", "machine.paused", "m12", "demo", "api", "203.0.113.9"]

    def test_every_filter_is_a_parameter(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET events/", {"results": [], "next": None})

        done = cli(
            "events",
            "lunch",
            "--project",
            "demo",
            "--kind",
            "machine.*",
            "--request-id",
            "r1",
            "--since",
            "2h",
        )

        asked = {"q": "lunch", "project": "demo", "kind": "machine.*", "request_id": "r1", "since": "2h"}
        assert server.asked[0].query.items() >= asked.items()
        assert "No event" in done.stderr

    def test_they_are_followed_until_the_rights_end(self, server: Recorded, cli: Cli) -> None:
        stream = f"id: 4\n: listening\n\n{message(5)}: beat\n\n{message(6, actor='bob')}{END}"
        server.answer("GET events/stream/", stream.encode())

        done = cli("events", "--follow", "--project", "demo")

        assert [line.split()[2] for line in done.stdout.splitlines()] == ["alice", "bob"]
        assert done.returncode == 1
        assert "You are not signed in any more" in done.stderr
        assert server.asked[0].query == {"project": "demo"}

    def test_a_stream_that_breaks_off_goes_on_where_it_was(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET events/stream/", f"id: 4\n: listening\n\n{message(5)}".encode(), END.encode())

        done = cli("events", "--follow", "--json")

        assert json.loads(done.stdout) == EVENT
        assert [one.query for one in server.asked] == [{}, {"after": "5"}]

    def test_a_server_that_is_not_there_is_said_at_once(self, server: Recorded, cli: Cli) -> None:
        server.stop()

        assert cli("events", "--follow").returncode == 4


class TestAudit:
    def test_an_export_is_written_as_it_comes(self, server: Recorded, cli: Cli) -> None:
        line = '{"position": 1, "previous": "0", "digest": "a", "event": {"id": 7}}\n'
        server.answer("GET events/export/", line.encode())

        done = cli("audit", "export", "--project", "demo", "--since", "2031-05-06")

        assert done.stdout == line
        assert server.asked[0].query == {"project": "demo", "since": "2031-05-06"}
        assert server.asked[0].headers["Accept"] == "application/jsonl"
