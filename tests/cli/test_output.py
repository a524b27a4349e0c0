"""What people read, what programs read, and what a terminal is protected from."""

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.recorded import PROGRAM, ROOT, Recorded, budget, machine, operation, page

sys.path.insert(0, str(ROOT / "cli"))
from autovibe_cli import completion
from autovibe_cli.__main__ import build

CHECKPOINT = {
    "id": "0e0b0f0a-0000-4000-8000-000000000001",
    "handle": "m12.c3",
    "project": "demo",
    "origin": "machine:3f0c1a52-0c1f-4b7e-9c39-0d8d6a3f9e11",
    "number": 3,
    "kind": "automatic",
    "state": "captured",
    "why": "After answer 2",
    "parent": "m12.c2",
    "call_id": None,
    "vmid": 10012,
    "snapshot": "c3",
    "files": 4,
    "bytes": 1234,
    "changed": 1,
    "error": "",
    "created_at": "2025-05-06T07:08:09Z",
    "captured_at": "2025-05-06T07:08:10Z",
    "standing": "verified",
    "name": "Before lunch",
    "note": "",
    "pinned": True,
    "shares": None,
    "call_number": 3,
    "proven_at": "2025-05-06T08:00:00Z",
    "proven_depth": "boot",
    "previous": "m12.c2",
    "next": None,
}
BUDGETS = {
    "currency": "USD",
    "budgets": [
        budget(id=1, spent=1_234_500, reserved=500_000, left=18_265_500),
        budget(id=2, scope="Machine m12", kind="machine", machine_id=machine()["id"], resource="calls", limit=1000,
               spent=7, reserved=1, left=992),
    ],
}  # fmt: skip
DIFF = "--- a/x.py\n+++ b/x.py\n@@ -1 +1,2 @@\n-one\n+two\n+three"
CHANGES = {
    "from": "m12.c1",
    "to": "m12.c3",
    "totals": {"added": 1, "removed": 0, "modified": 1, "renamed": 1, "bytes_before": 1028, "bytes_after": 3082},
    "changes": [
        {"path": "x.py", "change": "modified", "before_path": None, "size_before": 4, "size_after": 10, "diff": DIFF,
         "without": ""},
        {"path": "logo.png", "change": "added", "before_path": None, "size_before": None, "size_after": 2048,
         "diff": None, "without": "binary"},
        {"path": "new.py", "change": "renamed", "before_path": "old.py", "size_before": 1024, "size_after": 1024,
         "diff": "", "without": ""},
    ],
    "next": None,
}  # fmt: skip


class TestLists:
    def test_columns_are_aligned_and_free_of_colour_in_a_pipe(self, server: Recorded, cli: Cli) -> None:
        rows = [machine(), machine(handle="m9", state="paused")]
        server.answer("GET machines/", {"next": None, "previous": None, "results": rows})
        done = cli("ls", "--project", "demo", "--state", "running,paused")
        heading, first, second = done.stdout.splitlines()
        assert heading.index("STATE") == first.index("running") == second.index("paused")
        assert "\x1b" not in done.stdout
        assert server.asked[0].query == {"project": "demo", "state": "running,paused", "page_size": "50"}

    def test_pages_are_joined_up_to_the_limit(self, server: Recorded, cli: Cli) -> None:
        following = "http://another.example/api/v1/machines/?cursor=abc%3D&page_size=200"
        server.answer("GET machines/", {"next": following, "results": [machine()] * 200})
        server.answer("GET machines/", {"next": None, "results": [machine()] * 30})
        found = json.loads(cli("machines", "--limit", "500", "--json").stdout)
        assert len(found["results"]) == 230
        assert found["more"] is False
        assert server.asked[1].query["cursor"] == "abc="

    def test_a_limit_says_that_there_is_more(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET machines/", {"next": "http://x/?cursor=c", "results": [machine()] * 2})
        assert "There are more" in cli("machines", "--limit", "2").stderr

    def test_checkpoints_of_a_machine_that_is_not_there_are_refused(self, server: Recorded, cli: Cli) -> None:
        server.refuse("GET machines/m99/", 404, "There is no machine 'm99' that you may see.")
        assert cli("checkpoints", "m99").returncode == 1

    def test_checkpoints_tell_why_they_were_taken(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET machines/m12/", machine())
        server.answer("GET checkpoints/", {"next": None, "results": [CHECKPOINT]})
        assert "After answer 2" in cli("checkpoints", "m12").stdout
        assert server.asked[1].query["machine"] == "m12"


class TestShow:
    def test_a_machine_with_its_own_limits_and_what_is_under_way(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET machines/m12/", machine(operation=operation(verb="checkpoint", step="snapshot")))
        server.answer("GET projects/demo/budgets/", BUDGETS)
        shown = cli("machine", "show", "m12").stdout
        assert "VM 10012 on pve1, running" in shown
        assert "7 spent of 1,000" in shown
        assert "checkpoint: snapshot (running)" in shown
        assert shown.endswith("\nWrite a fizzbuzz\nwith tests\n")

    def test_json_is_the_api_s_own_answer(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET machines/m12/", machine())
        for arguments in (("machine", "show", "m12", "--json"), ("--json", "machine", "show", "m12")):
            assert json.loads(cli(*arguments).stdout) == machine()

    def test_a_checkpoint(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET checkpoints/m12.c3/", CHECKPOINT)
        shown = cli("checkpoint", "show", "m12.c3").stdout
        assert "VM 10012, snapshot c3" in shown
        assert "verified" in shown
        assert "Before lunch" in shown

    def test_an_operation_with_its_error(self, server: Recorded, cli: Cli) -> None:
        one = operation(status="failed", error="The storage is full.")
        server.answer(f"GET operations/{one['id']}/", one)
        shown = cli("operation", "show", one["id"]).stdout
        assert shown.startswith("resume: thaw (failed)\n")
        assert "The storage is full." in shown


class TestContents:
    def test_cat_is_byte_for_byte(self, server: Recorded, env: dict[str, str]) -> None:
        content = bytes(range(256)) * 3
        server.answer("GET checkpoints/m12.c3/file/", content)
        done = subprocess.run(
            [PROGRAM, "cat", "m12.c3", "a b/ü.bin"], env=env, capture_output=True, check=True
        )
        assert done.stdout == content
        assert server.asked[0].query == {"path": "a b/ü.bin"}

    def test_files_are_listed_like_ls_does(self, server: Recorded, cli: Cli) -> None:
        entries = [
            {"path": "src", "kind": "dir", "mode": 0o755},
            {"path": "src/run.sh", "kind": "file", "mode": 0o755, "size": 2048, "sha256": "00"},
            {"path": "now", "kind": "link", "target": "src"},
        ]
        server.answer("GET checkpoints/m12.c3/files/", {"handle": "m12.c3", "files": entries})
        first, second, third = cli("files", "m12.c3").stdout.splitlines()
        assert first == "drwxr-xr-x           -  src/"
        assert second == "-rwxr-xr-x     2.0 KiB  src/run.sh"
        assert third.endswith("now → src")

    def test_a_diff_is_unified(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET checkpoints/m12.c1/diff/", CHANGES)
        shown = cli("diff", "m12.c1", "m12.c3").stdout
        assert shown.startswith(DIFF)
        assert "logo.png: added, - → 2.0 KiB; binary" in shown
        assert "old.py → new.py: renamed, 1.0 KiB → 1.0 KiB; no line differs" in shown
        assert server.asked[0].query == {"to": "m12.c3", "git": "false"}

    def test_its_summary_counts_lines(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET checkpoints/m12.c1/diff/", CHANGES)
        shown = cli("diff", "--stat", "m12.c1", "m12.c3").stdout
        assert "+2 −1" in shown
        assert "3 files changed, +2.0 KiB" in shown


class TestTerminal:
    def test_it_is_coloured_unless_the_user_minds(self, server: Recorded, env: dict[str, str]) -> None:
        server.answer("GET checkpoints/m12.c1/diff/", CHANGES)
        arguments = ("diff", "m12.c1", "m12.c3")
        assert "\x1b[32m+two\x1b[0m" in on_terminal(arguments, env)
        assert "\x1b" not in on_terminal(arguments, {**env, "NO_COLOR": "1"})

    def test_agents_may_colour_it_but_not_steer_it(self, server: Recorded, env: dict[str, str]) -> None:
        hostile = "\x1b]52;c;cm0gLXJm\x07\x1b[2J\x1b[31mred\x1b[0m \x07\x1b]0;title\x1b\\end"
        server.answer("GET machines/m12/log/", page("terminated", hostile))
        shown = on_terminal(("logs", "m12"), env)
        assert "\x1b[31mred\x1b[0m" in shown
        for steering in ("\x1b]", "\x1b[2J", "\x07", "cm0gLXJm"):
            assert steering not in shown
        assert "end" in shown

    def test_a_file_gets_what_the_agent_printed(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET machines/m12/log/", page("terminated", "\x1b[31mred\x1b[0m"))
        assert cli("logs", "m12").stdout == "\x1b[31mred\x1b[0m\n"

    def test_terminate_asks_first(self, server: Recorded, env: dict[str, str]) -> None:
        server.answer("POST machines/m12/terminate/", operation(verb="terminate"), status=202)
        assert "Nothing was done." in on_terminal(("terminate", "m12"), env, typed="n\n")
        assert server.asked == []
        assert "terminate of m12 has begun" in on_terminal(("terminate", "m12"), env, typed="y\n")


class TestCompletion:
    @pytest.mark.parametrize(
        ("typed", "offered"),
        [
            ("autovibe mach", ["machine", "machines"]),
            ("autovibe machine ", ["show", "watch"]),
            ("autovibe budget set demo ", ["money", "tokens", "calls"]),
            ("autovibe spawn --project demo --mo", ["--money", "--model"]),
        ],
    )
    def test_bash_offers_what_can_follow(
        self, cli: Cli, env: dict[str, str], typed: str, offered: list[str]
    ) -> None:
        assert set(offered) <= offered_by_bash(cli, env, typed)

    def test_names_come_from_the_server(self, server: Recorded, cli: Cli, env: dict[str, str]) -> None:
        server.answer("GET machines/", {"results": [machine(), machine(handle="m9")]})
        server.answer("GET checkpoints/", {"results": [CHECKPOINT]})
        server.answer("GET projects/", {"results": [{"slug": "demo", "name": "Demo"}]})
        assert offered_by_bash(cli, env, "autovibe pause m") == {"m12", "m9"}
        assert offered_by_bash(cli, env, "autovibe rollback m12 m12.") == {"m12.c3"}
        assert server.asked[-1].query["machine"] == "m12"
        assert offered_by_bash(cli, env, "autovibe spawn --project ") == {"demo"}

    def test_a_server_that_is_away_offers_nothing_and_says_nothing(
        self, server: Recorded, cli: Cli, env: dict[str, str]
    ) -> None:
        server.stop()
        done = cli("__complete", "pause", "m")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_fish_and_zsh_are_told_what_it_is(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET machines/", {"results": [machine()]})
        assert cli("__complete", "pause", "").stdout == "m12\trunning: Write a fizzbuzz\n"
        assert "show\teverything about a machine\n" in cli("__complete", "machine", "s").stdout


class TestPage:
    def test_docs_name_every_command(self) -> None:
        page = (ROOT / "docs" / "cli.md").read_text()
        assert [command for command, _ in all_commands() if f"`{command}" not in page] == []

    def test_every_command_helps_with_examples_that_it_understands(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "notes.md").touch()
        monkeypatch.chdir(tmp_path)
        parser = build("autovibe")
        for command, own in all_commands():
            examples = (
                [line[len("  autovibe ") :] for line in own.epilog.splitlines()[1:]] if own.epilog else []
            )
            assert examples, command
            for example in examples:
                typed = shlex.split(re.split(r" [<>|] ", example)[0])
                assert "run" in parser.parse_args(typed), example


def all_commands() -> list[tuple[str, ArgumentParser]]:
    found = list(completion.commands(build("autovibe")))
    assert len(found) > 60
    return found


def offered_by_bash(cli: Cli, env: dict[str, str], typed: str) -> set[str]:
    """What bash offers once the words were typed and tab was pressed."""
    _, *words = typed.split(" ")
    quoted = " ".join(f"'{word}'" for word in [str(PROGRAM), *words])
    ask = f"COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _autovibe; "
    script = cli("completion", "bash").stdout + ask + 'printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def on_terminal(arguments: tuple[str, ...], env: dict[str, str], typed: str = "") -> str:
    """What a user sees: the program runs on a pseudo-terminal of its own."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, *arguments], env={**env, "TERM": "xterm"}, stdin=child, stdout=child, stderr=child
    )
    os.close(child)
    os.write(parent, typed.encode())
    seen = b""
    try:
        while piece := os.read(parent, 4096):
            seen += piece
    except OSError:  # how Linux says that the other side is closed
        pass
    process.wait(timeout=15)
    os.close(parent)
    return seen.decode()
