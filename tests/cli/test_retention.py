"""`project retention` and `project storage`: what is typed, what is sent, what is shown."""

from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.cli.recorded import Recorded

URL = "projects/demo/retention/"
RULES = {"keep_last": 5, "hourly": 0, "daily": 7, "weekly": 0, "monthly": 0, "milestones": True}
PREVIEW = {
    "project": "demo", "rules": RULES, "keeps": 12, "goes": 2, "frees_bytes": 2048, "frees_backup_bytes": 0,
    "frees_snapshots": 2, "pruning": 1, "more": 0,
    "checkpoints": [
        {"handle": "m1.c2", "stays": False, "reason": "no rule keeps it", "stored_bytes": 1024, "backup_bytes": 0},
        {"handle": "m1.c9", "stays": True, "reason": "pinned", "stored_bytes": 0, "backup_bytes": 0},
    ],
}  # fmt: skip
STORED = {
    "checkpoints": 9, "logical_bytes": 10_240, "unique_bytes": 4096, "stored_bytes": 1024, "lists_bytes": 1024,
    "dedup_ratio": 5.0, "disk_bytes": 1024**3, "backup_bytes": 0,
}  # fmt: skip


class TestRetention:
    def test_it_tells_what_would_go_and_why(self, server: Recorded, cli: Cli) -> None:
        server.answer(f"GET {URL}", PREVIEW)

        done = cli("project", "retention", "demo")

        assert done.stdout.splitlines() == [
            "CHECKPOINT        STORED   WHY",
            "m1.c2       goes  1.0 KiB  no rule keeps it",
            "12 stay, 2 would go: 2 snapshots, 2.0 KiB of contents.",
        ]
        assert "keep_last=5 hourly=0 daily=7 weekly=0 monthly=0 milestones=yes" in done.stderr
        assert "1 are being deleted already." in done.stderr

    def test_those_that_stay_are_listed_when_asked_for(self, server: Recorded, cli: Cli) -> None:
        server.answer(f"GET {URL}", PREVIEW)

        assert "m1.c9       stays  0 B      pinned" in cli("project", "retention", "demo", "--all").stdout

    def test_other_rules_are_tried(self, server: Recorded, cli: Cli) -> None:
        server.answer(f"GET {URL}", PREVIEW)

        cli("project", "retention", "demo", "--keep-last", "3", "--milestones", "no", "--preview")

        assert server.asked[0].query == {"keep_last": "3", "milestones": "False"}

    @pytest.mark.parametrize(("typed", "sent"), [("yes", True), ("90", 90)])
    def test_rules_are_set(self, server: Recorded, cli: Cli, typed: str, sent: Any) -> None:
        server.answer(f"PUT {URL}", PREVIEW)

        cli("project", "retention", "demo", "--daily", "7", "--milestones", typed, "--set")

        assert server.asked[0].body == {"daily": 7, "milestones": sent}

    def test_what_goes_is_deleted_after_a_yes(self, server: Recorded, cli: Cli) -> None:
        server.answer(f"POST {URL}", PREVIEW, status=202)

        done = cli("project", "retention", "demo", "--prune", "--yes")

        assert "2 go from now on" in done.stdout

    @pytest.mark.parametrize(
        ("more", "sentence"),
        [
            (["--daily", "1", "--yes"], "Make these its rules first: --set"),
            ([], "Say --yes where nobody can be asked"),
        ],
    )
    def test_nothing_is_deleted_by_mistake(
        self, server: Recorded, cli: Cli, more: list[str], sentence: str
    ) -> None:
        done = cli("project", "retention", "demo", "--prune", *more, stdin="")

        assert (done.returncode, server.asked) == (2, [])
        assert sentence in done.stderr


class TestStorage:
    def test_it_tells_of_the_project_and_its_machines(self, server: Recorded, cli: Cli) -> None:
        machine = {**STORED, "machine": "m12", "dedup_ratio": None}
        server.answer("GET projects/demo/storage/", {**STORED, "project": "demo", "machines": [machine]})

        done = cli("project", "storage", "demo")

        assert done.stdout.splitlines() == [
            "      CHECKPOINTS  FILES     STORED   RATIO    BACKUPS  DISKS",
            "demo  9            10.0 KiB  2.0 KiB  5.0 : 1  0 B      1.0 GiB",
            "m12   9            10.0 KiB  2.0 KiB  -        0 B      1.0 GiB",
        ]
