"""A closed loop of model calls from a process of its own: one JSON object in, one out.

`run` starts it from another process. Nothing here measures the server; that is its starter's part.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field

import aiohttp
import uvloop

TIMEOUT_SECONDS = 300.0
_ENDS = (b"message_stop", b"data: [DONE]")


@dataclass(frozen=True)
class Load:
    """`concurrent` clients, each making `calls` calls one after the other; they begin over `stagger_seconds`."""

    url: str
    headers: dict[str, str]
    body: str
    concurrent: int
    calls: int
    stagger_seconds: float = 0.0
    stream: bool = False


@dataclass
class Seen:
    """What clients saw. Times are of the calls that were answered in full, in milliseconds."""

    seconds: float = 0.0
    latency_ms: list[float] = field(default_factory=list)
    first_byte_ms: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)  # a few, to see what went wrong

    @property
    def answered(self) -> int:
        return len(self.latency_ms)


def run(load: Load) -> Seen:
    """Let a child process put the load on, and wait for it."""
    argv = [sys.executable, "-m", "benchmarks.load"]
    done = subprocess.run(argv, input=json.dumps(asdict(load)), stdout=subprocess.PIPE, text=True, check=True)
    return Seen(**json.loads(done.stdout))


class _Clients:
    def __init__(self, load: Load) -> None:
        self._load, self._body = load, load.body.encode()
        self._seen, self._statuses = Seen(), Counter[str]()

    async def run(self) -> Seen:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            began = time.perf_counter()
            await asyncio.gather(*(self._client(session, number) for number in range(self._load.concurrent)))
            self._seen.seconds = time.perf_counter() - began
        self._seen.statuses = dict(self._statuses)
        return self._seen

    async def _client(self, session: aiohttp.ClientSession, number: int) -> None:
        await asyncio.sleep(self._load.stagger_seconds * number / self._load.concurrent)
        for _ in range(self._load.calls):
            try:
                await self._call(session)
            except (aiohttp.ClientError, TimeoutError) as error:
                self._note(type(error).__name__, repr(error))

    async def _call(self, session: aiohttp.ClientSession) -> None:
        began = time.perf_counter()
        async with session.post(self._load.url, data=self._body, headers=self._load.headers) as response:
            first, rest = 0.0, b""
            async for chunk in response.content.iter_any():
                first = first or time.perf_counter()
                rest = (rest + chunk)[-1000:]
        ended = time.perf_counter()
        if response.status == 200 and self._load.stream and not any(end in rest for end in _ENDS):
            self._note("cut off", rest[-200:].decode(errors="replace"))
        elif response.status != 200:
            self._note(str(response.status), rest[-300:].decode(errors="replace"))
        else:
            self._statuses["200"] += 1
            self._seen.latency_ms.append((ended - began) * 1000)
            self._seen.first_byte_ms.append((first - began) * 1000)

    def _note(self, what: str, complaint: str) -> None:
        self._statuses[what] += 1
        if len(self._seen.complaints) < 3:
            self._seen.complaints.append(complaint)


def main() -> None:
    uvloop.install()
    seen = asyncio.run(_Clients(Load(**json.load(sys.stdin))).run())
    json.dump(asdict(seen), sys.stdout)


if __name__ == "__main__":
    main()
