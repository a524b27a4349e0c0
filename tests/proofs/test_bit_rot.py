"""Bits that flip: in the node's storage, in a disk that nobody checks, in our own rows. All of them are found."""

import copy
import hashlib
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checkpoints.contents import pieces
from checkpoints.contents.integrity import Books
from checkpoints.models import Blob, Checkpoint, ManifestPart
from checkpoints.states import Depth, State, Verdict
from checkpoints.trust import proofs
from guests.models import Guest
from machines import actions
from tests.node_process import NodeProcess
from tests.proofs.conftest import carry_to, cleared, fresh, run

# One of each kind: text, executable, large, what git keeps (which we have no copy of), a name that is not ASCII, and
# the conversation.
FILES = [
    "workspace/src/main.py",
    "workspace/src/deep/random.bin",
    "workspace/.git/objects/abc",
    "workspace/docs/with space ä.md",
    "var/lib/talker/log.jsonl",
]


def flip(path: Path) -> None:
    """One bit of the middle, and no trace of it in the file's times."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    path.chmod(before.st_mode & 0o7777)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def stored(node: NodeProcess, content: bytes) -> Path:
    """Where the node keeps a content."""
    digest = hashlib.sha256(content).hexdigest()
    return next(one for one in node.state.glob(f"**/{digest[:2]}/{digest[2:]}") if one.is_file())


class TestDisk:
    """What a storage does not notice: the copy is read to its last byte."""

    def test_a_flipped_bit_in_any_kind_of_file_is_found(self, spawned, taken, alice, carry, node):
        checkpoint = taken(spawned())
        found = {}
        for path in FILES:
            verification = actions.verify(fresh(checkpoint), Depth.CONTENT, by=alice)
            operation = carry_to(verification, "start")
            scratch = Guest.objects.get(pk=verification.scratch_id)
            flip(node.state / "guests" / str(scratch.vmid) / "disk" / path)
            carry(operation)
            verification.refresh_from_db()
            found[path] = (verification.verdict, verification.sentence)
            assert fresh(checkpoint).state == State.BROKEN
            Checkpoint.objects.filter(pk=checkpoint.pk).update(state=State.CAPTURED)

        cleared(carry)
        assert [verdict for verdict, _ in found.values()] == [Verdict.FAILED] * len(FILES)
        for path, (_, sentence) in found.items():
            name = path.removeprefix("workspace/") if path.startswith("workspace/") else f"/{path}"
            assert f"{name} has another sha256" in sentence

    def test_files_that_came_went_or_changed_their_mode_are_found(self, spawned, taken, alice, carry, node):
        checkpoint = taken(spawned())
        verification = actions.verify(fresh(checkpoint), Depth.CONTENT, by=alice)
        operation = carry_to(verification, "start")
        workspace = (
            node.state / "guests" / str(Guest.objects.get(pk=verification.scratch_id).vmid) / "disk/workspace"
        )
        (workspace / "empty").unlink()
        (workspace / "stranger").write_text("")
        (workspace / "src/main.py").chmod(0o600)
        for path in (
            workspace,
            workspace / "stranger",
        ):  # by a bit that rots, and not by a program in the guest
            os.utime(path, (0, 0))

        carry(operation)

        verification.refresh_from_db()
        for sentence in ("empty is missing", "stranger was not listed", "src/main.py has another mode"):
            assert sentence in verification.sentence


class TestStore:
    """What a storage does notice: it cannot make the copy, and says why."""

    def test_a_flipped_bit_in_any_kind_of_file_is_found(self, spawned, taken, verified, node):
        machine = spawned()
        verdicts = {}
        for number, path in enumerate(FILES):
            content = f'{{"only here": {number}}}\n'
            run(machine, f"printf '%s\\n' '{content.strip()}' > \"${{GUEST_ROOT:-}}/{path}\"")
            checkpoint = taken(machine)
            flip(stored(node, content.encode()))
            verdicts[path] = verified(checkpoint, "content").verdict
            assert fresh(checkpoint).state == State.BROKEN
            run(machine, f'rm "${{GUEST_ROOT:-}}/{path}"')

        assert set(verdicts.values()) == {Verdict.FAILED}, verdicts


class TestRows:
    @pytest.fixture
    def checkpoint(self, spawned, taken) -> Checkpoint:
        return taken(spawned())

    def test_each_damaged_part_of_the_list_is_found(self, checkpoint):
        assert proofs.fault_in_rows(fresh(checkpoint), Books()) == ""
        for row in ManifestPart.objects.all():
            for at, damaged in _flipped(row):
                found = _with_body(row, damaged, lambda: proofs.fault_in_rows(fresh(checkpoint), Books()))
                assert found or _is_harmless(row, damaged), f"bit flip at {at} of {row!r} was not seen"

    def test_a_damaged_content_is_never_read_and_breaks_nothing_that_has_a_snapshot_of_its_own(
        self, checkpoint, verified
    ):
        rows = list(Blob.objects.all())
        assert len(rows) > 3
        for row in rows:
            for at, damaged in _flipped(row):
                row.body = damaged
                assert pieces.sound(row) in (None, _content_of(row)), (
                    f"bit flip at {at} of {row!r} was not seen"
                )
        Blob.objects.update(body=Blob.holding("", b"rot").body)

        assert verified(checkpoint, "metadata").verdict == Verdict.PASSED
        assert fresh(checkpoint).state == State.CAPTURED

    def test_a_part_that_is_gone_is_found_and_breaks_the_checkpoint(self, checkpoint, verified):
        ManifestPart.objects.first().delete()

        verification = verified(checkpoint, "metadata")

        assert verification.verdict == Verdict.FAILED
        assert "gone from the database" in fresh(checkpoint).error


def _flipped(row: Blob | ManifestPart) -> Iterator[tuple[int, bytes]]:
    """A few places of its body, and the body with a bit flipped there."""
    body = bytes(row.body)
    for at in random.Random(row.pk).sample(range(len(body)), min(len(body), 5)):
        yield at, body[:at] + bytes([body[at] ^ 0x10]) + body[at + 1 :]


def _content_of(row: Blob) -> bytes:
    return Blob.objects.get(pk=row.pk).content


def _with_body(row: ManifestPart, body: bytes, look: Callable[[], str]) -> str:
    before = bytes(row.body)
    ManifestPart.objects.filter(pk=row.pk).update(body=body)
    found = look()
    ManifestPart.objects.filter(pk=row.pk).update(body=before)
    return found


def _is_harmless(row: ManifestPart, damaged: bytes) -> bool:
    """Whether it is read as before: some bits of a compressed frame say nothing of what is in it (RFC 8878)."""
    other = copy.copy(row)
    other.body = damaged
    return bool(row.entries == other.entries)
