"""How far an HTTPS endpoint's certificate can be trusted; no token is sent to find out."""

import hashlib
import re
import socket
import ssl
from urllib.parse import urlsplit

import requests

CONNECT_SECONDS = 5


def certificate_fingerprint(url: str) -> str:
    """The SHA-256 fingerprint of the certificate that the endpoint shows, as `AA:BB:…`. Raises `OSError`."""
    lenient = ssl.create_default_context()
    lenient.check_hostname = False
    lenient.verify_mode = ssl.CERT_NONE
    digest = hashlib.sha256(_shake_hands(url, lenient)).hexdigest().upper()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def distrust(url: str, verify: bool | str) -> str:
    """Why the driver would not trust the certificate, given what it is told to verify by; "" when it would.

    Raises `OSError` when the endpoint cannot be reached, or the file of authorities cannot be read.
    """
    try:
        requests.get(url, verify=verify, timeout=CONNECT_SECONDS, stream=True, allow_redirects=False).close()
    except requests.exceptions.SSLError as error:
        found = re.search(r"certificate verify failed: ([^(]+)", str(error))
        return found[1].strip(" .") if found else str(error)
    return ""


def same(one: str, other: str) -> bool:
    """Whether two fingerprints are the same, with or without colons."""
    return _bare(one) == _bare(other)


def _bare(fingerprint: str) -> str:
    return fingerprint.replace(":", "").strip().lower()


def reach(url: str) -> None:
    """Open a connection to the endpoint and close it. Raises `OSError`."""
    socket.create_connection(_address(url), CONNECT_SECONDS).close()


def _shake_hands(url: str, context: ssl.SSLContext) -> bytes:
    host, _ = address = _address(url)
    with (
        socket.create_connection(address, CONNECT_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        return secured.getpeercert(binary_form=True) or b""


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
