"""A copied guest becomes somebody: what is renewed in it, what is scrubbed, and what it says of that."""

import base64
import json
import secrets
import shutil
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.guest.conftest import Guest

MACHINE_ID = "0123456789abcdef" * 2
INHERITED = "avm_" + "i" * 43
OWN = "avm_" + "o" * 43


@pytest.fixture
def copied(guest: Guest) -> Guest:
    """A guest that was another's until now."""
    (guest.root / "etc").mkdir()
    (guest.root / "etc/machine-id").write_text("f" * 32 + "\n")
    (guest.root / "etc/hostname").write_text("m7\n")
    return guest


def become(guest: Guest, of: str = "operation-1", **more: Any) -> dict[str, Any]:
    """Apply a bundle that makes it m12; what it says of each thing."""
    identity = {
        "of": of,
        "hostname": "m12",
        "machine_id": more.pop("machine_id", MACHINE_ID),
        "entropy": base64.b64encode(secrets.token_bytes(64)).decode(),
        "shared_kernel": True,
    }
    now = more.pop("now", time.time())
    bundle = guest.bundle(identity=identity, **{"token": OWN, **more})
    return dict(guest.tell("apply", bundle, "--now", now)["identity"])


def files_of(token: dict[str, Any]) -> int:
    return int(token["proof"].split()[0])


def read(path: Path) -> str:
    return path.read_text().strip()


class TestWhoItIs:
    def test_it_has_a_new_machine_id_and_name_and_says_what_they_were(self, copied):
        told = become(copied)

        assert read(copied.root / "etc/machine-id") == MACHINE_ID
        assert read(copied.root / "etc/hostname") == "m12"
        assert told["machine_id"]["renewed"]
        assert (told["hostname"]["old"], told["hostname"]["new"]) == ("m7", "m12")

    def test_a_machine_id_is_told_by_fingerprint_only(self, copied):
        told = json.dumps(become(copied))

        assert MACHINE_ID not in told
        assert "f" * 32 not in told

    def test_the_copy_that_dbus_keeps_is_renewed_too(self, copied):
        dbus = copied.root / "var/lib/dbus"
        dbus.mkdir(parents=True)
        (dbus / "machine-id").write_text("f" * 32)

        become(copied)

        assert read(dbus / "machine-id") == MACHINE_ID

    def test_told_again_it_stays_who_it_is_and_says_the_same(self, copied):
        first = become(copied)
        again = become(copied, machine_id="a" * 32)

        assert again == first
        assert read(copied.root / "etc/machine-id") == MACHINE_ID

    def test_killed_in_the_middle_it_still_knows_who_it_was(self, copied):
        become(copied)
        record = copied.state / "identity.json"
        noted = json.loads(record.read_text())
        record.write_text(json.dumps({"of": noted["of"], "old": noted["old"]}))

        assert become(copied)["hostname"]["old"] == "m7"

    def test_a_copy_of_the_copy_becomes_somebody_else_again(self, copied):
        become(copied)

        become(copied, of="operation-2", machine_id="a" * 32)

        assert read(copied.root / "etc/machine-id") == "a" * 32

    def test_what_the_guest_refuses_is_said(self, copied):
        (copied.root / "etc/machine-id").unlink()
        (copied.root / "etc/machine-id").mkdir()

        told = become(copied)

        assert not told["machine_id"]["renewed"]
        assert "refused" in told["machine_id"]["why"]
        assert told["hostname"]["renewed"]


class TestHostKeys:
    @pytest.fixture
    def keys(self, copied: Guest) -> Path:
        directory = copied.root / "etc/ssh"
        directory.mkdir()
        key = directory / "ssh_host_ed25519_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        return directory

    def test_the_old_ones_are_gone_and_new_ones_are_there(self, copied, keys):
        before = (keys / "ssh_host_ed25519_key").read_bytes()

        told = become(copied)["host_keys"]

        assert (keys / "ssh_host_ed25519_key").read_bytes() != before
        assert told["renewed"]
        assert not set(told["old"]) & set(told["new"])

    def test_they_are_told_as_ssh_keygen_tells_them(self, copied, keys):
        told = become(copied)["host_keys"]

        shown = subprocess.run(
            ["ssh-keygen", "-l", "-f", keys / "ssh_host_ed25519_key.pub"], capture_output=True, text=True
        )
        assert shown.stdout.split()[1] in told["new"]

    def test_a_guest_without_a_server_gets_none(self, copied):
        told = become(copied)["host_keys"]

        assert told == {"renewed": False, "why": "There is no SSH server in this guest."}


class TestClock:
    def test_a_shared_one_is_never_touched(self, copied):
        told = become(copied, now=time.time() + 3600)["clock"]

        assert told == {"renewed": False, "why": "It is shared with the host."}


class TestRandomness:
    def test_two_copies_go_on_differently(self, copied):
        first, second = (become(copied, of=of)["randomness"] for of in ("one", "two"))

        assert first["renewed"]
        assert first["new"] != second["new"]

    def test_what_systemd_would_seed_with_is_replaced(self, copied):
        seed = copied.root / "var/lib/systemd/random-seed"
        seed.parent.mkdir(parents=True)
        seed.write_bytes(b"the same in every copy")

        become(copied)

        assert len(seed.read_bytes()) == 512
        assert stat.S_IMODE(seed.stat().st_mode) == 0o600


class TestToken:
    @pytest.mark.parametrize(
        "place",
        ["var/lib/autovibe/runs/old/settings.json", "root/.config/agent.json", "workspace/env.txt", "tmp/x"],
    )
    def test_an_inherited_one_is_scrubbed_wherever_it_was_left(self, copied, place):
        file = copied.root / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'{{"token": "{INHERITED}"}}')

        told = become(copied)["token"]

        assert INHERITED not in file.read_text()
        assert set(json.loads(file.read_text())) == {"token"}
        assert (told["scrubbed"], told["complete"]) == (1, True)

    def test_its_own_stays(self, copied):
        become(copied)

        assert OWN in (copied.root / "bundle.json").read_text()

    def test_nothing_else_of_a_file_changes(self, copied):
        notes = copied.workspace / "notes"
        notes.write_bytes(b"\x00before " + INHERITED.encode() + b" after\xff")
        size, mode = notes.stat().st_size, notes.stat().st_mode

        become(copied)

        assert (notes.stat().st_size, notes.stat().st_mode) == (size, mode)
        assert notes.read_bytes().startswith(b"\x00before ")
        assert notes.read_bytes().endswith(b" after\xff")

    def test_a_link_out_of_the_guest_is_not_followed(self, copied, tmp_path):
        outside = tmp_path / "outside"
        outside.write_text(INHERITED)
        (copied.workspace / "link").symlink_to(outside)

        become(copied)

        assert outside.read_text() == INHERITED

    @pytest.mark.skipif(not shutil.which("bwrap"), reason="takes bubblewrap, to mount something")
    def test_no_time_is_spent_on_what_is_mounted_read_only(self, copied):
        tools = copied.root / "root/tools"
        (tools / "lib").mkdir(parents=True)
        for number in range(50):
            (tools / f"lib/{number}").write_text("pass")

        writable = become(copied)["token"]
        copied.prefix = ("bwrap", "--dev-bind", "/", "/", "--ro-bind", str(tools), str(tools))
        mounted = become(copied, of="operation-2")["token"]

        assert files_of(writable) > 50 > files_of(mounted)
        assert mounted["complete"]


def test_the_seed_of_its_randomness_is_not_kept(guest):
    identity = {"of": "one", "hostname": "m12", "machine_id": MACHINE_ID, "shared_kernel": True}
    identity["entropy"] = base64.b64encode(secrets.token_bytes(64)).decode()
    bundle = guest.bundle(identity=identity)
    guest.tell("apply", bundle)
    guest.tell("start", bundle)

    files = [file for file in guest.root.rglob("*") if file.is_file()]
    assert files
    assert not [file for file in files if identity["entropy"] in file.read_text(errors="replace")]
