"""Whether Proxmox can be reached and believed, whether it takes the token, and which version it is."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from urllib.parse import urlsplit

from proxmox import errors
from proxmox.diagnosis import tls
from proxmox.diagnosis.case import Case
from proxmox.diagnosis.findings import Finding, Status, missing, ok, warning
from proxmox.pve.endpoint import Endpoint

OLDEST, NEWEST = 8, 9
# pveproxy shows pveproxy-ssl.pem where the operator has put one, else the node's own (pve-manager: pveproxy).
_COMPARE = (
    "openssl x509 -noout -fingerprint -sha256 -in "
    "$(ls /etc/pve/local/pveproxy-ssl.pem /etc/pve/local/pve-ssl.pem 2>/dev/null | head -n 1)"
)


def endpoints(case: Case) -> Iterator[Finding]:
    """Each endpoint by itself: reachable, and how far its certificate is trusted."""
    found = [_endpoint(endpoint) for endpoint in case.endpoints]
    alone = all(finding.status == Status.MISSING for finding in found)
    for finding in found:
        # While another endpoint answers, the driver goes there.
        tolerable = finding.status == Status.MISSING and not alone
        yield replace(finding, status=Status.WARNING) if tolerable else finding


def _endpoint(endpoint: Endpoint) -> Finding:
    url, name = endpoint.url, f"Endpoint {endpoint.url}"
    try:
        if urlsplit(url).scheme == "https":
            return _secured(endpoint, name)
        tls.reach(url)
    except OSError as error:
        return missing(
            name,
            f"It cannot be reached from here: {_reason(error)}.",
            "systemctl status pveproxy",
            f"curl -k {url}/api2/json/version",
        )
    if is_loopback(url):
        return ok(name, "It can be reached, over plain HTTP on this computer.")
    return warning(
        name,
        "It can be reached, over plain HTTP: whoever is in between can read the token.",
        f"PROXMOX_URL={url.replace('http://', 'https://', 1)}",
    )


def _secured(endpoint: Endpoint, name: str) -> Finding:
    shown = tls.certificate_fingerprint(endpoint.url)
    told = f"Its SHA-256 fingerprint is {shown}"
    if endpoint.fingerprint:
        return _pinned(endpoint, name, shown)
    if endpoint.verify_tls is False:
        return warning(name, f"Its certificate is not checked. {told}.", *_pin(shown))
    if why := tls.distrust(endpoint.url, endpoint.verify_tls):
        return missing(
            name,
            f"Its certificate is not trusted: {why}. {told}: compare on the node and pin it, or trust the "
            "cluster's own authority (PROXMOX_VERIFY_TLS is the path of a copy of /etc/pve/pve-root-ca.pem).",
            *_pin(shown),
        )
    return ok(name, "It can be reached, and its certificate is trusted.")


def _pinned(endpoint: Endpoint, name: str, shown: str) -> Finding:
    if tls.same(endpoint.fingerprint, shown):
        return ok(name, "It can be reached, and its certificate is the pinned one.")
    return missing(
        name,
        f"Its certificate is not the pinned one; the one it shows has the SHA-256 fingerprint {shown}. "
        "If it was renewed, compare on the node and pin the new one.",
        *_pin(shown),
    )


def _pin(fingerprint: str) -> tuple[str, str]:
    return _COMPARE, f"PROXMOX_FINGERPRINT={fingerprint}"


def token(case: Case) -> Iterator[Finding]:
    """Whether the token is taken. The request goes through the driver, with fail-over."""
    setup = case.setup
    try:
        case.version  # noqa: B018 - asking is the test
    except errors.Refused as error:
        yield missing(
            "Token",
            f"Proxmox does not take the token {setup.token_id}: {error}",
            f"pveum user token list {setup.user}",
            f"pveum user token add {setup.user} {setup.token_name} --privsep 1",
            f"PROXMOX_TOKEN='{setup.token_id}=…'",
        )
    else:
        yield ok("Token", f"Proxmox takes the token {setup.token_id}.")


def version(case: Case) -> Iterator[Finding]:
    if case.release < OLDEST:
        yield missing(
            "Version",
            f"Proxmox VE {case.version} is too old: autovibe needs {OLDEST} or {NEWEST}.",
            "pve7to8 --full",
        )
    elif case.release > NEWEST:
        yield warning(
            "Version",
            f"Proxmox VE {case.version} is newer than what autovibe was made for ({OLDEST} and {NEWEST}).",
        )
    else:
        what = "autovibe's embedded node" if case.embedded else "Proxmox VE"
        yield ok("Version", f"{what}, version {case.version}.")


def is_loopback(url: str) -> bool:
    """Whether the address means the computer on which it is used."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__).rstrip(".").lower()
