"""Guests that are closed: which ports of this computer they may reach, and how they get there.

Closed are those whose firewall says so, and those without a network device, which reach nothing.

Such a guest has a network of its own with nothing in it but loopback. Its first process listens there on what the
rules allow, and hands the listening sockets to the node, which passes each connection on. They stay the guest's, so
that a node that is restarted asks for them again.
"""

import asyncio
import ipaddress
import logging
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from proxmox.node import agent
from proxmox.node.errors import Failure
from proxmox.node.firewall import Policy, Rule
from proxmox.node.sandbox import Sandbox

ANSWER_SECONDS = 20
MOST = 100  # ports that one guest may reach; a message carries 253 sockets
_BYTES = 1 << 16
logger = logging.getLogger(__name__)


class Outlet(NamedTuple):
    """An address of this computer's loopback that a guest may connect to."""

    host: str
    port: int


class Outlets:
    """The way out of every guest that is closed."""

    def __init__(
        self, policy: Callable[[int], Policy], connected: Callable[[int], bool], sandbox: Sandbox
    ) -> None:
        """`connected`: whether a VM has a network device."""
        self._policy = policy
        self._connected = connected
        self._sandbox = sandbox
        self._relay = _Relay()

    def of(self, vmid: int) -> tuple[Outlet, ...] | None:
        """What a guest that is started now may reach; None: it shares this computer's network.

        Raises `Failure` when its firewall cannot be enforced here.
        """
        if not self._connected(vmid):
            self._require(f"VM {vmid} has no network device, and this computer shares its network with it")
            return ()
        outlets = permitted(self._policy(vmid))
        if outlets is not None:
            why = f"the firewall of VM {vmid} is closed, and this computer cannot close it"
            self._require(why, " Use the network profile “open” here.")
        return outlets

    def _require(self, why: str, instead: str = "") -> None:
        if not self._sandbox.closes:
            raise Failure(
                f"start failed: {why}: to close it takes bubblewrap and a network namespace.{instead}"
            )

    def serve(self, vmid: int, run: Path) -> None:
        """Pass on what the guest with that `run` directory sends, from now on; a second time changes nothing."""
        if vmid in self._relay:
            return
        try:
            found = agent.listeners(run, seconds=ANSWER_SECONDS)
        except agent.Silent:
            logger.warning("Guest %d does not hand out its way to the gateway.", vmid)
            return
        self._relay.open(vmid, {Outlet(*address): listener for address, listener in found.items()})

    def close(self, vmid: int) -> None:
        """The guest is off."""
        self._relay.close(vmid)


def permitted(policy: Policy) -> tuple[Outlet, ...] | None:
    """What the policy lets out, as far as it can be offered; None: everything. Raises `Failure` for what cannot."""
    if not policy.enabled:
        return None
    outgoing = [rule for rule in policy.rules if rule.type == "out"]
    if denied := [rule for rule in outgoing if rule.action != "ACCEPT"]:
        raise Failure(f"start failed: the embedded node has no way to {denied[0].action} what a rule names.")
    if policy.policy_out == "ACCEPT":
        return None
    found = sorted({outlet for rule in outgoing for outlet in _offered(rule)})
    if len(found) > MOST:
        raise Failure(f"start failed: the embedded node offers a guest {MOST} ports, not {len(found)}.")
    return tuple(found)


def _offered(rule: Rule) -> Iterator[Outlet]:
    if rule.proto not in {"tcp", "6"} or not rule.dport or rule.source or rule.sport:
        raise _beyond(rule)
    if not rule.dest:  # any, or a set without members
        raise _beyond(rule)
    for address in rule.dest:
        for port in _ports(rule):
            yield Outlet(_loopback(address, rule), port)


def _loopback(text: str, rule: Rule) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise _beyond(rule) from None
    if not network.is_loopback or network.num_addresses != 1:
        raise _beyond(rule)
    return str(network.network_address)


def _ports(rule: Rule) -> Iterator[int]:
    for part in rule.dport.split(","):
        first, _, last = part.partition(":")
        if not first.isdecimal() or not (last or first).isdecimal():
            raise _beyond(rule)
        yield from range(int(first), int(last or first) + 1)


def _beyond(rule: Rule) -> Failure:
    where = ",".join(rule.dest) or "any address"
    what = f"{rule.proto or 'any protocol'} to {where}" + (f" port {rule.dport}" if rule.dport else "")
    return Failure(
        "start failed: the embedded node lets a closed guest reach TCP ports of this computer's loopback "
        f"addresses only, and a firewall rule allows {what}."
    )


class _Relay:
    """One thread that passes bytes between guests and this computer's ports."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="outlets", daemon=True)
        self._servers: dict[int, list[asyncio.Server]] = {}
        self._open: defaultdict[int, set[asyncio.StreamWriter]] = defaultdict(set)

    def __contains__(self, vmid: int) -> bool:
        return vmid in self._servers

    def open(self, vmid: int, listeners: dict[Outlet, socket.socket]) -> None:
        if not self._thread.is_alive():
            self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(vmid, listeners), self._loop).result()

    def close(self, vmid: int) -> None:
        if vmid in self._servers:
            self._loop.call_soon_threadsafe(self._shut, vmid, self._servers.pop(vmid))

    async def _listen(self, vmid: int, listeners: dict[Outlet, socket.socket]) -> None:
        self._servers[vmid] = [
            await asyncio.start_server(partial(self._pass_on, vmid, outlet), sock=listener)
            for outlet, listener in listeners.items()
        ]

    def _shut(self, vmid: int, servers: list[asyncio.Server]) -> None:
        """The guest's sockets keep its network alive: none may stay."""
        for server in servers:
            server.close()
        for writer in self._open.pop(vmid, ()):
            writer.transport.abort()

    async def _pass_on(
        self, vmid: int, outlet: Outlet, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._open[vmid].add(writer)
        try:
            there_reader, there = await asyncio.open_connection(*outlet)
        except OSError:
            self._end(vmid, writer)
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, there))
                both.create_task(_copy(there_reader, writer))
        except* OSError:
            there.transport.abort()
            writer.transport.abort()
        finally:
            there.close()
            self._end(vmid, writer)

    def _end(self, vmid: int, writer: asyncio.StreamWriter) -> None:
        writer.close()
        if vmid in self._open:
            self._open[vmid].discard(writer)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(_BYTES):
        target.write(data)
        await target.drain()
    target.write_eof()
