"""What a checkpoint holds: keeping what guests hand out, without believing them too much; reading it."""

import base64
import gzip
import hashlib
import json

import hypothesis
import pytest
from hypothesis import given as given_
from hypothesis import strategies as st

from checkpoints import actions
from checkpoints.contents import accounting, captures, files, manifests, parts
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


def line(path: str, content: bytes) -> dict:
    return {
        "path": path,
        "kind": "file",
        "mode": 0o644,
        "size": len(content),
        "sha256": sha(content),
        "mtime_ns": 1,
    }


def given(content: bytes) -> dict:
    return {"sha256": sha(content), "content": base64.b64encode(content).decode()}


def cut(content: bytes, size: int) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


def in_pieces(path: str, content: bytes, size: int = 1 << 20) -> dict:
    return {**line(path, content), "chunks": list(map(sha, cut(content, size)))}


def pieces_of(content: bytes, size: int = 1 << 20) -> list[dict]:
    return list(map(given, dict.fromkeys(cut(content, size))))


def out(*lines: dict) -> bytes:
    return gzip.compress("\n".join(map(json.dumps, lines)).encode())


def prepared(project, guest, parent: Checkpoint) -> Checkpoint:
    return actions.prepare(
        project=project,
        guest=guest,
        origin="machine:x",
        name="m9",
        kind=Checkpoint.Kind.MANUAL,
        why="",
        parent=parent,
    )


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

    def test_a_damaged_content_is_said_to_be_so_until_a_guest_hands_it_in_again(self, take):
        first = take({"a": b"the true content"})
        Blob.objects.update(body=Blob.holding("", b"rot").body)

        with pytest.raises(Conflict, match=f"gone, or damaged. Its snapshot .* branch from {first.handle}"):
            files.content(first, "a")
        take({"a": b"the true content"}, parent=first)
        assert files.content(first, "a") == b"the true content"

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


class TestPieces:
    """Large files are kept in pieces; a guest says which, and is believed as little as of files."""

    DATA = bytes(range(256)) * 4096 * 2 + b"end"  # two equal pieces of 1 MiB, and a rest

    @pytest.fixture
    def store(self, project, guest, genesis):
        def store(*lines: dict, parent: Checkpoint | None = None, since: str = "", digest: str = "", **more):
            checkpoint = prepared(project, guest, parent or genesis)
            raw = out({"since": since}, *lines)
            manifests.store(
                checkpoint, digest, read=lambda: raw, fetch=more.pop("fetch", nothing_more), **more
            )
            checkpoint.move(State.CAPTURED)
            return checkpoint

        return store

    def test_it_is_read_as_one(self, store):
        checkpoint = store(in_pieces("a", self.DATA), *pieces_of(self.DATA))

        assert files.content(checkpoint, "a") == self.DATA
        assert Blob.objects.count() == 2

    def test_without_all_of_its_pieces_it_is_not_kept(self, store):
        first, *_ = pieces_of(self.DATA)
        checkpoint = store(in_pieces("a", self.DATA), first)

        with pytest.raises(Conflict, match="in the snapshot only"):
            files.content(checkpoint, "a")

    def test_of_a_history_that_grew_what_was_handed_in_before_is_known(self, store):
        log = b"x" * 65536 + b"y" * 65536
        first = store(in_pieces("/log", log, 65536), *pieces_of(log, 65536))
        grown = log + b"more"
        second = store(in_pieces("/log", grown, 65536), given(b"more"), parent=first)

        assert files.content(second, "/log") == grown

    def test_pieces_that_do_not_amount_to_what_was_said_are_not_handed_out(self, store):
        lying = {**in_pieces("a", self.DATA), "sha256": sha(b"something else")}
        checkpoint = store(lying, *pieces_of(self.DATA))

        with pytest.raises(Conflict, match="damaged"):
            files.content(checkpoint, "a")

    @pytest.mark.parametrize(
        "lie",
        [
            {"chunks": []},
            {"chunks": ["0" * 64] * 2},
            {"chunks": ["x"] * 3},
            {"size": -1},
            {"size": 2**60},
            {"mode": float("inf")},
            {"mode": 2**70},
            {"mtime_ns": float("nan")},
            {"sha256": ""},
        ],
        ids=str,
    )
    def test_a_line_that_cannot_be_is_refused(self, store, lie):
        with pytest.raises(captures.UNREADABLE):
            store({**in_pieces("a", self.DATA), **lie})

        assert not Manifest.objects.exists()

    def test_what_is_larger_than_the_limit_is_not_asked_for(self, store, settings):
        settings.CHECKPOINT_FILE_MIB_MAX = 1
        asked: list[str] = []

        store(in_pieces("a", self.DATA), fetch=lambda wanted: asked.extend(wanted) or nothing_more(wanted))

        assert asked == []


class TestAttacks:
    """A guest that would have a worker fail, or be busy for ever, has no list; all of that is said in one way."""

    @pytest.fixture
    def store(self, project, guest, genesis):
        def store(raw: bytes, parent: Checkpoint | None = None) -> Checkpoint:
            checkpoint = prepared(project, guest, parent or genesis)
            manifests.store(checkpoint, sha(raw), read=lambda: raw, fetch=nothing_more)
            return checkpoint

        return store

    def test_what_is_nested_without_end(self, store):
        with pytest.raises(captures.UNREADABLE):
            store(gzip.compress(b"[" * 200_000))

    def test_sizes_that_no_column_holds_also_step_by_step(self, store):
        half = [{**line(name, b""), "size": captures.FILE_BYTES_MAX // 2} for name in "abc"]
        with pytest.raises(captures.UNREADABLE, match="more than can be listed"):
            store(out(*half))

        first = store(out(*half[:2]))
        with pytest.raises(captures.UNREADABLE, match="more than can be listed"):
            store(out({"since": first.digest}, half[2]), parent=first)

    def test_many_files_of_impossible_sizes_are_added_up_without_an_error(self, store, project):
        for number in range(3):
            Checkpoint.objects.update(manifest=store(out({**line(str(number), b""), "size": 2**50})).manifest)
        Manifest.objects.update(size=2**62)

        assert accounting.of_project(project).logical_bytes == Checkpoint.objects.count() * 2**62

    def test_more_entries_than_are_read(self, store, monkeypatch):
        monkeypatch.setattr(captures, "ENTRIES_MAX", 10)
        entries = [{"path": str(number), "kind": "dir", "mode": 0} for number in range(12)]
        assert store(out(*entries[:11]))

        with pytest.raises(captures.UNREADABLE, match="longer than 10 entries"):
            store(out(*entries))

    def test_more_bytes_than_are_read_of_which_few_are_held(self, store):
        bomb = gzip.compress(b" " * (captures.LIST_BYTES_MAX + 1), 1)

        with pytest.raises(captures.UNREADABLE, match="256 MiB"):
            store(bomb)

    def test_a_list_that_is_cut_off(self, store):
        with pytest.raises(captures.UNREADABLE):
            store(out(*(line(str(number), b"") for number in range(100)))[:-20])


class TestRoom:
    """What there is no room for while an agent waits follows later."""

    @pytest.fixture
    def lacking(self, project, guest, genesis):
        """One small file and one large: only the small one was there was room for."""
        checkpoint = prepared(project, guest, genesis)
        self.asked: list[list[str]] = []
        raw = out(line("small", b"1"), line("large", b"2" * 1000))
        manifests.store(checkpoint, "", read=lambda: raw, fetch=self.fetch, budget=500)
        return checkpoint

    def fetch(self, wanted: list[str]) -> bytes:
        self.asked.append(wanted)
        known = {sha(data): data for data in (b"1", b"2" * 1000)}
        return out(*(given(known[digest]) for digest in wanted))

    def test_only_what_there_is_room_for_is_asked_for(self, lacking):
        assert self.asked == [[sha(b"1")]]
        assert files.content(lacking, "small") == b"1"
        assert [entry["path"] for entry in manifests.lacks(lacking.manifest)] == ["large"]

    def test_when_nobody_waits_the_rest_is_asked_for(self, lacking):
        manifests.complete(lacking, self.fetch)
        lacking.refresh_from_db()

        assert files.content(lacking, "large") == b"2" * 1000
        assert manifests.lacks(lacking.manifest) == []
        assert (lacking.manifest.files, lacking.manifest.size) == (2, 1001)

    def test_what_is_gone_by_then_is_still_not_kept(self, lacking):
        manifests.complete(lacking, nothing_more)
        lacking.refresh_from_db()

        assert [entry["path"] for entry in manifests.lacks(lacking.manifest)] == ["large"]

    def test_what_was_owed_is_kept_when_a_later_capture_hands_it_in(self, lacking, project, guest):
        Checkpoint.objects.filter(pk=lacking.pk).update(digest="a" * 64)
        lacking.refresh_from_db()
        later = prepared(project, guest, lacking)
        raw = out({"since": "a" * 64}, line("large", b"2" * 1000), given(b"2" * 1000))

        manifests.store(later, "a" * 64, read=lambda: raw, fetch=nothing_more, handed=1, budget=500)

        assert files.content(later, "large") == b"2" * 1000
        assert later.changed == 0


class TestSince:
    """A guest that says only what changed since the last capture."""

    @pytest.fixture
    def first(self, project, guest, genesis):
        checkpoint = prepared(project, guest, genesis)
        raw = out(*(entry for path in "abc" for entry in (line(path, path.encode()), given(path.encode()))))
        manifests.store(checkpoint, "a" * 64, read=lambda: raw, fetch=nothing_more)
        return checkpoint

    def after(self, first, *lines, since="a" * 64, guest=None):
        later = prepared(first.project, guest or first.guest, first)
        manifests.store(later, "b" * 64, read=lambda: out({"since": since}, *lines), fetch=nothing_more)
        return later

    def test_the_rest_is_as_it_was(self, first):
        later = self.after(first, line("a", b"new"), given(b"new"), {"path": "b", "gone": True})

        assert [entry["path"] for entry in files.entries(later)] == ["a", "c"]
        assert (files.content(later, "a"), files.content(later, "c")) == (b"new", b"c")
        assert (later.changed, later.manifest.files, later.manifest.size) == (2, 2, 4)

    def test_of_a_file_that_moved_the_content_is_known(self, first):
        later = self.after(first, line("d", b"a"), {"path": "a", "gone": True})

        assert files.content(later, "d") == b"a"

    def test_since_another_state_is_refused(self, first):
        with pytest.raises(ValueError, match="another state"):
            self.after(first, line("a", b"new"), since="c" * 64)

    def test_since_what_another_guest_had_is_refused(self, first, project):
        other = Guest.objects.create(project=project, vmid=10_001, node="n")

        with pytest.raises(ValueError, match="another state"):
            self.after(first, line("a", b"new"), guest=other)


names = st.text(alphabet="abcdefgh/", min_size=1, max_size=4)


class TestParts:
    """A list that is changed in some parts is the list that would have been made of the whole."""

    @pytest.mark.django_db
    @hypothesis.settings(max_examples=60, deadline=None, suppress_health_check=[*hypothesis.HealthCheck])
    @given_(
        before=st.dictionaries(names, st.integers(0, 3), max_size=60),
        changed=st.dictionaries(names, st.none() | st.integers(0, 3), max_size=20),
    )
    def test_it_is_the_same_however_it_came_about(self, before, changed, monkeypatch_parts):
        def entries(values):
            return [
                {"path": path, "kind": "file", "mode": value, "size": 1, "sha256": sha(b""), "mtime_ns": 0}
                for path, value in sorted(values.items())
            ]

        manifest = parts.keep(entries(before), files=len(before), size=len(before))
        wanted = {path: value for path, value in (before | changed).items() if value is not None}
        told = {one["path"]: one for one in entries({k: v for k, v in changed.items() if v is not None})}
        made, differences = parts.change(manifest, {path: told.get(path) for path in changed})

        again = parts.store(made, files=len(wanted), size=len(wanted))
        assert again.digest == parts.keep(entries(wanted), files=len(wanted), size=len(wanted)).digest
        assert again.entries == entries(wanted)
        for one in differences:
            assert one.before or one.after

    @pytest.fixture
    def monkeypatch_parts(self, monkeypatch):
        """Lists are cut so often that short ones have many parts, of both kinds of ends."""
        monkeypatch.setattr(parts, "ENTRIES_MEAN", 4)
        monkeypatch.setattr(parts, "ENTRIES_MAX", 6)


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
