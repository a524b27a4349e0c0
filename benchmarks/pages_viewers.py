"""Viewers without a screen: each holds the socket of the fleet and fetches its fragment when that rings.

    python -m benchmarks.pages_viewers URL COOKIE COUNT

Prints "ready" when all are connected; runs until it is ended. Between two fetches of one viewer only one doorbell
counts, as in a page (`hx-sync="this:queue last"`).
"""

import asyncio
import json
import sys

import aiohttp

HEADERS = {"HX-Request": "true"}


async def _view(session: aiohttp.ClientSession, url: str, connected: "asyncio.Queue[None]") -> None:
    rung = asyncio.Event()

    async def fetch() -> None:
        while True:
            await rung.wait()
            rung.clear()
            async with session.get(url, headers=HEADERS) as answer:
                await answer.read()

    async with session.ws_connect(f"{url}/ws/?subject=fleet", origin=url) as socket:
        fetching = asyncio.create_task(fetch())
        connected.put_nowait(None)
        async for message in socket:
            if json.loads(message.data)["type"] == "doorbell":
                rung.set()
        fetching.cancel()


async def _view_all(url: str, cookie: str, count: int) -> None:
    connected: asyncio.Queue[None] = asyncio.Queue()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookies={"sessionid": cookie}) as session:
        viewers = [asyncio.create_task(_view(session, url, connected)) for _ in range(count)]
        for _ in range(count):
            await connected.get()
        print("ready", flush=True)
        await asyncio.gather(*viewers)


if __name__ == "__main__":
    asyncio.run(_view_all(sys.argv[1], sys.argv[2], int(sys.argv[3])))
