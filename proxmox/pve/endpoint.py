"""One address of the Proxmox VE API, spoken to over proxmoxer, whose habits end here.

proxmoxer waits 5 s, drops the `message` of an error, takes any 2xx for an answer, and logs what it sends.
"""

import json
import logging
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import requests
from proxmoxer import ProxmoxAPI
from proxmoxer.backends.https import JsonSerializer
from requests.adapters import HTTPAdapter

from proxmox import errors

CONNECT_SECONDS = 5
# pveproxy gives a proxied call 30 s and then answers 596 itself (pve-http-server: AnyEvent.pm).
READ_SECONDS = 35
_API = "/api2/json"

for _name in ("proxmoxer.core", "proxmoxer.backends.https"):
    # At INFO and below it logs what is sent, secrets included.
    logging.getLogger(_name).addFilter(lambda record: record.levelno >= logging.WARNING)


class Endpoint:
    """One node's API. Connections are made when they are first needed."""

    def __init__(self, url: str, token: str, *, verify_tls: bool | str, fingerprint: str) -> None:
        self.url = url
        self.verify_tls = verify_tls
        self.fingerprint = fingerprint
        self._token = token

    @cached_property
    def reader(self) -> ProxmoxAPI:
        """For what may be asked again."""
        return self._connect()

    @cached_property
    def writer(self) -> ProxmoxAPI:
        """For what may not: each request has a connection of its own.

        pveproxy closes idle connections after 5 s; a write on a dying one would have an unknown outcome.
        """
        api = self._connect()
        api._store["session"].headers["Connection"] = "close"
        return api

    def _connect(self) -> ProxmoxAPI:
        identity, _, secret = self._token.partition("=")
        user, _, name = identity.partition("!")
        api = ProxmoxAPI(
            urlsplit(self.url).netloc,
            user=user,
            token_name=name,
            token_value=secret,
            verify_ssl=False if self.fingerprint else self.verify_tls,
            timeout=(CONNECT_SECONDS, READ_SECONDS),
        )
        # proxmoxer only speaks https; the embedded node is plain HTTP on the loopback interface.
        api._store["base_url"] = self.url + _API
        api._store["serializer"] = _Serializer()
        session = api._store["session"]
        session.hooks["response"].append(_read_failure)
        if self.fingerprint:
            session.mount("https://", _Pinned(self.fingerprint))
        return api


def endpoints(
    urls: str | Sequence[str], token: str, *, verify_tls: bool | str, fingerprint: str
) -> list[Endpoint]:
    """An endpoint for each URL (a sequence, or separated by commas), with its fingerprint: one for all, or one each.

    Raises `Refused` for what cannot be meant.
    """
    several = [url.strip().rstrip("/") for url in (urls.split(",") if isinstance(urls, str) else urls)]
    pins = [_fingerprint(one) for one in fingerprint.split(",")] if fingerprint else [""]
    if len(pins) not in {1, len(several)}:
        raise errors.Refused(f"PROXMOX_FINGERPRINT has {len(pins)} fingerprints for {len(several)} URLs.")
    pins = pins * len(several) if len(pins) == 1 else pins
    return [
        Endpoint(_url(url), token, verify_tls=verify_tls, fingerprint=pin)
        for url, pin in zip(several, pins, strict=True)
    ]


def _url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise errors.Refused(
            f"PROXMOX_URL has {url!r}, which is no address such as https://pve1.example.org:8006."
        )
    return f"{parts.scheme}://{parts.netloc}"


def _fingerprint(text: str) -> str:
    pin = text.strip().replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", pin):
        raise errors.Refused(
            "PROXMOX_FINGERPRINT is the SHA-256 of the node's certificate, 64 hexadecimal digits: on the node run "
            "openssl x509 -noout -fingerprint -sha256 -in /etc/pve/local/pve-ssl.pem"
        )
    return pin


class _Pinned(HTTPAdapter):
    """Accepts the one certificate, whoever signed it. The check ends the handshake: no request, no token is sent."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, assert_fingerprint=self._fingerprint)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return super().proxy_manager_for(*args, **kwargs, assert_fingerprint=self._fingerprint)


class _Serializer(JsonSerializer):  # type: ignore[misc]
    """Takes nothing for an answer but Proxmox's envelope."""

    def loads(self, response: requests.Response) -> Any:
        try:
            return json.loads(response.content)["data"]
        except (ValueError, KeyError, TypeError):
            raise errors.UnknownOutcome(
                f"{_origin(response)} answered {response.status_code} with something that is not Proxmox's. "
                "Check that PROXMOX_URL is the API of a node."
            ) from None


def _read_failure(response: requests.Response, **_: Any) -> None:
    """Put the whole sentence where proxmoxer reads it: a reason phrase is its first line only."""
    if response.is_redirect:
        raise errors.Refused(
            f"{_origin(response)} redirects to {response.headers['location']}. PROXMOX_URL has to be the API itself."
        )
    if response.status_code >= 400:
        try:
            message = response.json()["message"]
        except (ValueError, KeyError, TypeError):
            return
        response.reason = str(message).strip() or response.reason


def _origin(response: requests.Response) -> str:
    parts = urlsplit(response.url)
    return f"{parts.scheme}://{parts.netloc}"
