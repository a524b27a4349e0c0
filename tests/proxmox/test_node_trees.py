"""File trees and the content store by themselves: exact, cheap when nothing changed, swept when unused."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxmox.node.errors import Damaged
from proxmox.node.garbage import Garbage
from proxmox.node.manifests import Manifests
from proxmox.node.store import Store
from proxmox.node.trees import FILE, Captured, Entry, Index, Trees

CONTENTS = st.binary(max_size=64)
NAMES = st.sampled_from(["a", "b", "c", "ümlaut", "with space"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
FILES = st.dictionaries(PATHS, st.one_of(CONTENTS, st.sampled_from(["link", "directory"])), max_size=8)


def quiet() -> None:
    """A tick that lets everything go on."""


class Kept:
    """A tree, a store, and what was last seen of the tree."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        self.root.mkdir()
        self.store = Store(directory / "objects", fsync=False)
        self.trees = Trees(self.store)
        self.index: Index = {}

    def capture(self) -> Captured:
        with self.store.session() as held:
            captured = self.trees.capture(self.root, self.index, held, quiet)
        self.index = captured.seen
        return captured

    def restore(self, captured: Captured) -> None:
        self.index = self.trees.restore(self.root, captured.entries, self.index, quiet)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def make(root: Path, files: dict[str, bytes | str]) -> None:
    """Put these onto whatever is there, where they fit."""
    for name, content in files.items():
        path = root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if content == "directory":
                path.mkdir(exist_ok=True)
            elif content == "link":
                path.symlink_to("somewhere")
            elif isinstance(content, bytes):
                path.write_bytes(content)
        except OSError:
            continue  # a file is where a directory would have to be


def look(root: Path) -> list[tuple[str, int, int, bytes]]:
    found = []
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content = (
            os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        )
        found.append((str(path), status.st_mode, status.st_mtime_ns, content))
    return found


class TestRestore:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(before=FILES, after=FILES)
    def test_any_tree_comes_back_exactly(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        before: dict[str, bytes | str],
        after: dict[str, bytes | str],
    ) -> None:
        kept = Kept(tmp_path_factory.mktemp("tree"))
        make(kept.root, before)
        captured, original = kept.capture(), look(kept.root)
        make(kept.root, after)
        kept.restore(captured)
        assert look(kept.root) == original
        assert kept.capture().same_entries

    def test_a_change_within_the_clocks_tick_is_not_missed(self, kept: Kept) -> None:
        file = kept.root / "a"
        file.write_bytes(b"one")
        first = kept.capture()
        status = file.stat()
        file.write_bytes(b"two")
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        second = kept.capture()
        assert first.entries != second.entries

    def test_names_need_not_be_text(self, kept: Kept) -> None:
        name = os.fsdecode(b"\xff\xfe")
        (kept.root / name).write_text("odd")
        captured = kept.capture()
        (kept.root / name).unlink()
        kept.restore(captured)
        assert (kept.root / name).read_text() == "odd"

    def test_holes_stay_holes(self, kept: Kept) -> None:
        with (kept.root / "sparse").open("wb") as file:
            file.truncate(64 << 20)
        captured = kept.capture()
        (kept.root / "sparse").unlink()
        kept.restore(captured)
        status = (kept.root / "sparse").stat()
        assert (status.st_size, status.st_blocks < 1000) == (64 << 20, True)

    def test_a_file_that_changes_while_it_is_read_is_kept_as_some_version(self, kept: Kept) -> None:
        file, done = kept.root / "busy", threading.Event()

        def write() -> None:
            number = 0
            while not done.is_set():
                file.write_bytes(str(number).encode() * 1000)
                number += 1

        file.write_bytes(b"")
        writer = threading.Thread(target=write)
        writer.start()
        captured = [kept.capture() for _ in range(20)]
        done.set()
        writer.join()
        for each in captured:
            kept.restore(each)


class TestCost:
    def test_ten_thousand_unchanged_files_cost_a_stat_each(self, kept: Kept) -> None:
        for number in range(100):
            make(kept.root, {f"d{number}/f{file}": os.urandom(100) for file in range(100)})
        kept.capture()
        os.utime(kept.root, (0, 0))
        time.sleep(0.06)  # the file system's clock has to move on once
        kept.capture()
        times = []
        for _ in range(5):
            began = time.perf_counter()
            assert kept.capture().same_entries
            times.append(time.perf_counter() - began)
        assert min(times) < 0.3


class TestSweep:
    @pytest.fixture
    def sweeper(self, tmp_path: Path, kept: Kept) -> Callable[[], int]:
        (tmp_path / "guests/100").mkdir(parents=True)
        return Garbage(tmp_path / "guests", kept.store, seconds=1000).sweep

    def test_what_a_manifest_names_stays(
        self, tmp_path: Path, kept: Kept, sweeper: Callable[[], int]
    ) -> None:
        make(kept.root, {"a": b"kept", "b": b"lost"})
        captured = kept.capture()
        a_alone = [entry for entry in captured.entries if entry.path == "a"]
        with kept.store.session() as held:
            manifest = Manifests(kept.store).keep(a_alone, held)
        (tmp_path / "guests/100/base").write_text(manifest)
        assert sweeper() == 1
        assert sweeper() == 0
        kept.root.joinpath("b").unlink()
        with pytest.raises(Damaged, match="is missing"):
            kept.restore(captured)
        kept.root.joinpath("a").unlink()
        kept.trees.restore(kept.root, a_alone, kept.index, quiet)
        assert kept.root.joinpath("a").read_bytes() == b"kept"

    def test_what_somebody_has_in_hand_stays(self, kept: Kept, sweeper: Callable[[], int]) -> None:
        with kept.store.session() as held:
            kept.store.put(b"in hand", held)
            assert sweeper() == 0
        assert sweeper() == 1

    def test_a_file_that_is_exactly_a_part_of_a_manifest_hides_none_of_what_that_names(
        self, tmp_path: Path, kept: Kept, sweeper: Callable[[], int]
    ) -> None:
        make(kept.root, {f"f{number}": str(number).encode() for number in range(300)})
        manifests, guests = Manifests(kept.store), tmp_path / "guests/100"
        captured = kept.capture()
        with kept.store.session() as held:
            manifest = manifests.keep(captured.entries, held)
            copy = Entry(
                "copy", FILE, 0o600, 0, 0, 0, 0, manifest
            )  # its content is stored as that manifest is
            (guests / "base").write_text(manifests.keep([copy], held))
        (guests / "known").write_text(manifest)
        sweeper()
        assert manifests.load(manifest) == captured.entries
        kept.trees.restore(tmp_path / "again/root", captured.entries, {}, quiet)

    def test_nothing_is_swept_while_a_manifest_cannot_be_followed(
        self, tmp_path: Path, kept: Kept, sweeper: Callable[[], int]
    ) -> None:
        with kept.store.session() as held:
            digest = kept.store.put(b"who knows", held)
        (tmp_path / "guests/100/base").write_text("0" * 64)
        with pytest.raises(Damaged, match="base: stored content 0000"):
            sweeper()
        assert b"".join(kept.store.read(digest)) == b"who knows"
