"""Whatever an agent does, and wherever one goes back to: lists are what is there, and what is kept is what was."""

import json
import os
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from checkpoints import actions
from checkpoints.contents import captures, files, manifests
from checkpoints.models import Checkpoint
from checkpoints.states import State
from checkpoints.taking import capturing
from guests.models import Guest as Row
from projects.models import Project
from tests.checkpoints.real import listed
from tests.guest.conftest import Guest

HISTORY = "/var/lib/scribe"
NAMES = st.sampled_from(["a", "b", "dir/c", "dir/d", "dir/sub/e"])
TEXTS = st.sampled_from(
    [b"", b"one", b"two", b"x" * 3000, bytes(range(256)) * 5000]
)  # the last is cut in pieces
ACTS = st.one_of(
    st.tuples(st.just("write"), NAMES, TEXTS),
    st.tuples(st.just("remove"), NAMES),
    st.tuples(st.just("link"), NAMES),
    st.tuples(st.just("chmod"), NAMES),
    st.tuples(st.just("move"), NAMES, NAMES),
    st.tuples(st.just("say"), TEXTS),
    st.tuples(st.just("shorten")),
    st.tuples(st.just("take")),
    st.tuples(st.just("take")),
    st.tuples(st.just("return"), st.integers(0, 9)),
)


@dataclass
class World:
    """A guest that is a directory; snapshots are copies of it, and keep nothing of inodes, like the embedded node's."""

    directory: Path
    project: Project
    row: Row
    parent: Checkpoint
    taken: list[Checkpoint] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.guest = Guest(self.directory / "guest")
        self.guest.workspace.mkdir(parents=True)
        (self.guest.state / "runs/one").mkdir(parents=True)
        (self.guest.state / "runs/one/settings.json").write_text(json.dumps({"transcripts": [HISTORY]}))
        (self.guest.state / "current").write_text("one")

    def act(self, what: str, *how: Any) -> None:
        getattr(self, f"_{what}")(*how)

    def _write(self, name: str, text: bytes) -> None:
        path = self.guest.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._remove(name)
        path.write_bytes(text)

    def _remove(self, name: str) -> None:
        (self.guest.workspace / name).unlink(missing_ok=True)

    def _link(self, name: str) -> None:
        self._remove(name)
        (self.guest.workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (self.guest.workspace / name).symlink_to("somewhere")

    def _chmod(self, name: str) -> None:
        path = self.guest.workspace / name
        if path.exists():
            path.chmod(path.stat().st_mode ^ 0o100)

    def _move(self, name: str, other: str) -> None:
        if os.path.lexists(self.guest.workspace / name):
            (self.guest.workspace / other).parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.guest.workspace / name, self.guest.workspace / other)

    def _say(self, text: bytes) -> None:
        history = self.guest.root / HISTORY[1:]
        history.mkdir(parents=True, exist_ok=True)
        with (history / "log").open("ab") as file:
            file.write(text)

    def _shorten(self) -> None:
        log = self.guest.root / HISTORY[1:] / "log"
        if log.exists():
            os.truncate(log, log.stat().st_size // 2)

    def _take(self) -> None:
        checkpoint = actions.prepare(
            project=self.project, guest=self.row, origin=f"machine:{self.row.id}", name=f"m{self.row.vmid}", why="",
            kind=Checkpoint.Kind.AUTOMATIC, parent=self.parent,
        )  # fmt: skip
        out = self.directory / "out"
        last = manifests.last_listed(self.parent)
        since = ["--since", last.digest] if last else []
        told = self.guest.tell("capture", out, "--rest", "--max-total", 4000, *since)
        capturing.note(
            checkpoint, captures.answer(json.dumps(told).encode()), read=out.read_bytes, fetch=self._fetch
        )
        checkpoint.refresh_from_db()
        if checkpoint.shares is None:
            shutil.copytree(self.guest.root, self.directory / str(checkpoint.id), symlinks=True)
        checkpoint.move(State.CAPTURED)
        self.parent = checkpoint
        self.taken.append(checkpoint)

    def _fetch(self, wanted: list[str]) -> bytes:
        out = self.directory / "more"
        self.guest.tell("contents", out, *wanted)
        return out.read_bytes()

    def _return(self, number: int) -> None:
        if self.taken:
            self.parent = self.taken[number % len(self.taken)]
            self.put_back(self.parent, self.guest.root)

    def put_back(self, checkpoint: Checkpoint, root: Path) -> None:
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.directory / str(checkpoint.holder.id), root, symlinks=True)
        for path, content, mode in manifests.overlay(checkpoint):
            (root / path[1:]).write_bytes(content)
            (root / path[1:]).chmod(mode)

    def check(self) -> None:
        """Each checkpoint, put back, is what its list says, and what is kept of it is what was in it."""
        for checkpoint in self.taken:
            root = self.directory / "again"
            self.put_back(checkpoint, root)
            assert there(root) == listed(checkpoint)
            assert checkpoint.manifest
            for entry in checkpoint.manifest.entries:
                if entry.get("kept"):
                    real = root / manifests.guest_path(entry)[1:]
                    assert files.content(checkpoint, entry["path"]) == real.read_bytes()


def there(root: Path) -> dict[str, list[Any]]:
    """What is in a directory, in the words of `listed`."""
    found: dict[str, list[Any]] = {}
    for top, prefix in ((root / "workspace", ""), (root / HISTORY[1:], HISTORY + "/")):
        for path in top.rglob("*") if top.exists() else ():
            found[prefix + str(path.relative_to(top))] = told(path)
    return found


def told(path: Path) -> list[Any]:
    if path.is_symlink():
        return ["link", os.readlink(path)]
    mode = path.stat().st_mode & 0o7777
    return ["dir", mode] if path.is_dir() else ["file", mode, files_hash(path)]


def files_hash(path: Path) -> str:
    from hashlib import sha256

    return sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def world(project: Project, genesis: Checkpoint, tmp_path: Path) -> Callable[[], World]:
    def world() -> World:
        row = Row.objects.create(project=project, vmid=10_000 + Row.objects.count(), node="n")
        return World(tmp_path / uuid.uuid4().hex, project, row, genesis)

    return world


@hypothesis.settings(max_examples=12, deadline=None, suppress_health_check=[*hypothesis.HealthCheck])
@hypothesis.given(acts=st.lists(ACTS, min_size=6, max_size=16))
def test_manifests_are_what_is_there_whatever_happens(
    world: Callable[[], World], acts: list[tuple[Any, ...]]
) -> None:
    made = world()
    for what, *how in acts:
        made.act(what, *how)
    made.check()


def test_a_line_of_talk_and_work_and_returns(world: Callable[[], World]) -> None:
    """One such sequence that has all of it."""
    made = world()
    for what, *how in (
        ("write", "a", b"one"), ("say", b"hello"), ("take",), ("say", b"x" * 3000), ("take",), ("take",),
        ("write", "a", bytes(range(256)) * 5000), ("take",), ("return", 1), ("take",), ("say", b"more"), ("take",),
        ("shorten",), ("take",), ("return", 3), ("move", "a", "dir/c"), ("take",),
    ):  # fmt: skip
        made.act(what, *how)
    made.check()
    shared = [one.shares is not None for one in made.taken]
    assert shared == [False, True, True, False, False, True, True, False]
