"""Receipts on the command line. Verifying asks no server."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.cli.conftest import Cli
from tests.cli.recorded import Recorded

OWN = Ed25519PrivateKey.generate()
KEY = OWN.public_key().public_bytes_raw().hex()


def receipt() -> dict[str, Any]:
    """A small one, made as docs/receipts.md says."""
    told: list[dict[str, Any]] = [
        {"kind": "machine", "machine": "m12", "project": "demo", "complete": True},
        {"kind": "call", "call": 1, "micros": 5, "ledger": [{"id": 1, "micros": 5}]},
        {"kind": "compute", "micros": 0},
        {"kind": "totals", "calls": 1, "micros": 5},
    ]
    entries, previous = [], "0" * 64
    for number, entry in enumerate(told):
        whole = {"entry": number, **entry, "previous": previous}
        text = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        previous = hashlib.sha256(text.encode()).hexdigest()
        entries.append({**whole, "digest": previous})
    signed_at = "2031-05-06T12:00:00Z"
    text = f"autovibe-receipt/1\n{len(entries)}\n{previous}\n{signed_at}\n"
    head = {"count": len(entries), "digest": previous, "signed_at": signed_at}
    head |= {"key": KEY, "signature": OWN.sign(text.encode()).hex()}
    return {"format": "autovibe-receipt/1", "entries": entries, "head": head}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "m12.receipt.json"
    path.write_text(json.dumps(receipt()))
    return path


class TestReceipt:
    def test_it_is_printed_to_be_kept(self, cli: Cli, server: Recorded) -> None:
        server.answer("GET machines/m12/receipt/", receipt())

        done = cli("receipt", "m12", "--so-far")

        assert json.loads(done.stdout)["format"] == "autovibe-receipt/1"
        (asked,) = server.requests("GET machines/m12/receipt/")
        assert asked.query == {"so_far": "1"}


class TestVerify:
    def test_a_good_one_is_told_as_such_without_the_server(
        self, cli: Cli, server: Recorded, file: Path
    ) -> None:
        done = cli("receipt", "verify", str(file), "--key", KEY)

        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("This is the complete receipt of m12 in demo.\n")
        assert not server.asked

    def test_keys_may_be_in_a_file(self, cli: Cli, file: Path, tmp_path: Path) -> None:
        (tmp_path / "keys").write_text(f"{'0' * 64}\n{KEY}\n")

        assert cli("receipt", "verify", str(file), "--key", str(tmp_path / "keys")).returncode == 0

    def test_an_edit_is_named(self, cli: Cli, file: Path) -> None:
        edited = receipt()
        edited["entries"][1]["micros"] = 4
        file.write_text(json.dumps(edited))

        done = cli("receipt", "verify", str(file), "--key", KEY)

        assert done.returncode == 1
        assert "Entry 1 (call 1): it was changed" in done.stdout

    def test_the_key_in_the_receipt_is_not_believed(self, cli: Cli, file: Path) -> None:
        done = cli("receipt", "verify", str(file), "--key", "0" * 64)

        assert (done.returncode, "not a key that was given" in done.stdout) == (1, True)

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "autovibe-receipt/1", "entries": []}'])
    def test_what_is_no_receipt_is_told_so(self, cli: Cli, file: Path, content: str) -> None:
        file.write_text(content)

        done = cli("receipt", "verify", str(file), "--key", KEY)

        assert (done.returncode, done.stderr) == (1, "")

    @pytest.mark.parametrize("missing", [("--key", KEY), ("FILE",)])
    def test_it_wants_a_file_and_a_key(self, cli: Cli, missing: tuple[str, ...]) -> None:
        assert cli("receipt", "verify", *missing).returncode == 2
