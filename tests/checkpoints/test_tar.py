"""A checkpoint as a tar file: what is in it, what is not and says so, and that it never reaches around itself."""

import hashlib
import io
import os
import subprocess
import tarfile
import tracemalloc
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from checkpoints.contents import parts, pieces
from checkpoints.models import Blob, Checkpoint
from checkpoints.reading.archive import Archive
from machines.states import State as MachineState
from projects.errors import Conflict
from tests.checkpoints.kept import machine_of, sha, take

KEPT = {"src/main.py": b"print(1)\n", "empty": b"", "/root/.claude/a.jsonl": b"{}\n"}


@pytest.fixture
def machine(funded, genesis, alice):
    return machine_of(funded, genesis, alice, MachineState.RUNNING)


@pytest.fixture
def made(machine):
    """A checkpoint with exactly these entries; contents by path are kept."""

    def made(contents: dict[str, bytes], *more: dict[str, Any], **changed: dict[str, Any]) -> Checkpoint:
        blobs = [Blob.holding(sha(content), content) for content in contents.values()]
        Blob.objects.bulk_create(blobs, ignore_conflicts=True)
        entries = [file(path, content) | changed.get(path, {}) for path, content in contents.items()]
        listed = sorted([*entries, *more], key=lambda entry: entry["path"])
        return take(machine, manifest=parts.keep(listed, files=len(entries), size=0))

    return made


def file(path: str, content: bytes, **more: Any) -> dict[str, Any]:
    return {
        "path": path,
        "kind": "file",
        "mode": 0o644,
        "size": len(content),
        "sha256": sha(content),
        "mtime_ns": 1_700_000_000_000_000_000,
        "kept": True,
    } | more


def tar(checkpoint: Checkpoint, **how: bool) -> bytes:
    return b"".join(Archive(checkpoint, **how).blocks())


def members(content: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {member.name.partition("/")[2]: member for member in archive.getmembers()}


def read(content: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        (member,) = (one for one in archive.getmembers() if one.name.endswith(name))
        return archive.extractfile(member).read()


class TestContents:
    def test_it_holds_the_workspace_in_a_directory_of_its_own(self, made):
        checkpoint = made(KEPT)

        content = tar(checkpoint)

        assert set(members(content)) == {"workspace", "workspace/src/main.py", "workspace/empty"}
        assert read(content, f"{checkpoint.handle}/workspace/src/main.py") == b"print(1)\n"

    def test_the_agents_history_is_in_it_where_it_is_asked_for(self, made):
        assert "transcripts/root/.claude/a.jsonl" in members(tar(made(KEPT), transcripts=True))

    def test_modes_but_for_whose_rights_it_runs_with_times_and_links_are_kept(self, made):
        content = tar(
            made(
                {"run.sh": b"#!/bin/sh\n"},
                {"path": "bin", "kind": "dir", "mode": 0o2750},
                {"path": "bin/run", "kind": "link", "mode": 0o777, "target": "../run.sh"},
                **{"run.sh": {"mode": 0o4755, "mtime_ns": 1_700_000_000_123_456_789}},
            )
        )

        found = members(content)
        assert (found["workspace/run.sh"].mode, found["workspace/bin"].mode) == (0o755, 0o750)
        assert found["workspace/run.sh"].pax_headers["mtime"] == "1700000000.123456789"
        assert found["workspace/bin/run"].issym()
        assert found["workspace/bin/run"].linkname == "../run.sh"

    def test_tar_itself_takes_it(self, made, tmp_path):
        long = "/".join(["däta" * 20] * 3)
        content = tar(made({**KEPT, long: b"x" * 70_000}))

        subprocess.run(["tar", "-xf", "-"], input=content, cwd=tmp_path, check=True)

        (top,) = tmp_path.iterdir()
        assert (top / "workspace" / long).read_bytes() == b"x" * 70_000
        assert len(content) % tarfile.RECORDSIZE == 0

    def test_the_same_checkpoint_gives_the_same_bytes(self, made):
        checkpoint = made(KEPT)

        assert tar(checkpoint) == tar(Checkpoint.objects.get(pk=checkpoint.pk))

    def test_a_genesis_has_an_empty_workspace(self, genesis):
        assert set(members(tar(genesis))) == {"workspace"}

    def test_a_file_in_pieces_is_put_together(self, made):
        content = os.urandom(10 * 1024**2 + 1)
        cut = [content[at : at + 1024**2] for at in range(0, len(content), 1024**2)]
        Blob.objects.bulk_create(Blob.holding(sha(piece), piece) for piece in cut)
        checkpoint = made({}, file("big", content, chunks=[sha(piece) for piece in cut]))

        assert hashlib.sha256(read(tar(checkpoint), "big")).hexdigest() == sha(content)


class TestLeftOut:
    def test_what_is_in_the_snapshot_only_is_named(self, made):
        checkpoint = made(KEPT, file("huge.bin", b"x", kept=False))

        archive = Archive(checkpoint)
        content = b"".join(archive.blocks())

        assert archive.left_out() == 1
        assert b"'workspace/huge.bin': its content is in the snapshot only" in read(content, "left-out.txt")

    @pytest.mark.parametrize(
        "damage", [{"body": b"rot"}, {"body": Blob.holding("x", b"print(2)\n").body}], ids=["broken", "other"]
    )
    def test_a_content_that_is_damaged_is_never_handed_out(self, made, damage):
        checkpoint = made(KEPT)
        Blob.objects.filter(pk=sha(b"print(1)\n")).update(**damage)

        content = tar(checkpoint)

        assert "workspace/src/main.py" not in members(content)
        assert b"src/main.py': its content is damaged" in read(content, "left-out.txt")

    def test_damage_in_the_last_piece_of_a_large_file_is_found_before_it_is_sent(self, made):
        cut = [os.urandom(1024**2) for _ in range(6)]
        Blob.objects.bulk_create(Blob.holding(sha(piece), piece) for piece in cut)
        checkpoint = made(KEPT, file("big", b"".join(cut), chunks=[sha(piece) for piece in cut]))
        Blob.objects.filter(pk=sha(cut[-1])).delete()

        content = tar(checkpoint)

        assert set(members(content)) == {
            "workspace",
            "workspace/src/main.py",
            "workspace/empty",
            "left-out.txt",
        }

    def test_a_size_that_the_guest_made_up_does_not_shift_what_follows(self, made):
        content = tar(made({"a": b"1", "b": b"2"}, a={"size": 10**6}))

        assert (read(content, "workspace/a"), read(content, "workspace/b")) == (b"1", b"2")

    def test_without_a_list_of_files_there_is_no_archive(self, machine):
        with pytest.raises(Conflict, match="no list of files"):
            Archive(take(machine, manifest=None))


class TestEscape:
    @pytest.mark.parametrize("path", ["../x", "a/../../x", "a//b", "./a", "a\0b", "a/"])
    def test_a_path_that_leads_out_is_refused(self, made, path):
        content = tar(made({"ok": b"1"}, file(path, b"1")))

        assert set(members(content)) == {"workspace", "workspace/ok", "left-out.txt"}
        assert b"lead out of the archive" in read(content, "left-out.txt")

    @pytest.mark.parametrize("target", ["a\0b", "\ud800"])
    def test_a_link_to_what_no_file_is_called_is_refused(self, made, target):
        content = tar(made({}, {"path": "a", "kind": "link", "mode": 0o777, "target": target}))

        assert set(members(content)) == {"workspace", "left-out.txt"}

    def test_nothing_lies_below_a_link(self, made):
        link = {"path": "away", "kind": "link", "mode": 0o777, "target": "/etc"}
        content = tar(made({"ok": b"1"}, link, file("away/passwd", b"1"), file("away-from", b"1")))

        assert "workspace/away/passwd" not in members(content)
        assert "workspace/away-from" in members(content)
        assert b"away/passwd': it lies below a link" in read(content, "left-out.txt")

    def test_a_path_that_is_listed_twice_is_taken_once(self, made):
        content = tar(
            made({"a": b"1"}, {"path": "a", "kind": "link", "mode": 0o777, "target": "/etc/passwd"})
        )

        assert b"has it twice" in read(content, "left-out.txt")


class TestMemory:
    def test_it_does_not_grow_with_what_is_in_it(self, made):
        cut = [os.urandom(1024**2) for _ in range(48)]
        Blob.objects.bulk_create(Blob.holding(sha(piece), piece) for piece in cut)
        large = file("big", b"", size=48 * 1024**2, chunks=[sha(piece) for piece in cut])
        each = [file(f"f{n}", b"", sha256=sha(piece), size=len(piece)) for n, piece in enumerate(cut)]
        archive = Archive(made({}, large, *each))
        del cut

        tracemalloc.start()
        size = sum(map(len, archive.blocks()))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert size > 96 * 1024**2
        assert peak < 24 * 1024**2


class TestOnALoop:
    @pytest.mark.django_db(transaction=True)
    async def test_the_event_loop_is_left_to_others(self, made):
        """Django refuses every question to the database that is asked on the loop itself."""
        checkpoint = await sync_to_async(made)(KEPT)
        archive = await sync_to_async(Archive)(checkpoint)

        sent = [block async for block in archive.stream()]

        assert b"".join(sent) == await sync_to_async(tar)(checkpoint)
        await sync_to_async(connections.close_all)()


class TestOverRest:
    @pytest.mark.parametrize(("who", "status"), [("alice", 200), ("bob", 200), ("charlie", 404)])
    def test_who_may(self, api, made, who, status):
        assert api(who).get(f"/api/v1/checkpoints/{made(KEPT).handle}/tar/").status_code == status

    @pytest.mark.parametrize("accept", ["application/x-tar", "application/json", "*/*"])
    def test_it_is_a_file_for_whoever_asks(self, api, made, accept):
        checkpoint = made(KEPT, file("huge.bin", b"x", kept=False))

        answer = api("bob").get(
            f"/api/v1/checkpoints/{checkpoint.handle}/tar/?transcripts=1", headers={"Accept": accept}
        )

        assert answer["Content-Disposition"] == f'attachment; filename="{checkpoint.handle}.tar"'
        assert (answer["Content-Type"], answer["X-Left-Out"]) == ("application/x-tar", "1")
        assert b"".join(answer) == tar(checkpoint, transcripts=True)

    def test_a_refusal_is_a_problem_even_to_who_wanted_a_file(self, api, machine):
        checkpoint = take(machine, manifest=None)

        answer = api("bob").get(
            f"/api/v1/checkpoints/{checkpoint.handle}/tar/", headers={"Accept": "application/x-tar"}
        )

        assert (answer.status_code, answer["Content-Type"]) == (409, "application/problem+json")


def test_pieces_are_known_by_their_hash():
    assert pieces.sound(Blob.holding(sha(b"x"), b"x")) == b"x"
    assert pieces.sound(Blob.holding(sha(b"y"), b"x")) is None
    assert pieces.sound(None) is None
