"""Whose pages may open a socket: a browser sends our cookie with everybody's."""

from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator

from autovibe.asgi import websockets

pytestmark = pytest.mark.django_db(transaction=True)

DOORBELL, CONSOLE = "/ws/", "/ws/machines/m9/console/"


async def answer(
    origin: str | None,
    host: str,
    *,
    path: str = DOORBELL,
    scheme: str = "ws",
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> str:
    """The answer to a handshake; nobody is signed in, which is said after it only."""
    ours = [(b"host", host.encode())] + (
        [(b"origin", origin.encode("latin-1"))] if origin is not None else []
    )
    scope = {
        "type": "websocket",
        "scheme": scheme,
        "path": path,
        "query_string": b"",
        "headers": [*ours, *headers],
    }
    socket = ApplicationCommunicator(websockets, scope)
    await socket.send_input({"type": "websocket.connect"})
    said: str = (await socket.receive_output(timeout=5))["type"]
    await socket.send_input({"type": "websocket.disconnect", "code": 1001})
    await socket.wait(timeout=5)
    return said.removeprefix("websocket.")


class TestOverHttp:
    @pytest.mark.parametrize("path", [DOORBELL, CONSOLE])
    async def test_a_page_of_ours_may(self, path: str) -> None:
        assert await answer("http://127.0.0.1:8210", "127.0.0.1:8210", path=path) == "accept"

    @pytest.mark.parametrize("path", [DOORBELL, CONSOLE])
    @pytest.mark.parametrize(
        "origin",
        [
            pytest.param("http://127.0.0.1:9999", id="another port"),
            pytest.param("http://127.0.0.1", id="the default port"),
            pytest.param("https://127.0.0.1:8210", id="another scheme"),
            pytest.param("http://localhost:8210", id="another name of the host"),
            pytest.param("http://evil.example", id="another site"),
            pytest.param("http://127.0.0.1:8210.evil.example", id="a name that begins like ours"),
            pytest.param("null", id="a sandboxed frame"),
            pytest.param("http://[", id="no URL"),
            pytest.param("\xff", id="no ASCII"),
            pytest.param("", id="empty"),
            pytest.param(None, id="not told"),
        ],
    )
    async def test_no_other_may(self, origin: str | None, path: str) -> None:
        assert await answer(origin, "127.0.0.1:8210", path=path) == "close"

    async def test_where_no_socket_is_the_handshake_is_refused(self) -> None:
        assert await answer("http://127.0.0.1:8210", "127.0.0.1:8210", path="/ws/nope") == "close"

    async def test_the_default_port_need_not_be_told(self) -> None:
        assert await answer("http://localhost", "localhost:80") == "accept"
        assert await answer("http://localhost", "localhost:443") == "close"

    async def test_nor_may_one_whose_name_was_pointed_at_us(self) -> None:
        assert await answer("http://evil.example:8210", "evil.example:8210") == "close"

    async def test_two_origins_are_none(self) -> None:
        twice = ((b"origin", b"http://localhost"),)
        assert await answer("http://localhost", "localhost", headers=twice) == "close"


class TestBehindAProxy:
    """One that ends TLS."""

    FORWARDED = ((b"x-forwarded-proto", b"https"),)

    @pytest.fixture
    def https(self, settings: Any) -> None:
        settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

    @pytest.mark.parametrize("host", ["localhost", "localhost:443"])
    async def test_a_page_of_ours_may(self, https: None, host: str) -> None:
        assert await answer("https://localhost", host, headers=self.FORWARDED) == "accept"

    async def test_one_that_came_without_tls_may_not(self, https: None) -> None:
        assert await answer("http://localhost", "localhost", headers=self.FORWARDED) == "close"

    async def test_the_proxy_is_believed_only_when_there_is_one(self) -> None:
        assert await answer("https://localhost", "localhost", headers=self.FORWARDED) == "close"

    async def test_the_server_may_know_it_by_itself(self) -> None:
        assert await answer("https://localhost", "localhost", scheme="wss") == "accept"
        assert await answer("http://localhost", "localhost", scheme="wss") == "close"


class TestTrustedOrigins:
    """A proxy changes the host that is asked for."""

    @pytest.fixture(autouse=True)
    def trusted(self, settings: Any) -> None:
        settings.CSRF_TRUSTED_ORIGINS = ["https://autovibe.example:8443", "https://*.lab.example"]

    @pytest.mark.parametrize("origin", ["https://autovibe.example:8443", "https://a.lab.example"])
    async def test_they_may(self, origin: str) -> None:
        assert await answer(origin, "127.0.0.1:8000") == "accept"

    @pytest.mark.parametrize(
        "origin",
        [
            "https://autovibe.example",
            "http://autovibe.example:8443",
            "http://a.lab.example",
            "https://xlab.example",
        ],
    )
    async def test_those_that_resemble_them_may_not(self, origin: str) -> None:
        assert await answer(origin, "127.0.0.1:8000") == "close"
