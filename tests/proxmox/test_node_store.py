"""The content store by itself: what is put in comes out, what grows costs its growth, what rots is found."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxmox.node.errors import Damaged
from proxmox.node.store import PIECE, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "objects", fsync=False)


@pytest.fixture
def held(store: Store) -> Iterator[set[str]]:
    with store.session() as held:
        yield held


def read(store: Store, digest: str) -> bytes:
    return b"".join(store.read(digest))


def files(store: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in store.glob("??/*")}


class TestPieces:
    @pytest.mark.parametrize("length", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 5_000_000])
    def test_a_content_comes_back_whatever_its_length(
        self, store: Store, held: set[str], length: int
    ) -> None:
        content = os.urandom(length)
        assert read(store, store.put(content, held)) == content

    def test_what_grows_costs_its_growth(self, store: Store, held: set[str], tmp_path: Path) -> None:
        content = os.urandom(40 * PIECE)
        store.put(content, held)
        before = sum(map(len, files(tmp_path / "objects").values()))
        store.put(content + b"and one more line", held)
        assert before > len(content)
        assert sum(map(len, files(tmp_path / "objects").values())) - before < PIECE / 10

    def test_a_sweep_leaves_the_pieces_of_what_is_used(self, store: Store, tmp_path: Path) -> None:
        kept, lost = os.urandom(2 * PIECE), os.urandom(2 * PIECE)
        with store.session() as held:
            digest, other = store.put(kept, held), store.put(lost, held)
        with store.sweep() as remove:
            used = {digest} | store.pieces({digest})
            assert sum(remove(each) for each in set(store.digests()) if each not in used) == 3
        assert read(store, digest) == kept
        with pytest.raises(Damaged, match=f"stored content {other} is missing"):
            read(store, other)


class TestDamage:
    SHORT = b"precious, precious, precious" * 3
    LONG = SHORT * (2 * PIECE // len(SHORT))

    def test_every_bit_that_flips_is_found(self, store: Store, held: set[str], tmp_path: Path) -> None:
        digest = store.put(self.SHORT, held)
        ((path, whole),) = files(tmp_path / "objects").items()
        for bit in range(len(whole) * 8):
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            with contextlib.suppress(Damaged):
                assert read(store, digest) == self.SHORT  # a bit that means nothing

    def test_every_length_but_the_whole_is_found(self, store: Store, held: set[str], tmp_path: Path) -> None:
        digest = store.put(self.SHORT, held)
        ((path, whole),) = files(tmp_path / "objects").items()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            with pytest.raises(Damaged, match=f"stored content {digest} is damaged"):
                read(store, digest)

    def test_every_byte_of_a_list_of_pieces_counts(
        self, store: Store, held: set[str], tmp_path: Path
    ) -> None:
        digest = store.put(self.LONG, held)
        path = tmp_path / "objects" / digest[:2] / f"{digest[2:]}.list"
        whole = path.read_bytes()
        for place in range(len(whole)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with contextlib.suppress(Damaged):
                assert read(store, digest) == self.LONG  # another kind of white space

    @pytest.mark.parametrize(
        "spoil", [Path.unlink, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"?" * 64)]
    )
    @pytest.mark.parametrize("content", [SHORT, LONG], ids=["short", "long"])
    def test_what_was_found_damaged_counts_as_not_stored_until_it_is_stored_anew(
        self, store: Store, held: set[str], tmp_path: Path, content: bytes, spoil: Callable[[Path], None]
    ) -> None:
        digest = store.put(content, held)
        for path in list(files(tmp_path / "objects")):  # of a long one, the pieces and the list in turn
            spoil(path)
            with pytest.raises(Damaged, match=f"stored content {digest} is"):
                read(store, digest)
            assert digest in Store(tmp_path / "objects", fsync=False).damaged
            store.put(content, held)
            assert read(store, digest) == content
            assert digest not in Store(tmp_path / "objects", fsync=False).damaged

    def test_what_is_put_in_to_be_sure_is_sound_afterwards(
        self, store: Store, held: set[str], tmp_path: Path
    ) -> None:
        digest = store.put(self.LONG, held)
        for path in files(tmp_path / "objects"):
            path.write_bytes(b"?" * 64)
        store.put(self.LONG, held, check=True)
        assert read(store, digest) == self.LONG
