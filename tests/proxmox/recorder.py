"""Every request of the driver, taken down as it leaves and checked against the schemas of Proxmox VE 8.4 and 9.2.

The seam is proxmoxer's own session: what passes there is what goes over the wire.
"""

import email
import email.policy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from proxmoxer.backends.https import ProxmoxHttpSession

from tests.proxmox.schema import validator

ROOT = "/api2/json"


@contextmanager
def recording() -> Iterator[set[str]]:
    """The endpoints that were called while the context lasted. A request that Proxmox would not take is an error."""
    called: set[str] = set()
    send = ProxmoxHttpSession.send

    def checked(
        session: requests.Session, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        method, path, parameters = read(request)
        wrong = list(validator.complaints(method, path, parameters))
        assert not wrong, "\n".join(wrong)
        called.add(validator.find(method, path)[0])
        return send(session, request, **options)

    with patch.object(ProxmoxHttpSession, "send", checked):
        yield called


@pytest.fixture
def checked() -> Iterator[None]:
    """What the driver sends during the test is what Proxmox takes."""
    with recording():
        yield


def read(request: requests.PreparedRequest) -> tuple[str, str, dict[str, list[str]]]:
    """Method, path below the API's root, and parameters."""
    parts = urlsplit(str(request.url))
    parameters = form(parts.query) if parts.query else {}
    body = request.body or b""
    raw = body.encode() if isinstance(body, str) else bytes(body)
    kind = str(request.headers.get("Content-Type", ""))
    if kind.startswith("multipart/"):
        parameters |= _multipart(kind, raw)
    elif raw:
        parameters |= form(raw.decode())
    return str(request.method), parts.path.removeprefix(ROOT), parameters


def form(text: str) -> dict[str, list[str]]:
    """The parameters in a query or a body."""
    return parse_qs(text, keep_blank_values=True, strict_parsing=True)


def _multipart(kind: str, raw: bytes) -> dict[str, list[str]]:
    """A multipart form; of a file, its name counts."""
    head = f"Content-Type: {kind}\r\n\r\n".encode()
    message = email.message_from_bytes(head + raw, policy=email.policy.HTTP)
    return {
        str(part.get_param("name", header="content-disposition")): [
            part.get_filename() or str(part.get_payload())
        ]
        for part in message.iter_parts()  # type: ignore[attr-defined]
    }
