"""A console through the relay: who gets it, that it works, and what is said when it does not."""

import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.test import Client
from guardian.shortcuts import remove_perm

from autovibe.asgi import websockets
from checkpoints.models import Checkpoint
from dashboard import console
from events.models import Event
from guests.models import Guest
from guests.states import State as GuestState
from machines.models import Machine
from projects import actions as projects
from projects.models import Project, User
from projects.roles import Role
from proxmox.driver import VM, Clone
from proxmox.pve import PveDriver
from tests.dashboard import rows
from tests.node_process import NodeProcess, start_node

pytestmark = pytest.mark.django_db(transaction=True)

OWNER = UUID("0b7d1c5e-2222-4222-8333-444455556666")
VMID = 20_001
OURS = VM("embedded", VMID, str(OWNER))
SECONDS = 20


def finish(driver: PveDriver, upid: str | None) -> None:
    deadline = time.monotonic() + SECONDS
    while upid and not (result := driver.tasks([upid])[0].result):
        assert time.monotonic() < deadline, f"{upid} did not end"
        time.sleep(0.02)
    assert not upid or result == "OK", result


def make_vm(node: NodeProcess) -> None:
    """A VM of ours that runs."""
    driver, vm = PveDriver(node.url, node.token), OURS
    driver.ensure_pool("autovibe")
    finish(driver, driver.clone(Clone(VM(node.name, 9000), "", vm, "m1", f"ours\n{OWNER}", "autovibe")))
    driver.configure(vm, {"tags": "autovibe"})
    finish(driver, driver.start(vm))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with start_node(tmp_path_factory.mktemp("node")) as started:
        make_vm(started)
        yield started


@pytest.fixture
def driver(node: NodeProcess) -> PveDriver:
    return PveDriver(node.url, node.token)


@pytest.fixture
def machine(node: NodeProcess, project: Project, genesis: Checkpoint, settings: Any) -> Machine:
    """A machine whose guest is the node's VM."""
    settings.PROXMOX_URL, settings.PROXMOX_TOKEN = node.url, node.token
    guest = Guest.objects.create(
        id=OWNER, project=project, vmid=VMID, node=OURS.node, state=GuestState.PRESENT
    )
    made = rows.machine(project, genesis)
    Machine.objects.filter(pk=made.pk).update(guest=guest)
    made.refresh_from_db()
    return made


@pytest.fixture
def cookies(people: dict[str, User], project: Project) -> dict[str, str]:
    """Everybody's session; Dora may operate the project's machines as well as Alice."""
    dora = User.objects.create_user("dora")
    projects.admit(project, dora, Role.OPERATOR, by=people["alice"])
    found = {"": ""}
    for user in (*people.values(), dora):
        client = Client()
        client.force_login(user)
        found[user.username] = client.session.session_key or ""
    return found


class Page(ApplicationCommunicator):
    """The browser's end of a console."""

    def __init__(self, machine: Machine, session: str, query: str = "", origin: str = "localhost") -> None:
        scope = {
            "type": "websocket",
            "path": f"/ws/machines/{machine.handle}/console/",
            "query_string": query.encode(),
            "headers": [
                (b"host", b"localhost"),
                (b"origin", f"http://{origin}".encode()),
                (b"cookie", f"sessionid={session}".encode()),
            ],
        }
        super().__init__(websockets, scope)

    async def type(self, keys: str | bytes) -> None:
        data = keys if isinstance(keys, bytes) else keys.encode()
        await self.send_input({"type": "websocket.receive", "bytes": data})

    async def tell(self, **message: Any) -> None:
        await self.send_input({"type": "websocket.receive", "text": json.dumps(message)})

    async def printed(self, until: bytes) -> bytes:
        """What the terminal shows, up to `until`; everything is shown at once."""
        seen = b""
        while until not in seen:
            message = await self.receive_output(timeout=SECONDS)
            assert message.get("bytes"), f"{message} came instead of {until!r}, after {seen[-500:]!r}"
            seen += message["bytes"]
            await self.tell(type="shown", bytes=len(message["bytes"]))
        return seen

    async def told(self) -> dict[str, Any]:
        """The next message that is not the terminal's."""
        while True:
            message = await self.receive_output(timeout=SECONDS)
            assert message["type"] == "websocket.send", message
            if message.get("text"):
                found: dict[str, Any] = json.loads(message["text"])
                return found

    async def closes(self) -> int:
        message = await self.receive_output(timeout=SECONDS)
        assert message["type"] == "websocket.close", message
        code: int = message["code"]
        return code


@asynccontextmanager
async def opening(machine: Machine, session: str, query: str = "") -> AsyncIterator[Page]:
    """A page whose socket was accepted."""
    page = Page(machine, session, query)
    await page.send_input({"type": "websocket.connect"})
    assert (await page.receive_output(timeout=SECONDS))["type"] == "websocket.accept"
    yield page
    await page.send_input({"type": "websocket.disconnect", "code": 1001})
    await page.wait(timeout=SECONDS)


@asynccontextmanager
async def opened(machine: Machine, session: str, query: str = "") -> AsyncIterator[Page]:
    """A page whose console is open."""
    async with opening(machine, session, query) as page:
        assert await page.told() == {"type": "open"}
        yield page


@sync_to_async
def history() -> list[tuple[str, str]]:
    return list(Event.objects.filter(kind__startswith="console.").order_by("id").values_list("kind", "actor"))


class TestWhoGetsIt:
    @pytest.mark.parametrize(("who", "code"), [("", 4401), ("charlie", 4404), ("bob", 4403)])
    async def test_not_strangers_outsiders_or_viewers(
        self, who: str, code: int, machine: Machine, cookies: dict[str, str]
    ) -> None:
        async with opening(machine, cookies[who]) as page:
            assert await page.closes() == code

        assert await history() == []

    async def test_not_another_sites_page(self, machine: Machine, cookies: dict[str, str]) -> None:
        page = Page(machine, cookies["alice"], origin="evil.example")
        await page.send_input({"type": "websocket.connect"})

        assert (await page.receive_output(timeout=SECONDS))["type"] == "websocket.close"

    async def test_an_operator_and_it_is_remembered(self, machine: Machine, cookies: dict[str, str]) -> None:
        async with opened(machine, cookies["dora"]):
            assert await history() == [("console.opened", "dora")]

        assert await history() == [("console.opened", "dora"), ("console.closed", "dora")]
        closed = await sync_to_async(Event.objects.get)(kind="console.closed")
        assert closed.subject == machine.subject
        assert closed.data["seconds"] >= 0


class TestWhatIsTyped:
    async def test_it_is_run_in_the_guest(self, machine: Machine, cookies: dict[str, str]) -> None:
        async with opened(machine, cookies["alice"]) as page:
            await page.type("echo hello-$((20+3))\r")

            assert b"hello-23" in await page.printed(until=b"hello-23")

    async def test_letters_of_several_bytes_arrive_whole(
        self, machine: Machine, cookies: dict[str, str]
    ) -> None:
        async with opened(machine, cookies["alice"]) as page:
            await page.type("printf %s 'žluťoučký 🦊' | wc -c\r")

            await page.printed(until=b"18\r\n")

    async def test_a_large_paste_arrives_whole(self, machine: Machine, cookies: dict[str, str]) -> None:
        async with opened(machine, cookies["alice"]) as page:
            await page.type("stty raw -echo; echo rea''dy; head -c 300000 | sha256sum; stty sane\r")
            await page.printed(until=b"ready")
            await page.type(b"0123456789" * 30_000)

            # sha256 of "0123456789" 30,000 times
            await page.printed(until=b"91c304e4daed16d1")

    async def test_the_guest_knows_the_windows_size(self, machine: Machine, cookies: dict[str, str]) -> None:
        async with opened(machine, cookies["alice"]) as page:
            await page.tell(type="size", columns=97, rows=31)
            await page.type("stty size\r")

            await page.printed(until=b"31 97")

    async def test_nonsense_does_no_harm(self, machine: Machine, cookies: dict[str, str]) -> None:
        async with opened(machine, cookies["alice"]) as page:
            for nonsense in ("{", "[]", '{"type": "size"}', '{"type": "size", "columns": -5, "rows": 1e999}'):
                await page.send_input({"type": "websocket.receive", "text": nonsense})
            await page.tell(type="shown", bytes=-1_000_000)
            await page.type("echo still-$((1+1))\r")

            await page.printed(until=b"still-2")

    @pytest.mark.parametrize("depth", [1_000, 200_000])
    async def test_nor_does_what_is_nested_too_deeply(
        self, depth: int, machine: Machine, cookies: dict[str, str]
    ) -> None:
        async with opened(machine, cookies["alice"]) as page:
            await page.send_input({"type": "websocket.receive", "text": "[" * depth})
            await page.type("echo still-$((1+1))\r")

            await page.printed(until=b"still-2")

    async def test_a_long_message_is_not_read(self, machine: Machine, cookies: dict[str, str]) -> None:
        async with opened(machine, cookies["alice"]) as page:
            await page.tell(type="size", columns=97, rows=31)
            await page.tell(type="size", columns=55, rows=31, more="x" * 1024)
            await page.type("stty size\r")

            await page.printed(until=b"31 97")


class TestAPageThatIsSlow:
    async def test_it_is_not_sent_more_than_it_can_show(
        self, machine: Machine, cookies: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(console, "UNREAD_BYTES", 20_000)
        async with opened(machine, cookies["alice"]) as page:
            await page.type("seq 1 300000; echo the-$((1+1))-end\r")
            unread = 0
            while unread <= 20_000:
                unread += len((await page.receive_output(timeout=SECONDS))["bytes"])

            assert await page.receive_nothing(timeout=0.5)
            await page.tell(type="shown", bytes=unread)
            await page.printed(until=b"the-2-end")


class TestOneAtATime:
    async def test_the_second_is_told_who_has_it(self, machine: Machine, cookies: dict[str, str]) -> None:
        async with opened(machine, cookies["alice"]), opening(machine, cookies["dora"]) as second:
            told = await second.told()

            assert told["why"] == "busy"
            assert told["sentence"].startswith("alice has this console in another window, opened ")

    async def test_the_second_may_take_it(self, machine: Machine, cookies: dict[str, str]) -> None:
        async with opened(machine, cookies["alice"]) as first:
            async with opened(machine, cookies["dora"], "take=1") as second:
                told = await first.told()
                await second.type("echo mine-$((1+1))\r")
                await second.printed(until=b"mine-2")

            assert told["why"] == "taken"
            assert told["sentence"] == "dora has taken this console over in another window."
        assert await history() == [
            ("console.opened", "alice"),
            ("console.closed", "alice"),
            ("console.opened", "dora"),
            ("console.closed", "dora"),
        ]

    async def test_it_is_free_again_when_the_socket_breaks(
        self, machine: Machine, cookies: dict[str, str]
    ) -> None:
        broken = Page(machine, cookies["alice"])
        await broken.send_input({"type": "websocket.connect"})
        assert (await broken.receive_output(timeout=SECONDS))["type"] == "websocket.accept"
        assert await broken.told() == {"type": "open"}
        await broken.send_input({"type": "websocket.unheard.of"})
        with pytest.raises(ValueError, match=r"unheard\.of"):
            await broken.wait(timeout=SECONDS)

        async with opened(machine, cookies["dora"]):
            assert await history() == [
                ("console.opened", "alice"),
                ("console.closed", "alice"),
                ("console.opened", "dora"),
            ]


class TestItEnds:
    async def test_when_its_shell_does(self, machine: Machine, cookies: dict[str, str]) -> None:
        async with opened(machine, cookies["alice"]) as page:
            await page.type("exit\r")

            assert (await page.told())["sentence"] == "The session ended. The VM is still on."
            assert await page.closes() == 1000

    async def test_when_the_right_to_it_is_withdrawn(
        self, machine: Machine, project: Project, cookies: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(console, "CHECK_SECONDS", 0.1)
        async with opened(machine, cookies["dora"]) as page:
            dora = await sync_to_async(User.objects.get)(username="dora")
            await sync_to_async(remove_perm)("projects.operate_machines", dora, project)

            assert (await page.told())["why"] == "refused"

    async def test_when_they_sign_out(
        self, machine: Machine, cookies: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(console, "CHECK_SECONDS", 0.1)
        async with opened(machine, cookies["alice"]) as page:
            client = Client(headers={"Cookie": f"sessionid={cookies['alice']}"})
            await sync_to_async(client.post)("/sign-out/")

            assert (await page.told())["why"] == "refused"

    async def test_when_nobody_types(
        self, machine: Machine, cookies: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(console, "IDLE_SECONDS", 0.3)
        async with opened(machine, cookies["alice"]) as page:
            told = await page.told()

            assert told["why"] == "ended"
            assert told["sentence"].startswith("Nothing was typed for ")

    async def test_when_it_was_long_enough(
        self, machine: Machine, cookies: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(console, "LONGEST_SECONDS", 0.3)
        async with opened(machine, cookies["alice"]) as page:
            assert (await page.told())["sentence"].startswith("A console stays open for at most ")

    async def test_when_the_vm_is_switched_off_and_then_there_is_none(
        self, machine: Machine, cookies: dict[str, str], driver: PveDriver
    ) -> None:
        async with opened(machine, cookies["alice"]) as page:
            finish(driver, driver.stop(OURS))

            assert (await page.told())["sentence"] == f"VM {VMID} was switched off."
        async with opening(machine, cookies["alice"]) as page:
            told = await page.told()
        finish(driver, driver.start(OURS))

        assert told["why"] == "off"
        assert told["sentence"].startswith(f"VM {VMID} is switched off, so it has no console. Roll ")

    async def test_when_the_node_is_lost(
        self, machine: Machine, cookies: dict[str, str], tmp_path: Path, settings: Any
    ) -> None:
        with start_node(tmp_path / "node") as doomed:
            settings.PROXMOX_URL = doomed.url
            await sync_to_async(make_vm)(doomed)
            async with opened(machine, cookies["alice"]) as page:
                doomed.kill()
                told = await page.told()

        assert told["why"] == "lost"
        assert told["sentence"].startswith("The connection to Proxmox was lost. ")


class TestTheLine:
    async def test_a_frozen_vm_is_not_asked(
        self, machine: Machine, cookies: dict[str, str], driver: PveDriver
    ) -> None:
        finish(driver, driver.suspend(OURS))
        async with opening(machine, cookies["alice"]) as page:
            told = await page.told()
        finish(driver, driver.resume(OURS))

        assert told["sentence"].startswith(f"VM {VMID} is frozen, so nothing would answer.")

    async def test_a_vm_that_is_not_there_is_no_mystery(
        self, machine: Machine, cookies: dict[str, str]
    ) -> None:
        await Guest.objects.filter(pk=OWNER).aupdate(vmid=VMID + 1)
        async with opening(machine, cookies["alice"]) as page:
            told = await page.told()

        assert told["why"] == "off"
        assert told["sentence"].startswith(f"There is no VM {VMID + 1} now")
