"""The node's end of the conversation with a guest's agent: one connection and one JSON line each way per request."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SOCKET = "agent.sock"
_LONGEST = 100  # of a socket's path; the kernel takes 107 bytes, macOS 103


class Silent(Exception):
    """Nobody answers there."""


class AgentError(Exception):
    """The agent answered that it will not or cannot."""


def listen(directory: Path) -> socket.socket:
    """A listening socket in `directory`, to be handed to the guest's first process."""
    (directory / SOCKET).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _address(directory) as address:
        listener.bind(address)
    listener.listen(128)
    return listener


def ask(directory: Path, do: str, *, seconds: float, **arguments: Any) -> Any:
    """The agent's answer to one request. Raises `Silent` after `seconds`, `AgentError` when it refuses."""
    try:
        with _address(directory) as address, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(seconds)
            connection.connect(address)
            connection.sendall(json.dumps({"do": do} | arguments).encode() + b"\n")
            with connection.makefile("rb") as lines:
                line = lines.readline()
    except OSError:
        raise Silent from None
    if not line:
        raise Silent
    answer = json.loads(line)
    if "error" in answer:
        raise AgentError(answer["error"])
    return answer["result"]


def listeners(directory: Path, *, seconds: float) -> dict[tuple[str, int], socket.socket]:
    """The sockets that a closed guest listens on, by address: its way out. Raises `Silent` after `seconds`."""
    addresses, descriptors = _given(directory, "listeners", seconds)
    found = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    return {(host, port): listener for (host, port), listener in zip(addresses, found, strict=True)}


def console(directory: Path, *, seconds: float) -> int:
    """Our end of a pseudo-terminal with a new shell at the other. Raises `Silent` after `seconds`."""
    _, descriptors = _given(directory, "console", seconds)
    if not descriptors:
        raise Silent
    return descriptors[0]


def _given(directory: Path, do: str, seconds: float) -> tuple[Any, list[int]]:
    """The answer to a request, and the file descriptors that came with it."""
    try:
        with _address(directory) as address, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(seconds)
            connection.connect(address)
            connection.sendall(json.dumps({"do": do}).encode() + b"\n")
            line, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 253)
    except OSError:
        raise Silent from None
    if not line:
        raise Silent
    return json.loads(line)["result"], descriptors


@contextmanager
def _address(directory: Path) -> Iterator[str]:
    """The socket's path, through a descriptor of its directory where it would be too long for the kernel."""
    path = str(directory / SOCKET)
    if len(os.fsencode(path)) <= _LONGEST:
        yield path
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)
