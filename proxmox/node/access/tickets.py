"""Tickets: of a log-in for the browser's cookie, against forged requests, and of one console.

`PVE:user:TIME::SIGNATURE` and `PVEVNC:TIME::SIGNATURE` as Proxmox writes them, but signed with a key of the node's
state directory by HMAC instead of RSA: only the node itself verifies them.
"""

import base64
import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path

LIFETIME_SECONDS = 2 * 3600
CONSOLE_SECONDS = 40
_GRACE_SECONDS = 300  # how far another computer's clock may be ahead


class Tickets:
    """Makes and verifies tickets."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._key = _key(path)
        self._clock = clock

    def ticket(self, userid: str) -> str:
        """What a log-in gives; good for two hours."""
        return self._signed(f"PVE:{userid}")

    def user(self, ticket: str) -> str:
        """Whose ticket it is; empty when it is none, or no longer."""
        match = re.fullmatch(r"(PVE:([^\s:!]+)):[0-9A-F]{8}::\S+", ticket)
        return match[2] if match and self._valid(ticket, match[1], LIFETIME_SECONDS) else ""

    def csrf_token(self, userid: str) -> str:
        """What requests that change something carry beside the cookie."""
        now = f"{int(self._clock()):08X}"
        return f"{now}:{self._signature(f'CSRF:{now}:{userid}')}"

    def csrf_valid(self, userid: str, token: str) -> bool:
        made, _, signature = token.partition(":")
        right = hmac.compare_digest(signature.encode(), self._signature(f"CSRF:{made}:{userid}").encode())
        return right and self._recent(made, LIFETIME_SECONDS)

    def console(self, userid: str, path: str, port: int) -> str:
        """A ticket for one console: of one user, one VM and one port, for 40 seconds."""
        return self._signed("PVEVNC", f"{userid}:{path}:{port}")

    def console_valid(self, ticket: str, userid: str, path: str, port: int) -> bool:
        return self._valid(ticket, "PVEVNC", CONSOLE_SECONDS, f"{userid}:{path}:{port}")

    def _signed(self, subject: str, secret: str = "") -> str:
        plain = f"{subject}:{int(self._clock()):08X}"
        return f"{plain}::{self._signature(f'{plain}:{secret}')}"

    def _valid(self, ticket: str, subject: str, seconds: int, secret: str = "") -> bool:
        plain, _, signature = ticket.partition("::")
        right = hmac.compare_digest(signature.encode(), self._signature(f"{plain}:{secret}").encode())
        before, _, made = plain.rpartition(":")
        return right and before == subject and self._recent(made, seconds)

    def _recent(self, made: str, seconds: int) -> bool:
        age = self._clock() - int(made, 16)
        return -_GRACE_SECONDS <= age <= seconds

    def _signature(self, text: str) -> str:
        return base64.b64encode(hmac.digest(self._key, text.encode(), hashlib.sha256)).decode()


def _key(path: Path) -> bytes:
    """The key, made at first start; nobody but its owner may read it."""
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
    return path.read_bytes()
