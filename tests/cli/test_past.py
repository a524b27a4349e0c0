"""`tree`, `compare`, `diff` in pages, `download`, `restore-file`, and what people say of checkpoints."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.cli.recorded import LOST, PROGRAM, Recorded, operation

AT = "2025-05-06T07:08:{:02}Z"


def node(handle: str, lane: str, second: int, **more: Any) -> dict[str, Any]:
    return {
        "handle": handle, "parent": None, "lane": lane, "number": 1, "kind": "automatic", "trigger": "call",
        "why": "After answer 2", "state": "captured", "standing": "captured", "logical": False, "ram": False,
        "pinned": False, "name": "", "created_at": AT.format(second), "call_number": 1, "spent_micros": 0,
        "cost_micros": 0, "changed": 0, "forked": False,
    } | more  # fmt: skip


def lane(name: str, forks_at: str | None, machine: str | None = None) -> dict[str, Any]:
    return {
        "name": name, "forks_at": forks_at, "began_at": AT.format(0), "origin": "x", "machine": machine,
        "title": "Write", "state": "running", "type": "vibe",
    }  # fmt: skip


TREE = {
    "currency": "USD",
    "nodes": [
        node("m2.c2", "m2.c1", 9, logical=True, kind="automatic"),
        node("m1.c5", "m1.c1", 8, name="golden", pinned=True),
        node("m2.c1", "m2.c1", 7),
        node("m1.c1", "m1.c1", 2, cost_micros=1_500_000),
        node("demo.c0", "demo.c0", 1, kind="genesis"),
    ],
    "lanes": [lane("demo.c0", None), lane("m1.c1", "demo.c0", "m1"), lane("m2.c1", "m1.c1", "m2")],
    "folds": [
        {"lane": "m1.c1", "first": "m1.c2", "last": "m1.c4", "count": 3, "created_at": AT.format(5),
         "cost_micros": 0, "changed": 0}
    ],
    "before": None,
}  # fmt: skip


def lanes_of(shown: str) -> list[str]:
    """The drawing alone."""
    return [re.match("[^a-z0-9]*", line)[0].rstrip() for line in shown.splitlines()]  # type: ignore[index]


class TestTree:
    def test_lanes_are_drawn_from_the_newest_down_to_where_they_fork(
        self, server: Recorded, cli: Cli
    ) -> None:
        server.answer("GET projects/demo/tree/", TREE)
        done = cli("tree", "demo")
        assert done.returncode == 0, done.stderr
        assert lanes_of(done.stdout) == ["○", "│ ◆", "● │", "│ ┊", "╰─┤", "  ●", "  ◆"]

    def test_a_row_tells_name_standing_and_cost_and_whose_the_lane_is(
        self, server: Recorded, cli: Cli
    ) -> None:
        server.answer("GET projects/demo/tree/", TREE)
        shown = cli("tree", "demo").stdout
        assert "m1.c5  captured  “golden”  pinned" in shown
        assert "3 more, m1.c2 to m1.c4" in shown
        assert "After answer 2, 1.50 USD, " in shown
        assert "[m2 running: Write]" in shown

    def test_runs_are_folded_unless_all_is_asked_for(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET projects/demo/tree/", TREE)
        cli("tree", "demo")
        cli("tree", "demo", "--all", "--from", "m1.c1", "--limit", "9000")
        assert server.asked[0].query == {"limit": "100", "fold": "3"}
        assert server.asked[1].query == {"limit": "500", "fold": "0", "root": "m1.c1"}

    def test_it_says_where_older_ones_are(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET projects/demo/tree/", {**TREE, "before": "demo.c0"})
        assert "tree demo --before demo.c0" in cli("tree", "demo").stderr

    def test_an_empty_one_says_so(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET projects/demo/tree/", {**TREE, "nodes": [], "lanes": [], "folds": []})
        assert "No checkpoints yet." in cli("tree", "demo").stderr

    def test_lanes_that_end_at_the_same_one_are_led_there_together(self, server: Recorded, cli: Cli) -> None:
        many = {
            **TREE,
            "nodes": [node(f"m{n}.c1", f"m{n}.c1", 9 - n) for n in (1, 2, 3)]
            + [node("demo.c0", "demo.c0", 1)],
            "lanes": [lane("demo.c0", None), *(lane(f"m{n}.c1", "demo.c0", f"m{n}") for n in (1, 2, 3))],
            "folds": [],
        }
        server.answer("GET projects/demo/tree/", many)
        assert lanes_of(cli("tree", "demo").stdout) == ["●", "│ ●", "│ │ ●", "├─┴─╯", "●"]


SIDE = {
    "handle": "m1.c9",
    "checkpoints": 3,
    "turns": 2,
    "cost_micros": 1_500_000,
    "changed": 2,
    "grown_bytes": -1024,
}
COMPARISON = {
    "ancestor": "m1.c3",
    "base": "m1.c3",
    "currency": "USD",
    "here": SIDE,
    "there": {**SIDE, "handle": "m2.c4", "grown_bytes": 10},
    "totals": {"here": 1, "there": 0, "same": 0, "conflict": 1},
    "files": [
        {"path": "a", "status": "conflict", "here": "modified", "there": "removed", "base_size": 1, "here_size": 2,
         "there_size": None},
    ],
    "next": "http://another.example/api/v1/checkpoints/m1.c9/compare/?with=m2.c4&after=a",
}  # fmt: skip


class TestCompare:
    def test_both_sides_and_the_files_of_all_pages(self, server: Recorded, cli: Cli) -> None:
        last = {**COMPARISON["files"][0], "path": "b", "status": "here", "there": ""}  # type: ignore[index]
        server.answer(
            "GET checkpoints/m1.c9/compare/", COMPARISON, {**COMPARISON, "files": [last], "next": None}
        )
        done = cli("compare", "m1.c9", "m2.c4")
        assert done.returncode == 0, done.stderr
        assert "Both come from m1.c3." in done.stdout
        assert "1.50 USD  2      −1.0 KiB" in done.stdout
        assert "both, differently  modified  removed  a" in done.stdout
        assert "only m1.c9         modified  -        b" in done.stdout
        assert "1 changed by both, differently" in done.stdout
        assert server.asked[1].query == {"with": "m2.c4", "git": "false", "after": "a"}

    def test_it_says_when_the_ancestors_files_are_forgotten(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET checkpoints/m1.c9/compare/", {**COMPARISON, "base": "demo.c0", "next": None})
        assert "compared with those of demo.c0" in cli("compare", "m1.c9", "m2.c4").stdout


class TestDiff:
    def test_pages_are_joined(self, server: Recorded, cli: Cli) -> None:
        change = {"path": "a", "change": "added", "before_path": None, "size_before": None, "size_after": 1,
                  "diff": "x", "without": ""}  # fmt: skip
        page = {
            "from": "m1.c1",
            "to": "m1.c2",
            "totals": {},
            "changes": [change],
            "next": "http://x/?after=a%20b",
        }
        server.answer("GET checkpoints/m1.c1/diff/", page, {**page, "next": None})
        found = json.loads(cli("diff", "m1.c1", "m1.c2", "--git", "--json").stdout)
        assert len(found["changes"]) == 2
        assert [one.query for one in server.asked] == [{"to": "m1.c2"}, {"to": "m1.c2", "after": "a b"}]

    def test_one_file_that_did_not_change_is_said_to_be_the_same(self, server: Recorded, cli: Cli) -> None:
        page = {"from": "m1.c1", "to": "m1.c2", "totals": {}, "changes": [], "next": None}
        server.answer("GET checkpoints/m1.c1/diff/", page)
        assert "m1.c1 and m1.c2 hold the same a.py." in cli("diff", "m1.c1", "m1.c2", "a.py").stderr
        assert server.asked[0].query["path"] == "a.py"


class TestDownload:
    def test_it_is_a_file_named_like_the_checkpoint(self, server: Recorded, cli: Cli, tmp_path: Path) -> None:
        server.answer("GET checkpoints/m1.c1/tar/", b"tar" * 1000)
        done = cli("download", "m1.c1", cwd=tmp_path)
        assert done.stdout == "m1.c1.tar, 2.9 KiB\n"
        assert (tmp_path / "m1.c1.tar").read_bytes() == b"tar" * 1000
        assert server.asked[0].headers["Accept"] == "application/x-tar"

    def test_a_dash_is_standard_output(self, server: Recorded, env: dict[str, str]) -> None:
        server.answer("GET checkpoints/m1.c1/tar/", bytes(range(256)))
        command = [PROGRAM, "download", "m1.c1", "-o", "-", "--transcripts"]
        done = subprocess.run(command, env=env, capture_output=True, check=True)
        assert done.stdout == bytes(range(256))
        assert server.asked[0].query == {"transcripts": "true"}

    @pytest.mark.parametrize("answer", [LOST, None])
    def test_nothing_is_left_of_one_that_failed(
        self, server: Recorded, cli: Cli, tmp_path: Path, answer: object
    ) -> None:
        if answer:
            server.answer("GET checkpoints/m1.c1/tar/", answer)
        (tmp_path / "m1.c1.tar").write_text("before")
        assert cli("download", "m1.c1", cwd=tmp_path).returncode in {1, 4}
        assert [file.read_text() for file in tmp_path.glob("m1*")] == ["before"]

    def test_a_place_that_cannot_be_written_is_said_to_be_so(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET checkpoints/m1.c1/tar/", b"tar")
        assert "cannot be written: No such file" in cli("download", "m1.c1", "-o", "/nowhere/x.tar").stderr


class TestRestoreFile:
    def test_it_is_asked_for_and_told_where_to_look(self, server: Recorded, cli: Cli) -> None:
        one = operation(verb="restore_file")
        server.answer("POST machines/m1/restore-file/", one, status=202)
        done = cli("restore-file", "m1", "m1.c3", "src/main.py", "--delete")
        assert done.stdout == "src/main.py of m1.c3 is being put into m1.\n"
        assert f"operation show {one['id']}" in done.stderr
        assert server.asked[0].body == {"checkpoint": "m1.c3", "path": "src/main.py", "delete": True}


class TestMarks:
    @pytest.mark.parametrize(
        ("arguments", "body", "said"),
        [
            (("pin",), {"pinned": True}, "m1.c3 is kept."),
            (("unpin",), {"pinned": False}, "m1.c3 is left to the retention."),
            (("name", "golden"), {"name": "golden"}, "m1.c3 is called “golden”."),
            (("name",), {"name": ""}, "m1.c3 has no name any more."),
            (("note", "It works."), {"note": "It works."}, "m1.c3 has that note."),
        ],
    )
    def test_they_are_set(
        self, server: Recorded, cli: Cli, arguments: tuple[str, ...], body: dict[str, Any], said: str
    ) -> None:
        server.answer("PATCH checkpoints/m1.c3/", {"handle": "m1.c3"})
        verb, *rest = arguments
        assert cli("checkpoint", verb, "m1.c3", *rest).stdout == f"{said}\n"
        assert server.asked[0].body == body

    def test_a_long_note_is_read_from_standard_input(self, server: Recorded, cli: Cli) -> None:
        server.answer("PATCH checkpoints/m1.c3/", {"handle": "m1.c3"})
        cli("checkpoint", "note", "m1.c3", "-", stdin="one\ntwo\n")
        assert server.asked[0].body == {"note": "one\ntwo\n"}
