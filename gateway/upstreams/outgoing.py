"""Which addresses autovibe connects to when somebody gave it a URL. Asked for the very address that is connected to.

A name is looked up once, for its connection: there is no second answer that a name server could give in between.
Public addresses are open, others only where OUTGOING_ALLOW has them; what serves clouds' credentials, if named singly.
"""

import errno
import ipaddress
import socket
from functools import lru_cache
from typing import Any

from django.conf import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Where clouds hand credentials to whoever asks from inside. Some of these addresses look public, or private.
METADATA = frozenset(
    map(
        ipaddress.ip_address,
        (
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fd00:ec2::254",
        ),
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Forbidden(OSError):
    """An address that is not to be connected to; to HTTP clients it is as if it could not be reached."""


def connecting(found: tuple[Any, ...]) -> socket.socket:
    """aiohttp's `socket_factory`: a socket for one result of a look-up (as `getaddrinfo` has them).

    Raises `Forbidden`.
    """
    family, kind, protocol, _, address = found
    require(ipaddress.ip_address(address[0].partition("%")[0]), address[1])
    return socket.socket(family=family, type=kind, proto=protocol)


def require(address: Address, port: int) -> None:
    """Raises `Forbidden`, saying what would allow it."""
    if not is_allowed(address, port):
        sentence = f"{address} is no address that upstreams may have; OUTGOING_ALLOW could name it"
        raise Forbidden(errno.EACCES, sentence)


def is_allowed(address: Address, port: int) -> bool:
    """Whether that address may be connected to, at that port."""
    meant = _meant(address)
    named = [
        network
        for network, only in _allowed(tuple(settings.OUTGOING_ALLOW))
        if only in (0, port) and meant in network
    ]
    if meant in METADATA:
        return any(network.num_addresses == 1 for network in named)
    return bool(named) or (meant.is_global and not meant.is_multicast)


def _meant(address: Address) -> Address:
    """An IPv4 address in the clothes of an IPv6 one leads to the same server: RFC 4291 §2.5.5.2, 3056, 6052."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


@lru_cache(maxsize=4)
def _allowed(destinations: tuple[tuple[str, int], ...]) -> list[tuple[Network, int]]:
    return [(ipaddress.ip_network(network), port) for network, port in destinations]
