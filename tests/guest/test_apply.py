"""What is written into a guest, and what is refused."""

import base64
import hashlib
import json
import stat
from typing import Any

import pytest

from machines.guest import source
from tests.guest.conftest import Guest


def file(path: str, content: bytes = b"new\n", **more: Any) -> dict[str, Any]:
    return {
        "path": path,
        "content": base64.b64encode(content).decode(),
        "mode": 0o644,
        "delete": False,
        **more,
    }


class TestApply:
    def test_it_writes_files_and_programs(self, guest: Guest) -> None:
        programs = [{"path": "/opt/autovibe/vibe.py", "content": source("vibe")}]
        files = [file("src/a.py", b"\x00\xff", mode=0o755)]
        told = guest.tell("apply", guest.bundle(files=files, programs=programs))
        assert told == {"applied": 1, "identity": {}}
        assert (guest.workspace / "src/a.py").read_bytes() == b"\x00\xff"
        assert stat.S_IMODE((guest.workspace / "src/a.py").stat().st_mode) == 0o755
        assert (guest.root / "opt/autovibe/vibe.py").read_text() == source("vibe")

    def test_it_closes_the_bundle_to_other_users(self, guest: Guest) -> None:
        bundle = guest.bundle()
        bundle.chmod(0o644)
        guest.tell("apply", bundle)
        assert stat.S_IMODE(bundle.stat().st_mode) == 0o600

    def test_it_deletes_and_a_second_time_does_no_harm(self, guest: Guest) -> None:
        (guest.workspace / "old").write_text("old")
        bundle = guest.bundle(files=[file("old", delete=True), file("new")])
        guest.tell("apply", bundle)
        guest.tell("apply", bundle)
        assert not (guest.workspace / "old").exists()
        assert (guest.workspace / "new").read_bytes() == b"new\n"

    @pytest.mark.parametrize(
        ("path", "why"),
        [
            ("/etc/passwd", "relative"),
            ("../outside", "relative"),
            ("a/../../outside", "relative"),
            ("a//b", "relative"),
            ("nul\0byte", "not the path"),
            ("", "not the path"),
            ("away/file", "symbolic link"),
            ("away/deeper/file", "symbolic link"),
            ("here", "is a directory"),
            ("plain/file", "not a directory"),
            ("dangling/file", "not a directory"),
        ],
    )
    def test_it_refuses_such_a_path_and_writes_nothing_at_all(
        self, guest: Guest, path: str, why: str
    ) -> None:
        outside = guest.root / "outside"
        outside.mkdir()
        (guest.workspace / "away").symlink_to(outside)
        (guest.workspace / "dangling").symlink_to("nowhere")
        (guest.workspace / "here").mkdir()
        (guest.workspace / "plain").write_text("plain")
        done = guest.runner("apply", guest.bundle(files=[file("first"), file(path)]))
        assert done.returncode == 3
        assert why in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not (guest.workspace / "first").exists()
        assert not list(outside.iterdir())

    def test_it_writes_through_a_link_that_stays_inside_and_over_one_that_does_not(
        self, guest: Guest
    ) -> None:
        secret = guest.root / "secret"
        secret.write_text("secret")
        (guest.workspace / "real").mkdir()
        (guest.workspace / "alias").symlink_to("real")
        (guest.workspace / "link").symlink_to(secret)
        guest.tell("apply", guest.bundle(files=[file("alias/a"), file("link")]))
        assert (guest.workspace / "real/a").read_bytes() == b"new\n"
        assert not (guest.workspace / "link").is_symlink()
        assert secret.read_text() == "secret"

    @pytest.mark.parametrize("paths", [["a", "a"], ["a", "a/b"], ["a/b/c", "a/b"]])
    def test_it_refuses_files_that_contradict_each_other(self, guest: Guest, paths: list[str]) -> None:
        assert guest.runner("apply", guest.bundle(files=[file(path) for path in paths])).returncode == 3
        assert not list(guest.workspace.iterdir())

    @pytest.mark.parametrize(
        "more",
        [
            {"files": [{"path": "a", "content": "***"}]},
            {"files": [{"path": "a"}]},
            {"files": [{"path": "a", "content": "", "mode": 0o10000}]},
            {"programs": [{"path": "/etc/cron.d/x", "content": ""}]},
            {"programs": [{"path": "/opt/autovibe/../x", "content": ""}]},
            {"identity": {"hostname": "not a name"}},
            {"identity": {"machine_id": "short"}},
            {"identity": {"hostname": "m12"}},
            {"run": "../../etc"},
        ],
    )
    def test_it_refuses_what_makes_no_sense(self, guest: Guest, more: dict[str, Any]) -> None:
        done = guest.runner("apply", guest.bundle(**more))
        assert done.returncode == 3
        assert done.stderr.strip()
        assert not list(guest.workspace.iterdir())


class TestAssemble:
    def test_it_puts_the_parts_together_once(self, guest: Guest) -> None:
        whole = json.dumps({"run": "x" * 100_000}).encode()
        target = guest.root / "bundle.json"
        for number, at in enumerate(range(0, len(whole), 46_080)):
            target.with_name(f"bundle.json.{number}").write_bytes(whole[at : at + 46_080])
        command = ("assemble", target, 3, "--sha256", hashlib.sha256(whole).hexdigest())
        assert guest.tell(*command)["bytes"] == len(whole)
        assert target.read_bytes() == whole
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        assert not list(guest.root.glob("bundle.json.*"))
        assert guest.tell(*command)["bytes"] == len(whole)

    def test_it_refuses_missing_parts_and_damaged_ones(self, guest: Guest) -> None:
        target = guest.root / "t"
        (guest.root / "t.0").write_bytes(b"half")
        assert "t.1" in guest.runner("assemble", target, 2, "--sha256", "0" * 64).stderr
        damaged = guest.runner("assemble", target, 1, "--sha256", "0" * 64)
        assert damaged.returncode == 3
        assert "upload it again" in damaged.stderr
        assert not target.exists()


class TestSource:
    def test_the_runner_is_small_enough_to_be_sent_in_two_writes_of_the_guest_agent(self) -> None:
        assert len(source("runner.py").encode()) <= 2 * 46_080

    @pytest.mark.parametrize("name", ["runner", "vibe.py", "claude_log", "identity"])
    def test_every_program_is_python_3_9(self, name: str) -> None:
        import ast

        ast.parse(source(name), feature_version=(3, 9))

    def test_it_knows_no_other_program(self) -> None:
        with pytest.raises(LookupError, match=r"vibe\.py"):
            source("../secrets")
