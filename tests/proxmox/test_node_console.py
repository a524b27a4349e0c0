"""Consoles: an offer with a ticket, the WebSocket that takes it, and a shell in the guest behind it."""

import asyncio
import re
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from proxmox.node.access.tickets import CONSOLE_SECONDS, Tickets
from proxmox.node.terminal import Frames, Garbled, Resized, Typed
from proxmox.node.vnc import REASON, VERSION
from tests.node_process import NodeProcess, start_node
from tests.proxmox.conftest import TEMPLATE, Api
from tests.proxmox.test_node_access import Somebody, made

SECONDS = 10
_VM = 700


@pytest.fixture(scope="module", params=["sandboxed", "plain"])
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    directory = tmp_path_factory.mktemp("node")
    with start_node(directory, sandbox=request.param == "sandboxed", console_seconds=1) as running:
        api = Api(running)
        api.clone(_VM)
        api.start(_VM)
        yield running


@pytest.fixture
def offer(api: Api) -> dict[str, Any]:
    offered: dict[str, Any] = api.post(f"qemu/{_VM}/termproxy", serial="serial0")
    return offered


@asynccontextmanager
async def opened(
    api: Api, offer: dict[str, Any], vmid: int = _VM
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """The WebSocket of an offer."""
    url = f"{api.node.url}/api2/json/nodes/{api.node.name}/qemu/{vmid}/vncwebsocket"
    parameters = {"port": str(offer["port"]), "vncticket": offer["ticket"]}
    headers = {"Authorization": str(api._session.headers["Authorization"])}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, params=parameters, headers=headers, protocols=("binary",)) as socket,
    ):
        yield socket


async def greeted(socket: aiohttp.ClientWebSocketResponse, offer: dict[str, Any]) -> None:
    await socket.send_bytes(f"{offer['user']}:{offer['ticket']}\n".encode())
    assert await socket.receive_bytes(timeout=SECONDS) == b"OK"


async def typed(socket: aiohttp.ClientWebSocketResponse, text: str) -> None:
    data = text.encode()
    await socket.send_bytes(b"0:%d:%b" % (len(data), data))


async def printed(socket: aiohttp.ClientWebSocketResponse, pattern: str) -> str:
    """What is printed, as soon as it matches; else everything until the end."""
    text = ""
    async with asyncio.timeout(SECONDS):
        while not re.search(pattern, text):
            message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                break
            text += message.data.decode()
    return text


class TestAShell:
    async def test_what_is_typed_is_run_in_the_guest(self, api: Api, offer: dict[str, Any]) -> None:
        async with opened(api, offer) as socket:
            assert socket.protocol == "binary"
            await greeted(socket, offer)
            await typed(socket, "echo $((6*7)) > answer; cat answer; echo ${GUEST_ROOT:-nothing}; tty\n")
            assert "/dev/pts" in await printed(socket, r"/dev/pts/\d")
        assert api.read(_VM, "/answer") == "42\n"

    async def test_it_knows_the_size_of_the_window(self, api: Api, offer: dict[str, Any]) -> None:
        async with opened(api, offer) as socket:
            await greeted(socket, offer)
            await socket.send_bytes(b"1:132:43:2")
            await typed(socket, "stty size\n")
            assert "43 132" in await printed(socket, "43 132")

    async def test_control_c_interrupts(self, api: Api, offer: dict[str, Any]) -> None:
        async with opened(api, offer) as socket:
            await greeted(socket, offer)
            await typed(socket, "sh -c 'echo ready; exec sleep 100'\n")
            await printed(socket, r"\rready\r\n|\nready\r\n")
            await typed(socket, "\x03")
            await typed(socket, "echo $((1000+1))\n")
            assert "1001" in await printed(socket, "1001")

    async def test_frames_may_be_cut_anywhere(self, api: Api, offer: dict[str, Any]) -> None:
        async with opened(api, offer) as socket:
            await greeted(socket, offer)
            for piece in (b"0", b":16:echo $((", b"50", b"0+1))\n2"):
                await socket.send_bytes(piece)
            assert "501" in await printed(socket, "501")

    async def test_its_end_is_the_end_of_the_task(self, api: Api, offer: dict[str, Any]) -> None:
        async with opened(api, offer) as socket:
            await greeted(socket, offer)
            assert api.get(f"tasks/{offer['upid']}/status")["status"] == "running"
            await typed(socket, "exit\n")
            await printed(socket, "never printed")
            assert socket.closed
        assert await asyncio.to_thread(api.ended, offer["upid"]) == "OK"

    async def test_closing_the_window_ends_what_runs_in_it(self, api: Api, offer: dict[str, Any]) -> None:
        async with opened(api, offer) as socket:
            await greeted(socket, offer)
            await typed(socket, "echo $((20+2)); exec sleep 4242\n")
            await printed(socket, r"22\r\n")
            await asyncio.to_thread(api.out, _VM, "until pgrep -f 'sleep 424[2]'; do sleep 0.05; done")
        await asyncio.to_thread(api.done, offer["upid"])
        await asyncio.to_thread(api.out, _VM, "while pgrep -f 'sleep 424[2]'; do sleep 0.05; done")

    async def test_a_great_deal_of_output_arrives_whole(self, api: Api, offer: dict[str, Any]) -> None:
        async with opened(api, offer) as socket:
            await greeted(socket, offer)
            await typed(socket, "stty -echo; seq 1 60000; echo done$((7*11))\n")
            text = await printed(socket, "done77")
            numbers = re.findall(r"\b(\d+)\r\n", text)
            assert numbers == [str(number) for number in range(1, 60001)]

    async def test_cancelling_the_task_closes_it(self, api: Api, offer: dict[str, Any]) -> None:
        async with opened(api, offer) as socket:
            await greeted(socket, offer)
            await asyncio.to_thread(api.delete, f"tasks/{offer['upid']}")
            await printed(socket, "never printed")
            assert socket.closed


class TestTickets:
    def refused(self, api: Api, offer: dict[str, Any], vmid: int = _VM) -> tuple[int, str]:
        """What a request is told before it becomes a WebSocket."""
        query = {"port": offer["port"], "vncticket": offer["ticket"]}
        answer = api.call("GET", f"qemu/{vmid}/vncwebsocket", **query)
        return answer.status_code, answer.reason

    def test_one_of_another_port_or_vm_is_invalid(self, api: Api, offer: dict[str, Any]) -> None:
        invalid = (401, "permission denied - invalid PVEVNC ticket")
        other = 5900 + (offer["port"] - 5899) % 100
        assert self.refused(api, offer | {"port": other}) == invalid
        assert self.refused(api, offer | {"ticket": offer["ticket"][:-3] + "AA="}) == invalid
        assert self.refused(api, offer, TEMPLATE) == invalid

    def test_one_that_is_too_old_is_invalid(self, api: Api, offer: dict[str, Any]) -> None:
        before = Tickets(api.node.state / "authkey", lambda: time.time() - CONSOLE_SECONDS - 1)
        old = before.console(offer["user"], f"/vms/{_VM}", offer["port"])
        assert (self.refused(api, offer | {"ticket": old}))[0] == 401

    def test_one_of_somebody_else_is_invalid(self, api: Api, offer: dict[str, Any], other: Somebody) -> None:
        assert (self.refused(other.api, offer))[0] == 401

    async def test_the_greeting_must_carry_it_too(self, api: Api, offer: dict[str, Any]) -> None:
        async with opened(api, offer) as socket:
            await socket.send_bytes(f"root@pam:{offer['ticket']}\n".encode())
            message = await socket.receive(timeout=SECONDS)
            assert message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}

    async def test_an_offer_is_taken_once(self, api: Api, offer: dict[str, Any]) -> None:
        async with opened(api, offer) as socket:
            await greeted(socket, offer)
            gone = f"connect to 'localhost:{offer['port']}' failed: Connection refused"
            assert self.refused(api, offer) == (500, gone)

    def test_an_offer_that_nobody_takes_lapses(self, api: Api, offer: dict[str, Any]) -> None:
        assert "connection timed out" in api.ended(offer["upid"])
        gone = f"connect to 'localhost:{offer['port']}' failed: Connection refused"
        assert self.refused(api, offer) == (500, gone)

    @pytest.fixture(scope="class")
    def other(self, node: NodeProcess) -> Somebody:
        somebody = made(Api(node), 1, privsep=0)
        somebody.granted("/vms", "PVEVMUser")
        return somebody

    def test_it_takes_a_privilege(self, node: NodeProcess) -> None:
        nobody = made(Api(node), 2, privsep=0)
        nobody.granted("/vms", "PVEAuditor")
        missing = f"Permission check failed (/vms/{_VM}, VM.Console)"
        assert nobody.reason("POST", f"qemu/{_VM}/termproxy") == missing
        assert nobody.reason("POST", f"qemu/{_VM}/vncproxy") == missing


class TestWithoutAShell:
    async def said(self, api: Api, vmid: int, **parameters: Any) -> str:
        offer = await asyncio.to_thread(api.post, f"qemu/{vmid}/termproxy", **parameters)
        async with opened(api, offer, vmid) as socket:
            await greeted(socket, offer)
            return await printed(socket, "never printed")

    async def test_a_vm_that_is_off_says_so(self, api: Api) -> None:
        assert await self.said(api, TEMPLATE) == f"VM {TEMPLATE} not running\r\n"

    async def test_a_vm_needs_the_serial_line_that_is_asked_for(self, api: Api) -> None:
        assert (
            await self.said(api, _VM, serial="serial3") == "serial interface 'serial3' is not configured\r\n"
        )

    async def test_vnc_says_why_there_is_none(self, api: Api) -> None:
        offer = api.post(f"qemu/{_VM}/vncproxy", websocket=1)
        assert offer["ticket"].startswith(offer["password"] + ":PVEVNC:")
        async with opened(api, offer) as socket:
            assert await socket.receive_bytes(timeout=SECONDS) == VERSION
            await socket.send_bytes(VERSION)
            answer = await socket.receive_bytes(timeout=SECONDS)
            assert answer == b"\0" + struct.pack(">I", len(REASON)) + REASON

    def test_an_ordinary_request_is_no_websocket(self, api: Api, offer: dict[str, Any]) -> None:
        query = {"port": offer["port"], "vncticket": offer["ticket"]}
        assert api.call("GET", f"qemu/{_VM}/vncwebsocket", **query).status_code == 500


class TestFrames:
    @pytest.mark.parametrize(
        ("stream", "frames"),
        [
            (b"0:2:hi", [Typed(b"hi")]),
            (b"20:2:202", [Typed(b"20")]),
            (b"1:80:24:0:1:x1:1:1:", [Resized(80, 24), Typed(b"x"), Resized(1, 1)]),
            (b"0:0:", [Typed(b"")]),
            (b"0:4:\xe2\x82", []),
        ],
    )
    def test_they_are_found_however_the_stream_is_cut(self, stream: bytes, frames: list[Any]) -> None:
        whole = Frames()
        assert list(whole.feed(stream)) == frames
        cut = Frames()
        assert [frame for byte in stream for frame in cut.feed(bytes([byte]))] == frames

    @pytest.mark.parametrize("stream", [b"3", b"0:x:", b"hello", b"1:80:24x"])
    def test_anything_else_is_garbled(self, stream: bytes) -> None:
        with pytest.raises(Garbled):
            list(Frames().feed(stream))
