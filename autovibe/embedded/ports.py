"""TCP ports on the loopback interface: which are taken, by whom, and which to take instead."""

import contextlib
import socket

import psutil

HOST = "127.0.0.1"
_NEIGHBOURS = 50


class PortTaken(Exception):
    """The port that was asked for is taken; the message says by whom and what to do."""


def choose(wanted: int | None, preferred: int, *, variable: str, avoid: frozenset[int] = frozenset()) -> int:
    """`wanted` if somebody insists on it, else the first free port from `preferred` upwards.

    `variable` is the environment variable that chooses it, for the sentence. Raises PortTaken.
    """
    if wanted is not None:
        if taken(wanted):
            free = choose(None, wanted + 1, variable=variable)
            raise PortTaken(f"Port {wanted} is taken{_by(wanted)}. Try: {variable}={free} bin/dev")
        return wanted
    for port in range(preferred, preferred + _NEIGHBOURS):
        if port not in avoid and not taken(port):
            return port
    last = preferred + _NEIGHBOURS - 1
    raise PortTaken(f"Ports {preferred} to {last} are all taken. Choose another: {variable}=… bin/dev")


def taken(port: int) -> bool:
    """Whether somebody answers at the port, or it cannot be bound."""
    with socket.socket() as caller:
        caller.settimeout(0.5)
        if caller.connect_ex((HOST, port)) == 0:
            return True
    with socket.socket() as binder:
        binder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            binder.bind((HOST, port))
        except OSError:
            return True
    return False


def _by(port: int) -> str:
    """` by name (pid n)`, where the system lets us know."""
    with contextlib.suppress(psutil.Error):
        for known in psutil.net_connections("tcp"):
            if known.status == psutil.CONN_LISTEN and known.laddr.port == port and known.pid:
                return f" by {psutil.Process(known.pid).name()} (pid {known.pid})"
    return ""
