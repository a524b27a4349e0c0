"""The console's WebSocket as we open it: the certificate, the ticket, and what fails in words."""

import dataclasses
import hashlib
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from proxmox import errors, terminal
from proxmox.driver import VM, Clone, Console
from proxmox.pve import PveDriver
from tests.node_process import NodeProcess, start_node

OWNER = "0b7d1c5e-3333-4222-8333-444455556666"
OURS = VM("embedded", 20_001, OWNER)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("127.0.0.1")


@pytest.fixture(scope="module")
def secure(
    certificate: trustme.LeafCert, fingerprint: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NodeProcess]:
    """A node with a certificate, and a VM of ours that runs."""
    state: Path = tmp_path_factory.mktemp("node")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(state / "both.pem"))
    with start_node(state, tls_cert=state / "both.pem") as node:
        driver = PveDriver(node.url, node.token, fingerprint=fingerprint)
        driver.ensure_pool("autovibe")
        clone = Clone(VM("embedded", 9000), "", OURS, "m1", f"ours\n{OWNER}", "autovibe")
        finish(driver, driver.clone(clone))
        driver.configure(OURS, {"tags": "autovibe"})
        finish(driver, driver.start(OURS))
        yield node


def finish(driver: PveDriver, upid: str | None) -> None:
    deadline = time.monotonic() + 20
    while upid and not (result := driver.tasks([upid])[0].result):
        assert time.monotonic() < deadline, f"{upid} did not end"
        time.sleep(0.02)
    assert not upid or result == "OK", result


@pytest.fixture(scope="module")
def fingerprint(certificate: trustme.LeafCert) -> str:
    shown = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
    return hashlib.sha256(shown).hexdigest()


@pytest.fixture
def console(secure: NodeProcess, fingerprint: str) -> Console:
    """A new console, as the driver hands it out."""
    return PveDriver(secure.url, secure.token, fingerprint=fingerprint).console(OURS)


async def works(console: Console) -> bool:
    async with terminal.opened(console) as line:
        await line.type(b"echo it-$((1+1))\r")
        seen = b""
        async for printed in line.output():
            seen += printed
            if b"it-2" in seen:
                return True
    return False


class TestTrust:
    async def test_the_pinned_certificate_is_enough(self, console: Console) -> None:
        assert await works(console)

    async def test_the_authority_may_be_a_file(
        self, console: Console, authority: trustme.CA, tmp_path: Path
    ) -> None:
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

        assert await works(dataclasses.replace(console, fingerprint="", verify_tls=str(tmp_path / "ca.pem")))

    async def test_an_unknown_certificate_is_sent_nothing(self, console: Console) -> None:
        for stranger in (
            dataclasses.replace(console, fingerprint="0" * 64),
            dataclasses.replace(console, fingerprint="", verify_tls=True),
        ):
            with pytest.raises(errors.Refused, match="certificate"):
                await works(stranger)

        assert await works(console), "its ticket is good once, and was not used"


class TestRefusals:
    async def test_a_ticket_that_was_used(self, console: Console) -> None:
        await works(console)

        with pytest.raises(errors.ProxmoxError):
            await works(console)

    async def test_a_greeting_that_is_not_believed(self, console: Console) -> None:
        with pytest.raises(errors.Refused, match="let no API token open one: update the node"):
            await works(dataclasses.replace(console, greeting="somebody@pve:PVEVNC:else\n"))

    async def test_a_ticket_for_something_else(self, console: Console) -> None:
        with pytest.raises(errors.Refused, match="status 401"):
            await works(
                dataclasses.replace(console, url=console.url.replace("vncticket=PVEVNC", "vncticket=PVE"))
            )

    async def test_nobody_there(self, console: Console) -> None:
        nowhere = console.url.replace("127.0.0.1", "127.0.0.2")

        with pytest.raises(errors.Transient, match="cannot be reached"):
            await works(dataclasses.replace(console, url=nowhere))
