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


def captured_nothing(guest: Guest, since: str) -> bool:
    """Whether a capture since then has nothing to say."""
    out = guest.root / "nothing.gz"
    told = guest.tell("capture", out, "--since", since)
    return (told["digest"], told["handed"], out.exists()) == (since, 0, False)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def begin_run(guest: Guest, *transcripts: str) -> None:
    """A run whose agent keeps its history there."""
    (guest.state / "runs/one").mkdir(parents=True)
    (guest.state / "runs/one/settings.json").write_text(json.dumps({"transcripts": transcripts}))
    (guest.state / "current").write_text("one")


class TestRest:
    """What else is on the guest's disk: whether it is the same is told, and nothing of it is listed."""

    def rest(self, guest: Guest) -> str:
        return str(guest.tell("capture", guest.root / "tmp/out.gz", "--rest")["rest"])

    def test_it_is_the_same_until_something_else_is_written(self, guest: Guest) -> None:
        for directory in ("tmp", "var/log", "etc"):
            (guest.root / directory).mkdir(parents=True)
        first = self.rest(guest)
        (guest.root / "tmp/x").write_text("x")
        (guest.root / "var/log/x").write_text("x")
        begin_run(guest, "/root/history")
        (guest.root / "root").mkdir()
        second = self.rest(guest)
        (guest.root / "root/history").mkdir()
        (guest.root / "root/history/a").write_text("a")
        third = self.rest(guest)
        (guest.root / "root/history/b").write_text("b")
        assert first
        assert second != first, "/root is new"
        assert third != second, "its directory is touched"
        assert self.rest(guest) == third
        (guest.root / "etc/x").write_text("x")
        assert self.rest(guest) != third

    def test_a_workspace_file_that_was_touched_is_not_the_same(self, guest: Guest) -> None:
        (guest.root / "tmp").mkdir()
        (guest.workspace / "a").write_text("a")
        settle()
        first = self.rest(guest)
        assert self.rest(guest) == first
        (guest.workspace / "a").chmod(0o600)
        (guest.workspace / "a").chmod(0o644)
        assert self.rest(guest) != first

    def test_without_being_asked_it_is_not_looked_at(self, guest: Guest) -> None:
        assert guest.tell("capture", guest.root / "out.gz")["rest"] == ""

    def test_where_that_took_too_long_it_is_not_tried_again_for_a_while(self, guest: Guest) -> None:
        (guest.root / "tmp").mkdir()
        assert self.rest(guest)
        (guest.state / "slow").touch()
        assert self.rest(guest) == ""
        os.utime(guest.state / "slow", (1, 1))
        assert self.rest(guest)


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

    def test_large_files_are_listed_without_content(self, guest: Guest) -> None:
        (guest.workspace / ".git/objects/ab").mkdir(parents=True)
        (guest.workspace / ".git/objects/ab/cd").write_bytes(b"object")
        (guest.workspace / "large").write_bytes(b"x" * 2000)
        _, entries, contents = captured(guest, **{"--max-file": 1000})
        assert {".git/objects/ab/cd", "large"} <= entries.keys()
        assert list(contents.values()) == [b"object"]

    def test_a_large_file_is_handed_out_in_pieces(self, guest: Guest) -> None:
        data = os.urandom(1 << 20) * 2 + b"end"
        (guest.workspace / "a").write_bytes(data)
        _, entries, contents = captured(guest, **{"--max-total": 8 << 20})
        assert entries["a"]["chunks"] == [sha(data[: 1 << 20]), sha(data[: 1 << 20]), sha(b"end")]
        assert len(contents) == 2
        assert b"".join(contents[piece] for piece in entries["a"]["chunks"]) == data

    def test_what_there_was_no_room_for_is_handed_out_with_the_next_captures(self, guest: Guest) -> None:
        for name in ("a", "b", "c"):
            (guest.workspace / name).write_text(name * 600)
        settle()
        first, entries, contents = captured(guest, **{"--max-total": 1000})
        handed = list(contents)
        for _ in range(2):
            options = {"--max-total": 1000, "--since": first["digest"]}
            told, listed, contents = captured(guest, **options)
            assert (told["handed"], told["changed"], told["digest"]) == (1, 0, first["digest"])
            assert [entry["sha256"] for entry in listed.values()] == list(contents)
            handed += contents
        assert sorted(handed) == sorted(entry["sha256"] for entry in entries.values())
        assert captured_nothing(guest, since=first["digest"])

    def test_since_the_last_capture_only_what_changed_is_told(self, guest: Guest) -> None:
        for name in ("a", "b", "c"):
            (guest.workspace / name).write_text(name)
        settle()
        first, _, _ = captured(guest)
        (guest.workspace / "a").unlink()
        (guest.workspace / "b").write_text("B")
        _, entries, contents = captured(guest, **{"--since": first["digest"]})
        assert entries.keys() == {"a", "b"}
        assert entries["a"]["gone"] is True
        assert list(contents.values()) == [b"B"]
        _, entries, _ = captured(guest, **{"--since": first["digest"]})
        assert entries.keys() == {"b", "c"}, "that was not the last capture"

    def test_where_nothing_changed_nothing_is_written(self, guest: Guest) -> None:
        (guest.workspace / "a").write_text("a")
        settle()
        captured(guest)
        first, _, _ = captured(guest)
        index = (guest.state / "index").stat()
        assert captured_nothing(guest, since=first["digest"])
        assert (guest.state / "index").stat() == index

    def test_an_index_that_is_damaged_is_begun_anew(self, guest: Guest) -> None:
        (guest.workspace / "a").write_text("a")
        first, _, _ = captured(guest)
        for damage in (b"", b"\0" * 20, (guest.state / "index").read_bytes()[:-1]):
            (guest.state / "index").write_bytes(damage)
            again, listed, _ = captured(guest, **{"--since": first["digest"]})
            assert list(listed) == ["a"]
            assert again["digest"] == first["digest"]

    def test_a_capture_writes_little_where_little_changed(self, guest: Guest) -> None:
        for n in range(500):
            (guest.workspace / f"f{n}").write_text(str(n))
        settle()
        captured(guest)
        captured(guest)
        before = (guest.state / "index").stat().st_size
        (guest.workspace / "f1").write_text("new")
        captured(guest)
        assert (guest.state / "index").stat().st_size - before < 1000
        for n in range(12):
            for m in range(100):
                (guest.workspace / f"f{m}").write_text(f"{n} {m}")
            told, _, _ = captured(guest)
        assert (guest.state / "index").stat().st_size < 2.5 * before
        assert captured(guest)[0]["digest"] == told["digest"]

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

    def test_of_a_history_that_grew_only_the_end_is_handed_out(self, guest: Guest) -> None:
        begin_run(guest, "/workspace/log.md")
        log = guest.workspace / "log.md"
        log.write_bytes(os.urandom(150_000))
        settle()
        _, entries, contents = captured(guest)
        assert entries["log.md"]["transcript"] is True
        assert list(map(len, contents.values())) == [65536, 65536, 150_000 - 2 * 65536]
        with log.open("ab") as file:
            file.write(b"more")
        told, entries, contents = captured(guest)
        assert list(map(len, contents.values())) == [150_004 - 2 * 65536]
        assert told["transcripts"] == [
            {key: entries["log.md"][key] for key in ("path", "size", "sha256", "mtime_ns")}
        ]

    def test_history_is_told_the_newest_first_and_is_no_work(self, guest: Guest) -> None:
        begin_run(guest, "/workspace/log.md", "/var/lib/history")
        (guest.workspace / "a").write_text("a")
        first, _, _ = captured(guest)
        (guest.root / "var/lib/history").mkdir()
        (guest.root / "var/lib/history/one").write_text("1")
        os.utime(guest.root / "var/lib/history/one", ns=(1, 1))
        (guest.workspace / "log.md").write_text("2")
        second, _, _ = captured(guest)
        assert [one["path"] for one in second["transcripts"]] == ["log.md", "/var/lib/history/one"]
        assert second["work"] == first["work"]
        assert second["digest"] != first["digest"]

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
