"""Viewers without a screen: each holds the socket of the fleet and fetches its fragment when that rings.

    python -m benchmarks.pages_viewers URL < SESSION_KEYS

Each is somebody else; a line of JSON names their sessions. Prints "ready" when all are connected; runs until it is
ended. Between two fetches of one viewer only one doorbell counts, as in a page (`hx-sync="this:queue last"`).
"""

import asyncio
import json
import sys

import aiohttp

# As of a page that looks again.
HEADERS = {"HX-Request": "true", "Priority": "u=6", "Accept-Encoding": "gzip"}


async def _view(session: aiohttp.ClientSession, url: str, key: str, connected: "asyncio.Queue[None]") -> None:
    rung, cookie = asyncio.Event(), {"Cookie": f"sessionid={key}"}

    async def fetch() -> None:
        while True:
            await rung.wait()
            rung.clear()
            async with session.get(url, headers=HEADERS | cookie) as answer:
                await answer.read()

    async with session.ws_connect(f"{url}/ws/?subject=fleet", origin=url, headers=cookie) as socket:
        fetching = asyncio.create_task(fetch())
        connected.put_nowait(None)
        async for message in socket:
            if json.loads(message.data)["type"] == "doorbell":
                rung.set()
        fetching.cancel()


async def _view_all(url: str, keys: list[str]) -> None:
    connected: asyncio.Queue[None] = asyncio.Queue()
    connector = aiohttp.TCPConnector(limit=0)
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, cookie_jar=jar, auto_decompress=False) as session:
        viewers = [asyncio.create_task(_view(session, url, key, connected)) for key in keys]
        for _ in keys:
            await connected.get()
        print("ready", flush=True)
        await asyncio.gather(*viewers)


if __name__ == "__main__":
    asyncio.run(_view_all(sys.argv[1], json.loads(sys.stdin.readline())))
