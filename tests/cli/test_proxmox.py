"""`autovibe proxmox`: the last check of the cluster, and a new one."""

import json

from tests.cli.conftest import Cli
from tests.cli.recorded import Recorded

STAMP = "2031-05-06T07:08:09Z"
FINDING = {
    "section": "Cluster",
    "name": "Pool autovibe",
    "status": "missing",
    "sentence": "It is not there.",
    "commands": ["pveum pool add autovibe"],
}
ASKED = {"id": 7, "asked_at": STAMP, "asked_by": "alice", "finished_at": None, "status": "", "findings": []}
BAD = {**ASKED, "finished_at": STAMP, "status": "missing", "findings": [FINDING]}
GOOD = {
    **ASKED,
    "finished_at": STAMP,
    "status": "ok",
    "findings": [{**FINDING, "status": "ok", "commands": []}],
}


class TestTheLastCheck:
    def test_it_is_told_with_its_commands_and_an_exit_code(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET proxmox/", BAD)
        done = cli("proxmox")

        assert done.returncode == 1
        assert done.stdout.splitlines() == [
            "Cluster",
            "  missing  Pool autovibe",
            "           It is not there.",
            "             pveum pool add autovibe",
        ]

    def test_when_all_is_well_the_exit_code_says_so(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET proxmox/", GOOD)

        assert cli("proxmox").returncode == 0

    def test_as_json_it_is_the_apis(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET proxmox/", BAD)

        assert json.loads(cli("proxmox", "--json").stdout) == BAD


class TestANewCheck:
    def test_it_is_waited_for(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST proxmox/check/", ASKED, status=202)
        server.answer("GET proxmox/", {**GOOD, "id": 6}, ASKED, BAD)
        done = cli("proxmox", "check")

        assert done.returncode == 1
        assert "Pool autovibe" in done.stdout
        assert len(server.requests("GET proxmox/")) == 3
