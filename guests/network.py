"""A guest's network profile at work: set through Proxmox's firewall, and proven by reading that back."""

import ipaddress
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings

from guests.models import Guest
from guests.profiles import UNFILTERED, Destination, Profile, policy, shortfall
from operations.engine import Later, Outcome
from proxmox import errors
from proxmox.connect import driver
from proxmox.driver import Policy

# pve-firewall compiles the rules of every VM, running or not, every 10 s (pve-firewall: Service/pve_firewall.pm).
IN_FORCE_SECONDS = 15
DNS_PORT = 53


def close(guest: Guest, profile: str, *, inherited: str = Profile.OPEN) -> None:
    """Have Proxmox enforce the profile, and prove that it does. `inherited`: that of the guest it is a clone of.

    Raises `Refused` with what is missing, and the command that mends it.
    """
    if profile == Profile.OPEN:
        if inherited != Profile.OPEN:
            driver().protect(guest.vm, UNFILTERED)
        return
    wanted = policy(destinations(profile))
    if _missing(guest, wanted):
        driver().protect(guest.vm, wanted)
        if missing := _missing(guest, wanted):
            raise errors.Refused(f"The network profile “{profile}” cannot be enforced: {missing}")


def await_force(guest: Guest, profile: str) -> Outcome:
    """Wait until the node has surely applied what was set before the guest was started."""
    if profile == Profile.OPEN or driver().embedded():
        return None
    if driver().observe(guest.vm).uptime_seconds >= IN_FORCE_SECONDS:
        return None
    return Later(1, 120, f"VM {guest.vmid} was never seen to run for {IN_FORCE_SECONDS} seconds.")


def destinations(profile: str) -> Iterator[Destination]:
    """What the settings allow a closed profile. Raises `Transient` or `Refused` when the gateway has no address."""
    yield from _gateway()
    yield from (Destination(*allowed) for allowed in settings.NETWORK_ALLOW)
    if profile == Profile.HUB:
        yield from (Destination(*allowed) for allowed in settings.NETWORK_HUB_ALLOW)


def _missing(guest: Guest, wanted: Policy) -> str:
    try:
        found = driver().firewall(guest.vm)
    except errors.Refused as error:
        raise errors.Refused(
            f"Whether the firewall of VM {guest.vmid} is in force cannot be read: {str(error).rstrip('.')}. "
            "The token needs Sys.Audit on / and on the node: "
            "pveum acl modify / --tokens 'USER@REALM!NAME' --roles PVEAuditor"
        ) from None
    missing = shortfall(found, wanted, node=guest.node, vmid=guest.vmid)
    return _as_embedded(missing) if missing and not found.cluster and driver().embedded() else missing


def _as_embedded(missing: str) -> str:
    """The embedded node has no shell, and its switch blocks nothing."""
    what, _, _ = missing.partition("Switch it on")
    address = f"{settings.PROXMOX_URL.split(',')[0]}/api2/json/cluster/firewall/options"
    return (
        f"{what}Switch it on, with the token in the node's directory: "
        f'curl -X PUT -d enable=1 -H "Authorization: PVEAPIToken=$(cat var/node/token)" {address}'
    )


def _gateway() -> Iterator[Destination]:
    """The gateway's addresses. A guest that knows it by name only has to be able to look it up."""
    address = urlsplit(settings.GATEWAY_URL)
    host, port = address.hostname or "", address.port or (443 if address.scheme == "https" else 80)
    found = _resolved(host, port)
    if all(ipaddress.ip_address(one).is_loopback for one in found):
        # What refuses a connection here seems to accept it in a closed guest, which then does not try the other one.
        found, named = [one for one in found if ":" not in one] or found, False
    else:
        named = not _is_address(host)
    yield from (Destination(one, port) for one in found)
    if named:
        for resolver in settings.NETWORK_DNS or [""]:
            yield Destination(resolver, DNS_PORT, "udp")
            yield Destination(resolver, DNS_PORT, "tcp")


def _is_address(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _resolved(host: str, port: int) -> list[str]:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        kind = errors.Transient if error.errno == socket.EAI_AGAIN else errors.Refused
        raise kind(
            f"The gateway's name {host!r} has no address here ({error.strerror}), and a closed network lets nothing "
            "but addresses through. Set AUTOVIBE_GATEWAY_URL to one that has."
        ) from None
    return sorted({str(answer[4][0]) for answer in answers})
