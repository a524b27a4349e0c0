"""Requests to Proxmox VE: which endpoint, how often, and failures as `proxmox.errors`.

How one endpoint is spoken to is in `endpoint`; what the requests mean, the other modules know.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import requests
from proxmoxer import ResourceException

from proxmox import errors
from proxmox.pve.endpoint import Endpoint, endpoints
from proxmox.pve.forbidden import Forbidden, meaning

Answer = TypeVar("Answer")

READ_ATTEMPTS = 3
# What has been waited for so long is a node that hangs; asking it again would only hold up the others.
SLOW_SECONDS = 20
# How long another endpoint is used before the first is tried again.
AWAY_SECONDS = 60
# What requests and urllib3 call a connection that was never made.
_NEVER_MADE = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError")
_CERTIFICATE = ("certificate verify failed", "Fingerprints did not match", "doesn't match")


# Given the path of a write: held while that is under way. It may raise `Transient`.
Gate = Callable[[str], AbstractContextManager[None]]


class Unreachable(errors.Transient):
    """No connection came about: nothing was sent, and another endpoint may be asked."""


class Untrusted(errors.Refused):
    """Its certificate is another than expected: nothing was sent, and another endpoint may be asked."""


class Connection:
    """One connection to a Proxmox VE API. Not thread-safe: each thread makes its own, which costs no request."""

    def __init__(
        self,
        urls: str | Sequence[str],
        token: str,
        *,
        verify_tls: bool | str = True,
        fingerprint: str = "",
        gate: Gate = lambda path: nullcontext(),
    ) -> None:
        self._gate = gate
        self._endpoints = endpoints(urls, token, verify_tls=verify_tls, fingerprint=fingerprint)
        self._at = 0
        self._return_at = 0.0
        self.user = token.partition("=")[0]
        self.authorization = f"PVEAPIToken={token}"

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint that answered last."""
        return self._endpoints[self._at]

    def get(self, path: str, *, attempts: int = READ_ATTEMPTS, **parameters: Any) -> Any:
        """Read; an answer that was lost quickly is asked for again, `attempts` times in all."""
        sent = _plain(parameters)
        began = time.monotonic()
        for attempt in range(1, attempts + 1):
            try:
                return self._ask(path, lambda endpoint: endpoint.reader(path).get(**sent))
            except errors.UnknownOutcome:
                if attempt == attempts or time.monotonic() - began > SLOW_SECONDS:
                    raise
                time.sleep(0.2 * attempt)
        raise AssertionError("unreachable")

    def get_once(self, path: str, **parameters: Any) -> Any:
        """Read what is told once only: never asked for again, on a connection that nobody may have closed."""
        sent = _plain(parameters)
        return self._ask(path, lambda endpoint: endpoint.writer(path).get(**sent))

    def change(self, method: str, path: str, **parameters: Any) -> Any:
        """Write, once. Parameters that are None are not sent. Raises `UnknownOutcome` when the answer is lost."""
        sent = _plain(parameters)
        with self._gate(path):
            return self._ask(path, lambda endpoint: getattr(endpoint.writer(path), method)(**sent))

    def submit(self, method: str, path: str, **parameters: Any) -> str | None:
        """Write what may start a task; its UPID."""
        return self.task_of(self.change(method, path, **parameters))

    @staticmethod
    def task_of(answer: Any) -> str | None:
        """The UPID that a call answered. Many answer one in some versions, or sometimes, and nothing in others."""
        return answer if isinstance(answer, str) and answer.startswith("UPID:") else None

    def _ask(self, path: str, request: Callable[[Endpoint], Answer]) -> Answer:
        try:
            return self._anywhere(request)
        except Forbidden as refusal:
            raise meaning(self.get, path, refusal) from None

    def _anywhere(self, request: Callable[[Endpoint], Answer]) -> Answer:
        """Ask the endpoint that answered last, then the others, for as long as no connection comes about."""
        failures: list[Unreachable | Untrusted] = []
        for index in self._order():
            try:
                return _call(request, self._use(index))
            except (Unreachable, Untrusted) as error:
                failures.append(error)
        # An endpoint that is away may come back; certificates alone are for a person to look at.
        away = any(isinstance(error, Unreachable) for error in failures)
        raise (Unreachable if away else Untrusted)(" ".join(map(str, failures)))

    def _order(self) -> list[int]:
        count = len(self._endpoints)
        first = self._at if time.monotonic() < self._return_at else 0
        return [(first + step) % count for step in range(count)]

    def _use(self, index: int) -> Endpoint:
        if index != self._at:
            self._at, self._return_at = index, time.monotonic() + AWAY_SECONDS
        return self._endpoints[index]


class Part:
    """What every part of the driver has: the connection, and the pool that our VMs are in ("": any)."""

    def __init__(self, http: Connection, pool: str = "") -> None:
        self._http = http
        self._pool = pool


def _plain(parameters: dict[str, Any]) -> dict[str, Any]:
    """Proxmox knows 0 and 1; what Python writes as True it refuses."""
    return {
        name: int(value) if isinstance(value, bool) else value
        for name, value in parameters.items()
        if value is not None
    }


def _call(request: Callable[[Endpoint], Answer], endpoint: Endpoint) -> Answer:
    try:
        return request(endpoint)
    except ResourceException as error:
        raise _refusal(error, endpoint) from None
    except requests.exceptions.SSLError as error:
        raise _untrusted(error, endpoint) from None
    except requests.exceptions.ConnectionError as error:
        # Refused before anything was sent is safe to repeat; anything later may have been done.
        never_made = any(name in repr(error) for name in _NEVER_MADE)
        kind = Unreachable if never_made else errors.UnknownOutcome
        raise kind(f"{endpoint.url} cannot be reached: {_reason(error)}.") from None
    except requests.exceptions.RequestException as error:
        raise errors.UnknownOutcome(f"{endpoint.url} did not answer: {_reason(error)}.") from None


def _refusal(error: ResourceException, endpoint: Endpoint) -> errors.ProxmoxError:
    text = str(error.content or "").strip()
    if error.status_code == 401:
        return errors.Refused(
            f"{endpoint.url} does not accept the API token ({text or 'no reason given'}). Check PROXMOX_TOKEN "
            "(user@realm!name=secret), and that the token is neither deleted nor expired."
        )
    if isinstance(error.errors, dict) and "errors" not in error.errors:
        text += " " + "; ".join(f"{name}: {str(reason).strip()}" for name, reason in error.errors.items())
    return Forbidden(text) if error.status_code == 403 else errors.classify(text, error.status_code)


def _untrusted(error: Exception, endpoint: Endpoint) -> errors.ProxmoxError:
    if any(sign in str(error) for sign in _CERTIFICATE):
        return Untrusted(
            f"{endpoint.url} has another certificate than expected, so nothing was sent. Check PROXMOX_FINGERPRINT "
            f"or PROXMOX_VERIFY_TLS. ({_reason(error)})"
        )
    return errors.UnknownOutcome(f"{endpoint.url} does not speak TLS as expected: {_reason(error)}.")


def _reason(error: Exception) -> str:
    return str(error).rpartition(": ")[2].strip("')\" .") or type(error).__name__
