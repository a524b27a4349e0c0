"""`autovibe checkpoint verify`, `verifications` and `export`."""

from tests.cli.conftest import Cli
from tests.cli.recorded import Recorded

ASKED = {
    "id": "0d7c",
    "checkpoint": "m12.c3",
    "depth": "boot",
    "of": "snapshot",
    "verdict": "requested",
    "sentence": "",
    "evidence": {},
    "seconds": 0.0,
    "asked_by": "alice",
    "asked_at": "2025-05-06T07:08:00Z",
    "ended_at": None,
}
PASSED = {
    **ASKED,
    "verdict": "passed",
    "sentence": "A guest of it starts.",
    "seconds": 41.6,
    "asked_by": None,
}


class TestVerify:
    def test_it_asks_and_says_where_the_verdict_will_be(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST checkpoints/m12.c3/verify/", ASKED, status=202)

        done = cli("checkpoint", "verify", "m12.c3", "--depth", "boot")

        assert done.returncode == 0, done.stderr
        assert server.asked[0].body == {"depth": "boot", "of": "snapshot"}
        assert "is being verified" in done.stdout
        assert "checkpoint verifications m12.c3" in done.stderr

    def test_it_waits_for_the_verdict_when_told_to(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST checkpoints/m12.c3/verify/", ASKED, status=202)
        server.answer("GET checkpoints/m12.c3/verifications/", {"results": [PASSED], "next": None})

        done = cli("checkpoint", "verify", "m12.c3", "--depth", "boot", "--wait")

        assert (done.returncode, "passed" in done.stdout) == (0, True)

    def test_a_proof_that_failed_is_a_failure(self, server: Recorded, cli: Cli) -> None:
        failed = {**PASSED, "verdict": "failed", "sentence": "src/main.py has another sha256."}
        server.answer("POST checkpoints/m12.c3/verify/", failed, status=202)

        done = cli("checkpoint", "verify", "m12.c3", "--backup")

        assert done.returncode == 1
        assert "another sha256" in done.stdout
        assert server.asked[0].body["of"] == "backup"


class TestVerifications:
    def test_each_is_a_row(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET checkpoints/m12.c3/verifications/", {"results": [PASSED], "next": None})

        row = cli("checkpoint", "verifications", "m12.c3").stdout.splitlines()[1]

        for word in ("boot", "snapshot", "passed", "42", "schedule", "A guest of it starts."):
            assert word in row


class TestExport:
    def test_it_says_that_it_is_under_way(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST checkpoints/m12.c3/export/", {"id": "1f", "status": "queued"}, status=202)

        assert "is being exported" in cli("checkpoint", "export", "m12.c3").stdout
