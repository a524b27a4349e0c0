"""Bit rot: what is damaged in the store is found by whatever needs it, says so, and spoils nothing else."""

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import zstandard

from proxmox.node.manifests import loaded
from proxmox.node.trees import Entry
from tests.proxmox.conftest import Api

VMIDS = count(300)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


WAYS = pytest.mark.parametrize("spoil", [flip, halve, empty, Path.unlink])


class Rotting:
    """A VM with snapshots `good` and `bad`, and a present that neither of them has; and where `bad` is stored."""

    def __init__(self, api: Api) -> None:
        self.api, self.vmid = api, next(VMIDS)
        self.workspace = api.disk(self.vmid) / "workspace"
        self.directory = api.disk(self.vmid).parent
        api.clone(self.vmid)
        for number in range(200):
            (self.workspace / f"f{number}").write_text(str(number))
        self.take("good")
        self.take("bad")
        (self.workspace / "state").write_text(f"present of {self.vmid}")

    def take(self, name: str) -> None:
        (self.workspace / "state").write_text(f"{name} of {self.vmid}")
        self.api.snapshot(self.vmid, name)

    def stored(self, what: str) -> Path:
        """A file that only the snapshot `bad` needs."""
        named = self.directory / "snapshots/bad"
        if what == "name":
            return named
        top = named.read_text()
        if what == "top":
            return self._object(top)
        if what == "part":
            others = self._rows((self.directory / "snapshots/good").read_text())
            return self._object(next(part for part in self._rows(top) if part not in others))
        return self.content(top)

    def content(self, manifest: str) -> Path:
        """Where the content of the file `state` is stored, as a manifest has it."""
        entries = self._entries(manifest)
        return self._object(next(entry.content for entry in entries if entry.path == "workspace/state"))

    def rolled_back(self, name: str, **more: int) -> str:
        return self.api.ended(self.api.post(f"qemu/{self.vmid}/snapshot/{name}/rollback", **more))

    @property
    def state(self) -> str:
        return (self.workspace / "state").read_text().partition(" ")[0]

    @property
    def config(self) -> dict[str, object]:
        found: dict[str, object] = self.api.get(f"qemu/{self.vmid}/config")
        return found

    def _object(self, digest: str) -> Path:
        return self.api.node.state / "objects" / digest[:2] / digest[2:]

    def _entries(self, digest: str) -> Iterator[Entry]:
        for row in self._rows(digest):
            if isinstance(row, str):
                yield from self._entries(row)
            else:
                yield Entry(*row)

    def _rows(self, digest: str) -> list[Any]:
        return loaded(zstandard.decompress(self._object(digest).read_bytes()))


@pytest.fixture
def rotting(api: Api) -> Rotting:
    return Rotting(api)


class TestSnapshots:
    @WAYS
    @pytest.mark.parametrize("what", ["name", "top", "part", "content"])
    def test_a_damaged_one_is_neither_returned_to_nor_cloned_and_the_others_are(
        self, rotting: Rotting, what: str, spoil: Callable[[Path], None]
    ) -> None:
        api, vmid, clone = rotting.api, rotting.vmid, next(VMIDS)
        api.start(vmid)
        spoil(rotting.stored(what))

        ended = rotting.rolled_back("bad", start=1)
        assert ended.startswith(("stored content ", "manifest 'bad' ", "snapshot data 'bad' "))
        assert "damaged" in ended or "missing" in ended
        assert (rotting.state, rotting.config["parent"], rotting.config.get("lock")) == (
            "present",
            "bad",
            None,
        )
        assert api.get(f"qemu/{vmid}/status/current")["status"] == "stopped"

        refused = api.ended(api.post(f"qemu/{vmid}/clone", newid=clone, snapname="bad", full=1))
        assert refused.startswith("clone failed: ")
        assert clone not in {row["vmid"] for row in api.get("qemu")}
        assert not api.disk(clone).exists()

        assert rotting.rolled_back("good", start=1) == "OK"
        assert rotting.state == "good"

    @WAYS
    def test_a_content_that_its_guest_still_has_is_good_again_with_the_next_snapshot(
        self, rotting: Rotting, spoil: Callable[[Path], None]
    ) -> None:
        rotting.take("last")
        spoil(rotting.content((rotting.directory / "snapshots/last").read_text()))
        assert "stored content" in rotting.api.ended(
            rotting.api.post(f"qemu/{rotting.vmid}/clone", newid=next(VMIDS), snapname="last", full=1)
        )
        rotting.api.snapshot(rotting.vmid, "after")
        assert rotting.rolled_back("last") == "OK"
        assert rotting.state == "last"

    @WAYS
    def test_what_is_known_of_a_disk_may_rot_without_harm(
        self, rotting: Rotting, spoil: Callable[[Path], None]
    ) -> None:
        spoil(rotting.directory / "known")
        rotting.take("later")
        (rotting.workspace / "state").write_text("lost")
        assert rotting.rolled_back("later") == "OK"
        assert rotting.state == "later"


class TestTemplates:
    def test_nothing_is_made_from_a_damaged_one(self, rotting: Rotting) -> None:
        api, template, clone = rotting.api, rotting.vmid, next(VMIDS)
        for name in ("good", "bad"):
            api.done(api.delete(f"qemu/{template}/snapshot/{name}"))
        api.done(api.post(f"qemu/{template}/template"))
        flip(rotting.directory / "base")
        assert "manifest 'base' is damaged" in api.ended(api.post(f"qemu/{template}/clone", newid=clone))
        assert clone not in {row["vmid"] for row in api.get("qemu")}


class TestBackups:
    @pytest.mark.parametrize("compress", ["0", "gzip", "zstd"])
    def test_a_damaged_archive_replaces_nothing(self, rotting: Rotting, compress: str) -> None:
        api, vmid = rotting.api, rotting.vmid
        api.done(api.post("vzdump", vmid=vmid, storage="local", compress=compress))
        (volume,) = (row["volid"] for row in api.get("storage/local/content", content="backup", vmid=vmid))
        archive = api.node.state / "dump" / volume.partition("/")[2]
        whole = archive.read_bytes()
        for place in range(600, len(whole), len(whole) // 7):
            spoiled = bytearray(whole)
            spoiled[place] ^= 0x10
            archive.write_bytes(spoiled)
            ended = api.ended(api.post("qemu", vmid=vmid, archive=volume, force=1))
            if ended == "OK":  # the byte means nothing
                assert rotting.state == "present"
                continue
            assert "damaged" in ended
            assert rotting.state == "present"
            assert "lock" not in rotting.config

    def test_an_archive_makes_good_what_is_damaged_in_the_store(self, rotting: Rotting) -> None:
        api, vmid = rotting.api, rotting.vmid
        assert rotting.rolled_back("bad") == "OK"
        api.done(api.post("vzdump", vmid=vmid, storage="local", compress="zstd"))
        (backup,) = api.get("storage/local/content", content="backup", vmid=vmid)
        flip(rotting.stored("content"))
        api.done(api.post("qemu", vmid=vmid, archive=backup["volid"], force=1))
        assert rotting.state == "bad"

    def test_no_archive_is_written_of_what_is_damaged(self, rotting: Rotting) -> None:
        assert rotting.rolled_back("bad") == "OK"
        flip(rotting.stored("content"))
        api, vmid = rotting.api, rotting.vmid
        assert api.ended(api.post("vzdump", vmid=vmid, storage="local")) == "job errors"
        assert api.get("storage/local/content", content="backup", vmid=vmid) == []
        api.done(api.post("vzdump", vmid=vmid, storage="local"))  # read from the disk anew
