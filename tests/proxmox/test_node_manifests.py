"""Manifests by themselves: whatever is listed comes back, and a change costs what changed."""

import json
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from proxmox.node.errors import Damaged
from proxmox.node.manifests import FEW, MANY, Manifests, cut
from proxmox.node.store import Store
from proxmox.node.trees import FILE, Entry


def entry(path: str, content: str = "0" * 64) -> Entry:
    return Entry(path, FILE, 0o644, 1000, 1000, 20, 1_700_000_000_000_000_000, content)


def tree(files: int) -> list[Entry]:
    """A hundred files in each directory, sorted by path."""
    return sorted(entry(f"src/{number // 100:03}/file{number:05}.txt") for number in range(files))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "objects", fsync=False)


def keep(store: Store, entries: list[Entry]) -> str:
    with store.session() as held:
        return Manifests(store).keep(entries, held)


class TestParts:
    @given(st.lists(st.text(), unique=True))
    def test_a_list_is_cut_into_parts_that_together_are_the_list(self, names: list[str]) -> None:
        parts = list(cut(names, lambda name: name))
        assert [name for part in parts for name in part] == names
        assert all(FEW <= len(part) <= MANY for part in parts[:-1])
        assert parts

    def test_a_manifest_comes_back_whatever_its_length(self, store: Store) -> None:
        for files in (0, 1, 7, 8, 100, 5000):
            assert Manifests(store).load(keep(store, tree(files))) == tree(files)

    def test_names_need_not_be_text(self, store: Store) -> None:
        odd = sorted(entry(name) for name in ("\udcff\udcfe", "\u00fcmlaut", "plain"))
        assert Manifests(store).load(keep(store, odd)) == odd


class TestCost:
    @pytest.fixture
    def listed(self, store: Store) -> list[Entry]:
        keep(store, tree(10_000))
        return tree(10_000)

    def added(self, store: Store, entries: list[Entry]) -> int:
        """How many parts a further manifest adds."""
        before = set(store.digests())
        keep(store, entries)
        return len(set(store.digests()) - before)

    def test_nothing_changed_costs_nothing(self, store: Store, listed: list[Entry]) -> None:
        assert self.added(store, listed) == 0

    def test_ten_changes_cost_the_parts_around_them(self, store: Store, listed: list[Entry]) -> None:
        whole = len(set(store.digests()))
        changed = [row._replace(content="1" * 64) if n % 1000 == 7 else row for n, row in enumerate(listed)]
        assert whole > 300
        assert self.added(store, changed) <= 10 * 3

    def test_a_file_at_the_front_shifts_no_border_behind_it(self, store: Store, listed: list[Entry]) -> None:
        assert self.added(store, [entry("a new one"), *listed]) <= 5

    def test_a_directory_less_costs_its_borders(self, store: Store, listed: list[Entry]) -> None:
        assert self.added(store, [row for row in listed if not row.path.startswith("src/050/")]) <= 5


class TestEarlierVersions:
    def test_a_manifest_in_one_piece_is_read(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "s1").write_bytes(zstandard.compress(json.dumps(tree(50)).encode(), 1))
        assert Manifests(store).at(tmp_path / "s1") == tree(50)
        used: set[str] = set()
        Manifests(store).mark(tmp_path / "s1", used, set())
        assert used == {"0" * 64}

    def test_one_that_is_cut_off_is_refused(self, store: Store, tmp_path: Path) -> None:
        whole = zstandard.compress(json.dumps(tree(50)).encode(), 1)
        (tmp_path / "s1").write_bytes(whole[:-7])
        with pytest.raises(Damaged, match="manifest 's1' is damaged"):
            Manifests(store).at(tmp_path / "s1")
