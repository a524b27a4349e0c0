"""The web process, `python -m autovibe.server`: uvicorn, for clients that say what they want in time and in few bytes.

uvicorn alone has no limit to either: a head that never ends would fill the memory, and slow ones take every connection.
"""

import argparse
import asyncio
import os
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADERS_MAX = 64 * 1024  # bytes, the address included
SOCKET_MESSAGE_MAX = 1024**2  # what somebody pastes into a console
QUEUE_MAX = 8  # of such messages that were not read yet


class Http(HttpToolsProtocol):
    """Closes a connection whose request line and headers are too long, or not there in time."""

    head_seconds = 20.0

    _unspent = 0  # bytes that were neither of a body nor brought a head to its end
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unspent += len(data)
        super().data_received(data)
        if self._unspent > HEADERS_MAX:
            self.send_400_response("The address and headers of this request are too long.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._unspent = 0
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unspent = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unspent = 0
        super().on_message_complete()

    def _expect_head(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self.head_seconds, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def main() -> None:
    """Serve until told to stop. A model call that is being streamed gets `--grace` seconds to finish."""
    parser = argparse.ArgumentParser(prog="python -m autovibe.server", description="autovibe's web process.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--grace", type=int, default=30, help="seconds for what is under way, at the end")
    asked = parser.parse_args()
    os.environ["AUTOVIBE_PROCESS"] = "web"  # for the settings, which uvicorn has read
    uvicorn.run(
        "autovibe.asgi:application",
        host=asked.host,
        port=asked.port,
        http=Http,
        lifespan="on",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whose are believed: `autovibe.requests`
        ws_max_size=SOCKET_MESSAGE_MAX,
        ws_max_queue=QUEUE_MAX,
        timeout_graceful_shutdown=asked.grace,
    )


if __name__ == "__main__":
    main()
