"""Which files there are, what changed, and their contents."""

import base64
import gzip
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from tests.guest.conftest import Gateway, Guest


def settle() -> None:
    """Make files old enough to be trusted: what was written just now is read again next time."""
    time.sleep(0.15)


def captured(guest: Guest, **options: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, bytes]]:
    """The runner's answer, the manifest by path, and the contents by hash."""
    out = guest.root / "out.gz"
    told = guest.tell("capture", out, *(str(part) for option in options.items() for part in option))
    header, *lines = [json.loads(line) for line in gzip.decompress(out.read_bytes()).splitlines()]
    assert {key: header[key] for key in ("digest", "files", "bytes", "changed")} == {
        key: told[key] for key in ("digest", "files", "bytes", "changed")
    }
    entries = {line["path"]: line for line in lines if "path" in line}
    contents = {line["sha256"]: base64.b64decode(line["content"]) for line in lines if "content" in line}
    assert all(hashlib.sha256(data).hexdigest() == sha256 for sha256, data in contents.items())
    return told, entries, contents


class TestCapture:
    def test_it_lists_files_directories_and_links_with_what_is_new_in_them(self, guest: Guest) -> None:
        (guest.workspace / "src").mkdir()
        (guest.workspace / "src/a.py").write_bytes(b"print()\n")
        (guest.workspace / "link").symlink_to("/etc/passwd")
        os.mkfifo(guest.workspace / "pipe")
        told, entries, contents = captured(guest)
        assert list(entries) == ["link", "src", "src/a.py"]
        assert entries["link"] == {
            "path": "link",
            "kind": "link",
            "mode": 0o777,
            "size": 0,
            "target": "/etc/passwd",
        }
        assert entries["src/a.py"]["size"] == 8
        assert list(contents.values()) == [b"print()\n"]
        assert (told["files"], told["bytes"], told["changed"]) == (1, 8, 3)

    def test_without_a_change_nothing_changes(self, guest: Guest) -> None:
        (guest.workspace / "a").write_text("a")
        settle()
        first, _, _ = captured(guest)
        (guest.workspace / "d").mkdir()
        (guest.workspace / "d").rmdir()
        second, entries, contents = captured(guest)
        assert second["digest"] == first["digest"]
        assert second["changed"] == 0
        assert list(entries) == ["a"]
        assert contents == {}

    def test_every_kind_of_change_is_seen(self, guest: Guest) -> None:
        for name in ("content", "mode", "gone", "same"):
            (guest.workspace / name).write_text(name)
        settle()
        before, _, _ = captured(guest)
        (guest.workspace / "content").write_text("CONTENT")
        (guest.workspace / "mode").chmod(0o755)
        (guest.workspace / "gone").unlink()
        (guest.workspace / "fresh").write_text("fresh")
        after, entries, contents = captured(guest)
        assert after["changed"] == 4
        assert after["digest"] != before["digest"]
        assert sorted(contents.values()) == [b"CONTENT", b"fresh"]
        assert entries["mode"]["mode"] == 0o755

    def test_a_change_that_keeps_size_and_time_within_one_tick_is_not_missed(self, guest: Guest) -> None:
        file = guest.workspace / "a"
        for text in ("one", "two", "six"):
            file.write_text(text)
            os.utime(file, ns=(1, 1))
            _, entries, _ = captured(guest)
            assert entries["a"]["sha256"] == hashlib.sha256(text.encode()).hexdigest()

    def test_large_files_and_git_objects_are_listed_without_content(self, guest: Guest) -> None:
        (guest.workspace / ".git/objects/ab").mkdir(parents=True)
        (guest.workspace / ".git/objects/ab/cd").write_bytes(b"object")
        (guest.workspace / "large").write_bytes(b"x" * 2000)
        (guest.workspace / "small").write_bytes(b"small")
        _, entries, contents = captured(guest, **{"--max-file": 1000})
        assert {".git/objects/ab/cd", "large", "small"} <= entries.keys()
        assert list(contents.values()) == [b"small"]

    def test_contents_have_a_total_and_the_rest_can_be_asked_for(self, guest: Guest) -> None:
        for name in ("a", "b", "c"):
            (guest.workspace / name).write_text(name * 600)
        _, entries, contents = captured(guest, **{"--max-total": 1000})
        assert len(contents) == 1
        wanted = [entry["sha256"] for entry in entries.values()]
        out = guest.root / "contents.gz"
        told = guest.tell("contents", out, *wanted, "0" * 64)
        assert (told["found"], told["missing"]) == (3, ["0" * 64])
        lines = [json.loads(line) for line in gzip.decompress(out.read_bytes()).splitlines()]
        assert {line["sha256"] for line in lines[1:]} == set(wanted)

    def test_transcripts_outside_the_workspace_belong_to_it(self, guest: Guest, gateway: Gateway) -> None:
        (guest.root / "root/.claude/projects").mkdir(parents=True)
        (guest.root / "root/.claude/projects/one.jsonl").write_text("{}\n")
        transcripts = ["/root/.claude/projects", "/workspace/.vibe", "/nowhere"]
        guest.tell("start", guest.bundle(gateway=gateway.url, transcripts=transcripts))
        _, entries, _ = captured(guest)
        assert list(entries) == ["/root/.claude/projects/one.jsonl"]

    def test_a_name_that_is_not_utf_8_is_shown_as_text(self, guest: Guest) -> None:
        (Path(os.fsdecode(os.fsencode(guest.workspace) + b"/bad\xff"))).write_text("x")
        _, entries, _ = captured(guest)
        assert list(entries) == ["bad\\xff"]

    def test_an_empty_workspace_is_a_state_like_any_other(self, guest: Guest) -> None:
        told, entries, _ = captured(guest)
        assert (told["files"], entries) == (0, {})

    def test_ten_thousand_files_are_no_burden(self, guest: Guest) -> None:
        for n in range(100):
            (guest.workspace / f"d{n}").mkdir()
            for m in range(100):
                (guest.workspace / f"d{n}/f{m}").write_text(f"{n} {m}")
        settle()
        first, entries, _ = captured(guest)
        captured(guest)
        began = time.perf_counter()
        again = guest.tell("capture", guest.root / "out.gz")
        print(f"\n10,000 files without a change: {(time.perf_counter() - began) * 1000:.0f} ms")
        assert (again["digest"], again["changed"]) == (first["digest"], 0)
        assert len(entries) == 10_100
