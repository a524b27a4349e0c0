"""What a checkpoint holds: keeping what guests hand out, without believing them too much; reading and comparing."""

import base64
import gzip
import hashlib
import json

import pytest

from checkpoints import actions, files, manifests
from checkpoints.models import Blob, Checkpoint, Manifest
from checkpoints.states import State
from guests.models import Guest
from projects.errors import Conflict, NotThere


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def capture(
    contents: dict[str, bytes], *, without: tuple[str, ...] = (), lies: dict[str, str] | None = None
) -> bytes:
    """What a runner hands out: entries, then contents, but for those `without`."""
    lies = lies or {}
    lines = [
        {"path": path, "kind": "file", "mode": 0o644, "size": len(content), "sha256": lies.get(path, sha(content)),
         "mtime_ns": 1}
        for path, content in contents.items()
    ]  # fmt: skip
    given = [
        {"sha256": sha(content), "content": base64.b64encode(content).decode()}
        for path, content in contents.items()
        if path not in without
    ]
    return gzip.compress("\n".join(json.dumps(line) for line in [{"header": 1}, *lines, *given]).encode())


def nothing_more(wanted: list[str]) -> bytes:
    return gzip.compress(b"")


@pytest.fixture
def guest(project) -> Guest:
    return Guest.objects.create(project=project, vmid=10_000, node="n")


@pytest.fixture
def take(project, guest, genesis):
    def take(
        contents: dict[str, bytes], *, parent: Checkpoint | None = None, digest: str = "", **more
    ) -> Checkpoint:
        origin = more.pop("origin", "machine:00000000-0000-4000-8000-000000000001")
        where = more.pop("guest", guest)
        checkpoint = actions.prepare(
            project=project, guest=where, origin=origin, name=origin[-3:], kind=Checkpoint.Kind.MANUAL, why="",
            parent=parent or genesis,
        )  # fmt: skip
        manifests.store(checkpoint, digest, read=lambda: capture(contents, **more), fetch=nothing_more)
        checkpoint.move(State.CAPTURED)
        return checkpoint

    return take


class TestStore:
    def test_contents_are_kept_once_for_all_checkpoints(self, take):
        first = take({"a": b"same", "b": b"same"})
        take({"a": b"same"}, parent=first)

        assert Blob.objects.count() == 1

    def test_an_unchanged_state_is_not_read_again(self, take, project, guest):
        first = take({"a": b"1"}, digest="d1")
        again = actions.prepare(
            project=project,
            guest=guest,
            origin=first.origin,
            name="x",
            kind=Checkpoint.Kind.MANUAL,
            why="",
            parent=first,
        )

        manifests.store(again, "d1", read=lambda: pytest.fail("was read"), fetch=nothing_more)

        assert (again.manifest, again.changed) == (first.manifest, 0)

    def test_what_one_guest_says_is_not_believed_of_another(self, take, project):
        take({"secret": b"1"}, digest="d1")
        other = Guest.objects.create(project=project, vmid=10_001, node="n")

        theirs = take(
            {"mine": b"2"}, digest="d1", guest=other, origin="machine:00000000-0000-4000-8000-000000000002"
        )

        assert [entry["path"] for entry in files.entries(theirs)] == ["mine"]

    def test_a_guest_that_only_names_a_hash_does_not_get_to_read_it(self, take, project):
        take({"key": b"top secret"})
        other = Guest.objects.create(project=project, vmid=10_001, node="n")

        thief = take(
            {"key": b"top secret"},
            without=("key",),
            guest=other,
            origin="machine:00000000-0000-4000-8000-000000000002",
        )

        with pytest.raises(Conflict, match="in the snapshot only"):
            files.content(thief, "key")

    def test_a_content_under_a_false_hash_is_not_kept_there(self, take):
        liar = take({"a": b"other bytes"}, lies={"a": sha(b"expected bytes")})

        assert not Blob.objects.filter(pk=sha(b"expected bytes")).exists()
        with pytest.raises(Conflict):
            files.content(liar, "a")

    def test_what_was_handed_in_before_need_not_be_again(self, take):
        first = take({"a": b"1"})
        second = take({"a": b"1", "b": b"2"}, parent=first, without=("a",))

        assert files.content(second, "a") == b"1"
        assert second.changed == 1

    def test_the_agents_history_is_kept_and_is_nobodys_work(self, take):
        checkpoint = take({"a": b"1", "/var/lib/autovibe/vibe/transcript.jsonl": b"{}"})

        assert [entry["path"] for entry in files.entries(checkpoint)] == ["a"]
        assert checkpoint.manifest.files == 1
        assert files.content(checkpoint, "/var/lib/autovibe/vibe/transcript.jsonl") == b"{}"


class TestDiff:
    def test_it_names_what_was_added_removed_and_modified(self, take):
        before = take({"gone": b"x", "same": b"x", "text": b"one\ntwo\n"})
        after = take({"new": b"x", "same": b"x", "text": b"one\nthree\n"}, parent=before)

        found = {one["path"]: one for one in files.diff(before, after)}

        assert {path: one["change"] for path, one in found.items()} == {
            "gone": "removed",
            "new": "added",
            "text": "modified",
        }
        assert "-two\n+three" in found["text"]["diff"]

    def test_binary_files_have_no_diff(self, take):
        before = take({"a": b"\xff\xfe"})
        after = take({"a": b"\xff\xff"}, parent=before)

        assert [one["diff"] for one in files.diff(before, after)] == [None]

    def test_genesis_compares_as_empty(self, take, genesis):
        after = take({"a": b"1"})

        assert [one["change"] for one in files.diff(genesis, after)] == ["added"]


class TestOverRest:
    @pytest.mark.parametrize(("who", "status"), [("alice", 200), ("bob", 200), ("charlie", 404)])
    @pytest.mark.parametrize("what", ["", "files/", "file/?path=a", "diff/?to=demo.c0"])
    def test_who_may_read(self, api, take, who, status, what):
        checkpoint = take({"a": b"1"})

        assert api(who).get(f"/api/v1/checkpoints/{checkpoint.handle}/{what}").status_code == status

    def test_a_file_is_never_interpreted_by_a_browser(self, api, take):
        checkpoint = take({"a.html": b"<script>"})

        response = api("alice").get(f"/api/v1/checkpoints/{checkpoint.handle}/file/?path=a.html")

        assert response.content == b"<script>"
        assert response["Content-Type"] == "application/octet-stream"
        assert response["Content-Disposition"] == "attachment"

    def test_a_missing_file_says_where_to_look(self, take):
        with pytest.raises(NotThere, match="autovibe files"):
            files.content(take({"a": b"1"}), "b")

    def test_a_checkpoint_without_a_list_says_why(self, take, project, guest, genesis):
        checkpoint = actions.prepare(
            project=project,
            guest=guest,
            origin="machine:x",
            name="m9",
            kind=Checkpoint.Kind.MANUAL,
            why="",
            parent=genesis,
        )

        with pytest.raises(Conflict, match="still being taken"):
            files.entries(checkpoint)


def test_manifests_are_shared_by_states_that_are_alike(take):
    first = take({"a": b"1"}, digest="x")
    take({"a": b"1"}, parent=first, digest="y")

    assert Manifest.objects.count() == 1
