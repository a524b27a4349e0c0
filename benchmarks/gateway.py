"""What a gateway costs: CPU per call, added latency, and by how much a budget is overrun, beside other gateways.

    .venv/bin/python -m benchmarks.gateway [--quick] [--contenders direct,autovibe,litellm,hardcap] [--cache DIR]

All run on this machine at once, before one fake provider; rounds are interleaved and medians shown. CPU time is that
of all the processes a contender needs. Compare ratios between hosts, not figures.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import requests

from benchmarks import gateway_report, load
from benchmarks.contenders import Client, Contender, NotInstalled, Running, contenders
from benchmarks.overshoot import overshoot
from benchmarks.processes import cpu_seconds, free_port, started
from benchmarks.upstream import Pace

CACHE = Path(__file__).resolve().parent.parent / "var" / "benchmarks"
AT_ONCE = Pace()
THINKING = Pace(think_seconds=1.0, token_seconds=0.02)


@dataclass(frozen=True)
class Cell:
    """One load, the same for everybody. A thinking provider leaves the machine room for 200 clients."""

    clients: int
    stream: bool
    pace: Pace
    calls: int  # of each client

    @property
    def name(self) -> str:
        kind = "stream" if self.stream else "unary"
        return f"{kind}, {self.clients} at {'work' if self.pace is AT_ONCE else 'ease'}"


CPU_CELLS = [Cell(50, False, AT_ONCE, 20), Cell(50, True, AT_ONCE, 10)]
ALONE_CELLS = [Cell(1, False, AT_ONCE, 200), Cell(1, True, AT_ONCE, 100)]
CROWD_CELLS = [Cell(50, False, THINKING, 4), Cell(50, True, THINKING, 2),
               Cell(200, False, THINKING, 3), Cell(200, True, THINKING, 2)]  # fmt: skip
QUICK_CELLS = [Cell(50, False, AT_ONCE, 6), Cell(50, True, AT_ONCE, 4), Cell(1, False, AT_ONCE, 40),
               Cell(1, True, AT_ONCE, 20), Cell(50, True, THINKING, 1)]  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A contender, and one of the ways to speak to it."""

    contender: Contender
    running: Running
    way: str

    @property
    def name(self) -> str:
        return f"{self.contender.name} {self.way}"


@dataclass(frozen=True)
class Figures:
    """Of one cell, or the medians of several rounds of it. CPU is in milliseconds per answered call."""

    cpu_ms: dict[str, float]
    p50_ms: float
    p95_ms: float
    first_p50_ms: float
    first_p95_ms: float
    calls_per_second: float
    failed: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--contenders", default="direct,autovibe,litellm,hardcap", help="separated by commas")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where other gateways are installed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompt-bytes", type=int, default=400, help="how long a prompt is")
    parser.add_argument("--quick", action="store_true", help="one short round, in less than two minutes")
    options = parser.parse_args()
    cells = QUICK_CELLS if options.quick else [*CPU_CELLS, *ALONE_CELLS, *CROWD_CELLS]
    rounds = 1 if options.quick else options.rounds
    with _stack(options.cache, options.contenders.split(",")) as (upstream, rows, missing):
        measured = _measure(rows, upstream, cells, rounds, options.prompt_bytes)
        contenders_once = {row.contender.name: (row.contender, row.running) for row in rows}
        overruns = overshoot(list(contenders_once.values()), upstream, quick=options.quick)
    print(gateway_report.tables(measured, overruns, missing))
    print(gateway_report.as_json(measured, overruns, missing, prompt_bytes=options.prompt_bytes))


@contextmanager
def _stack(cache: Path, names: list[str]) -> Iterator[tuple[str, list[Row], dict[str, str]]]:
    """The provider's address, a row for each contender and API, and why others are missing."""
    known, rows, missing = contenders(cache), list[Row](), dict[str, str]()
    with (
        tempfile.TemporaryDirectory(prefix="autovibe-benchmark-") as directory,
        ExitStack() as open_until_the_end,
    ):
        home, port = Path(directory), free_port()
        home.chmod(0o755)  # PostgreSQL may run as somebody else
        upstream = f"http://127.0.0.1:{port}"
        argv = (sys.executable, "-m", "benchmarks.upstream", "--port", str(port))
        open_until_the_end.enter_context(started(argv, home / "upstream.log", answers=f"{upstream}/truth"))
        for name in names:
            contender = known[name]
            try:
                running = open_until_the_end.enter_context(contender.running(home, upstream))
            except NotInstalled as error:
                missing[name] = str(error)
                continue
            rows += [Row(contender, running, way) for way in running.clients]
        yield upstream, rows, missing


def _measure(
    rows: list[Row], upstream: str, cells: list[Cell], rounds: int, prompt_bytes: int
) -> dict[str, dict[str, Figures]]:
    prompt = ("Say hello to the world. " * (prompt_bytes // 24 + 1))[:prompt_bytes]
    for row in rows:
        for stream in (False, True):
            _run(row, Cell(10, stream, AT_ONCE, 2), upstream, prompt)
    found: dict[str, dict[str, list[Figures]]] = {row.name: {} for row in rows}
    for number in range(rounds):
        for cell in cells:
            for row in rows:
                figures = _run(row, cell, upstream, prompt)
                found[row.name].setdefault(cell.name, []).append(figures)
                total = sum(figures.cpu_ms.values())
                print(
                    f"round {number + 1}  {cell.name:24}{row.name:28}{figures.p50_ms:10.1f} ms{total:10.2f} CPU-ms",
                    file=sys.stderr,
                )
    return {row: {cell: _medians(each) for cell, each in of.items()} for row, of in found.items()}


def _run(row: Row, cell: Cell, upstream: str, prompt: str) -> Figures:
    requests.put(f"{upstream}/pace", json=asdict(cell.pace), timeout=10).raise_for_status()
    calls = max(1, round(cell.calls * row.contender.share))
    client: Client = row.running.clients[row.way]
    before = {part: cpu_seconds(pid) for part, pid in row.running.parts.items()}
    seen = load.run(
        load.Load(
            client.url,
            client.headers,
            client.body(prompt, stream=cell.stream, max_tokens=1000),
            cell.clients,
            calls,
            cell.pace.think_seconds,
            cell.stream,
        )
    )
    time.sleep(0.3)  # what is done after the answer belongs to the call
    used = {part: cpu_seconds(pid) - before[part] for part, pid in row.running.parts.items()}
    if not seen.answered:
        raise RuntimeError(f"{row.name} answers no call: {seen.statuses} {seen.complaints}")
    p50, p95 = _quantiles(seen.latency_ms)
    first_p50, first_p95 = _quantiles(seen.first_byte_ms)
    return Figures(
        cpu_ms={part: seconds * 1000 / seen.answered for part, seconds in used.items()},
        p50_ms=p50,
        p95_ms=p95,
        first_p50_ms=first_p50,
        first_p95_ms=first_p95,
        calls_per_second=seen.answered / seen.seconds,
        failed=sum(seen.statuses.values()) - seen.answered,
    )


def _quantiles(values: list[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]


def _medians(rounds: list[Figures]) -> Figures:
    def middle(name: str) -> float:
        return float(statistics.median(getattr(each, name) for each in rounds))

    return Figures(
        cpu_ms={part: statistics.median(each.cpu_ms[part] for each in rounds) for part in rounds[0].cpu_ms},
        p50_ms=middle("p50_ms"),
        p95_ms=middle("p95_ms"),
        first_p50_ms=middle("first_p50_ms"),
        first_p95_ms=middle("first_p95_ms"),
        calls_per_second=middle("calls_per_second"),
        failed=sum(each.failed for each in rounds),
    )


if __name__ == "__main__":
    main()
