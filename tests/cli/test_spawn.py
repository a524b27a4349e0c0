"""Spawning and branching: what is sent, and that a lost answer does not make two machines."""

import base64
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.recorded import LOST, Recorded, machine

SPAWN = ("spawn", "--project", "demo", "--type", "vibe")


@pytest.fixture
def spawning(server: Recorded) -> Recorded:
    server.answer("POST machines/", machine(state="requested"), status=202)
    return server


class TestSpawn:
    def test_the_prompt_is_all_it_takes(self, spawning: Recorded, cli: Cli) -> None:
        done = cli(*SPAWN, "Write a fizzbuzz")
        assert done.returncode == 0, done.stderr
        assert done.stdout == "m12 of type vibe, from demo.c0, in project demo\n"
        assert spawning.asked[0].body == {
            "project": "demo",
            "type": "vibe",
            "prompt": "Write a fizzbuzz",
            "files": [],
            "model": "",
            "limits": {},
            "wall_seconds": None,
        }

    def test_limits_are_sent_in_the_api_s_units(self, spawning: Recorded, cli: Cli) -> None:
        cli(
            *SPAWN,
            "--money",
            "2.50",
            "--tokens",
            "200_000",
            "--calls",
            "9",
            "--wall",
            "1h30m",
            "--model",
            "m",
            "Go",
        )
        body = spawning.asked[0].body
        assert body["limits"] == {"money": 2_500_000, "tokens": 200_000, "calls": 9}
        assert body["wall_seconds"] == 5400
        assert body["model"] == "m"

    def test_a_stricter_network_is_sent(self, spawning: Recorded, cli: Cli) -> None:
        cli(*SPAWN, "--network", "sealed", "Go")
        assert spawning.asked[0].body["network"] == "sealed"

    def test_the_prompt_can_come_from_standard_input(self, spawning: Recorded, cli: Cli) -> None:
        cli(*SPAWN, "--checkpoint", "m3.c1", "-", stdin="Über\nzwei Zeilen\n")
        assert spawning.asked[0].body["prompt"] == "Über\nzwei Zeilen\n"
        assert spawning.asked[0].body["checkpoint"] == "m3.c1"

    def test_a_lost_answer_is_asked_for_again_with_the_same_key(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST machines/", LOST, LOST, machine())
        done = cli(*SPAWN, "Hello")
        assert done.returncode == 0
        assert "Trying again" in done.stderr
        assert "The server is back." in done.stderr
        keys = [one.headers["Idempotency-Key"] for one in server.requests("POST machines/")]
        assert len(keys) == 3
        assert len(set(keys)) == 1

    def test_every_command_has_its_own_key_unless_one_is_given(self, spawning: Recorded, cli: Cli) -> None:
        cli(*SPAWN, "Hello")
        cli(*SPAWN, "Hello")
        cli(*SPAWN, "--key", "nightly-7", "Hello")
        keys = [one.headers["Idempotency-Key"] for one in spawning.asked]
        assert len(set(keys)) == 3
        assert keys[2] == "nightly-7"

    def test_a_refusal_is_not_asked_again(self, server: Recorded, cli: Cli) -> None:
        server.refuse("POST machines/", 402, "Project demo has nothing left to spend.")
        done = cli(*SPAWN, "Hello")
        assert done.returncode == 1
        assert len(server.asked) == 1


class TestFiles:
    def test_they_are_sent_byte_for_byte_to_where_they_are_wanted(
        self, spawning: Recorded, cli: Cli, tmp_path: Path
    ) -> None:
        (tmp_path / "src").mkdir()
        (tmp_path / "src" / "a.bin").write_bytes(bytes(range(256)))
        (tmp_path / "run.sh").write_text("#!/bin/sh\n")
        (tmp_path / "run.sh").chmod(0o755)
        done = cli(
            *SPAWN, "--file", "src/a.bin", "--file", "run.sh:tools/", "--file", f"{tmp_path}/run.sh",
            "--file", "run.sh:go", "--delete", "old.txt", "Hello", cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        files = spawning.asked[0].body["files"]
        assert [one["path"] for one in files] == ["src/a.bin", "tools/run.sh", "run.sh", "go", "old.txt"]
        assert base64.b64decode(files[0]["content_base64"]) == bytes(range(256))
        assert [one.get("mode") for one in files] == ["0644", "0755", "0755", "0755", None]
        assert files[4] == {"path": "old.txt", "delete": True}

    def test_what_cannot_be_sent_is_refused_by_name(self, server: Recorded, cli: Cli, tmp_path: Path) -> None:
        with (tmp_path / "large").open("wb") as file:
            file.truncate(10 * 1024**2 + 1)
        for argument, sentence in {
            str(tmp_path): "is a directory; name each file",
            f"{tmp_path}/large": "10.0 MiB is the most",
            f"{tmp_path}/none": "No such file",
        }.items():
            done = cli(*SPAWN, "--file", argument, "Hello")
            assert done.returncode == 2
            assert sentence in done.stderr
        assert server.asked == []

    def test_many_that_are_too_much_together_are_refused(
        self, server: Recorded, cli: Cli, tmp_path: Path
    ) -> None:
        with (tmp_path / "large").open("wb") as file:
            file.truncate(9 * 1024**2)
        files = [part for number in range(4) for part in ("--file", f"{tmp_path}/large:{number}")]
        done = cli(*SPAWN, *files, "Hello")
        assert done.returncode == 2
        assert "32.0 MiB is the most" in done.stderr
        assert server.asked == []


class TestBranch:
    def test_without_a_prompt_it_just_goes_on(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST checkpoints/m12.c4/branch/", machine(handle="m13", source="m12.c4"), status=202)
        done = cli("branch", "m12.c4")
        assert done.returncode == 0, done.stderr
        assert server.asked[0].body["prompt"] == ""

    def test_it_goes_on_from_the_checkpoint_with_its_parent_s_type(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST checkpoints/m12.c4/branch/", machine(handle="m13", source="m12.c4"), status=202)
        done = cli("branch", "m12.c4", "Try again")
        assert done.returncode == 0, done.stderr
        assert "type" not in server.asked[0].body
        assert "project" not in server.asked[0].body
        assert server.asked[0].headers["Idempotency-Key"]
