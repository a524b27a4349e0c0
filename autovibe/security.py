"""What an installation must and should have set: system checks, and what the web process does not start without.

`manage.py check --deploy` runs them beside Django's own. Headers that Django does not know are here as well.
"""

import ipaddress
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.http import HttpRequest, HttpResponse

NOT_SECRET = "not-secret-good-for-checks-only"
TOKEN_LENGTH = 20  # of what is checked without a limit to attempts
# Nothing here needs them, but that wall screens stay on; what agents wrote must not ask for them in our name.
PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer", "autoplay", "browsing-topics", "camera", "display-capture", "geolocation", "gyroscope",
        "magnetometer", "microphone", "midi", "payment", "serial", "usb", "xr-spatial-tracking",
    )
) + ", screen-wake-lock=(self)"  # fmt: skip


class HeadersMiddleware:
    """Puts on every answer what keeps browsers from lending pages more than they need."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        return response


@checks.register(checks.Tags.security, deploy=True)
def check(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """All of them."""
    return [*errors(), *_of_hosts(), *_of_tokens(), *_of_proxmox(), *_of_content()]


def errors() -> list[checks.Error]:
    """What nothing may be served with."""
    if settings.DEBUG or settings.SECRET_KEY != NOT_SECRET:
        return []
    return [
        checks.Error(
            "SECRET_KEY is not set, and the value that stands in for it is known to everybody.",
            hint="Set SECRET_KEY or SECRET_KEY_FILE: long, random, and the same for all processes.",
            id="autovibe.E001",
        )
    ]


def _of_hosts() -> Iterator[checks.Warning]:
    if "*" in settings.ALLOWED_HOSTS:
        yield checks.Warning(
            "ALLOWED_HOSTS has “*”: links in mails and problems would name any host that a stranger claims.",
            hint="Name the hosts that people type.",
            id="autovibe.W001",
        )
    if any(origin.startswith("http://") for origin in settings.CSRF_TRUSTED_ORIGINS) and settings.HTTPS:
        yield checks.Warning(
            "CSRF_TRUSTED_ORIGINS trusts an origin without TLS: whoever is on its network can act as its users.",
            id="autovibe.W002",
        )


def _of_tokens() -> Iterator[checks.Warning]:
    if settings.METRICS_TOKEN and len(settings.METRICS_TOKEN) < TOKEN_LENGTH:
        yield checks.Warning(f"METRICS_TOKEN is shorter than {TOKEN_LENGTH} characters.", id="autovibe.W003")


def _of_proxmox() -> Iterator[checks.Warning]:
    """Its token may destroy every guest of the pool."""
    urls = [urlsplit(url) for url in settings.PROXMOX_URL.split(",")]
    if any(url.scheme == "http" and not _is_here(url.hostname or "") for url in urls):
        yield checks.Warning("PROXMOX_URL sends its token without TLS.", id="autovibe.W004")
    unverified = settings.PROXMOX_VERIFY_TLS == "0" and not settings.PROXMOX_FINGERPRINT
    if unverified and any(url.scheme == "https" for url in urls):
        yield checks.Warning(
            "The certificate of Proxmox VE is not checked: its token goes to whoever answers.",
            hint="Set PROXMOX_FINGERPRINT, or PROXMOX_VERIFY_TLS to the path of its CA.",
            id="autovibe.W005",
        )


def _of_content() -> Iterator[checks.Warning]:
    said = " ".join(str(source) for sources in _directives().values() for source in sources)
    if "unsafe-inline" in said or "unsafe-eval" in said:
        yield checks.Warning("The Content-Security-Policy lets inline code run.", id="autovibe.W006")


def _directives() -> dict[str, Sequence[object]]:
    return dict(settings.CONTENT_SECURITY_POLICY["DIRECTIVES"])


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
