"""Requests to Proxmox VE over proxmoxer: time-outs, retries of reads, and failures as `proxmox.errors`.

Times out after the server's own 30 s, so that its 596 arrives first. What the requests mean, the other modules know.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import requests
from proxmoxer import ProxmoxAPI, ResourceException

from proxmox import errors

# pveproxy gives a proxied call 30 s and then answers 596 itself (pve-manager: AnyEvent.pm).
TIMEOUT_SECONDS = 35
READ_ATTEMPTS = 3


class Connection:
    """One connection to a Proxmox VE API. Not thread-safe: each thread makes its own, which costs no request."""

    def __init__(
        self, urls: str | Sequence[str], token: str, *, verify_tls: bool | str = True, fingerprint: str = ""
    ) -> None:
        url = urls if isinstance(urls, str) else urls[0]
        self._reader = _api(url, token, verify_tls)
        # pveproxy closes idle connections after 5 s; a write on a dying one would have an unknown outcome.
        self._writer = _api(url, token, verify_tls)
        self._writer._store["session"].headers["Connection"] = "close"
        self.user = token.partition("=")[0]

    def get(self, path: str, *, attempts: int = READ_ATTEMPTS, **parameters: Any) -> Any:
        for attempt in range(1, attempts + 1):
            try:
                return _call(lambda: self._reader(path).get(**parameters))
            except errors.UnknownOutcome:
                if attempt == attempts:
                    raise
                time.sleep(0.2 * attempt)
        raise AssertionError("unreachable")

    def change(self, method: str, path: str, **parameters: Any) -> Any:
        return _call(lambda: getattr(self._writer(path), method)(**parameters))

    def submit(self, method: str, path: str, **parameters: Any) -> str | None:
        answer = self.change(method, path, **parameters)
        return answer if isinstance(answer, str) and answer.startswith("UPID:") else None


def _call(request: Callable[[], Any]) -> Any:
    try:
        return request()
    except ResourceException as error:
        text = str(error.content or "")
        if isinstance(error.errors, dict) and "errors" not in error.errors:
            text += " " + "; ".join(f"{name}: {reason}" for name, reason in error.errors.items())
        raise errors.classify(text.strip(), error.status_code) from None
    except requests.exceptions.ConnectTimeout as error:
        raise errors.Transient(f"Proxmox cannot be reached: {_reason(error)}") from None
    except requests.exceptions.ConnectionError as error:
        # Refused before anything was sent is safe to repeat; anything later may have been done.
        kind = errors.Transient if "NewConnectionError" in repr(error) else errors.UnknownOutcome
        raise kind(f"Proxmox cannot be reached: {_reason(error)}") from None
    except requests.exceptions.RequestException as error:
        raise errors.UnknownOutcome(f"Proxmox did not answer: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return str(error).rpartition(": ")[2].strip("')\" ") or type(error).__name__


def _api(url: str, token: str, verify_tls: bool | str) -> ProxmoxAPI:
    identity, _, secret = token.partition("=")
    user, _, name = identity.partition("!")
    parts = urlsplit(url)
    api = ProxmoxAPI(
        parts.hostname,
        port=parts.port or (443 if parts.scheme == "https" else 80),
        user=user,
        token_name=name,
        token_value=secret,
        verify_ssl=verify_tls,
        timeout=TIMEOUT_SECONDS,
    )
    # proxmoxer only speaks https; the embedded node is plain HTTP on the loopback interface.
    api._store["base_url"] = f"{parts.scheme}://{parts.netloc}/api2/json"
    return api


class Part:
    """What every part of the driver has: the connection."""

    def __init__(self, http: Connection) -> None:
        self._http = http
