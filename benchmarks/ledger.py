"""What one reserve and settle costs as the ledger grows: it should cost the same.

    .venv/bin/python -m benchmarks.ledger [--entries 0,1000000] [--whole]

One durable PostgreSQL server, a database for each size; rounds are interleaved, and medians and ratios to the empty
one shown. The entries lie in the partitions of a year; those of the last 35 days still have their reservations.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, fields
from pathlib import Path

import psycopg

from autovibe.embedded.postgres import Postgres
from benchmarks.ledger_worker import Cost
from benchmarks.stack import migrate

WHOLE = (0, 1_000_000, 10_000_000)
FILLED_AT_ONCE = 500_000

# Spread over a year and 50 machines, on the windows that are open now, by nothing: balances must go on adding up.
_ENTRIES = """
INSERT INTO budgets_ledgerentry (month, key, kind, reservation_id, project_id, machine_id, windows, amounts, micros,
    calls, input_tokens, cached_tokens, cache_write_tokens, output_tokens, wall_seconds, cpu_seconds,
    memory_mb_seconds, storage_mb_seconds, network_bytes, label, price_version, actor, created_at)
SELECT date_trunc('month', at, 'UTC')::date, 'call:' || md5(n::text)::uuid || '/usage', 'usage', md5(n::text)::uuid,
    project, md5((n %% 50)::text)::uuid, windows, array_fill(0::bigint, ARRAY[cardinality(windows)]),
    4000 + n %% 997, 1, 900 + n %% 313, 12000, 300, 200 + n %% 101, 0, 0, 0, 0, 0, 'claude-sonnet-4-5',
    'genai-prices', '', at
FROM (SELECT array_agg(id ORDER BY id) AS windows FROM budgets_window WHERE closed_at IS NULL) AS open,
    (SELECT id AS project FROM projects_project) AS one,
    generate_series(%(first)s::bigint, %(last)s::bigint) AS n,
    LATERAL (SELECT now() - (%(entries)s - n) * interval '1 year' / %(entries)s AS at) AS moment
"""
_RESERVATIONS = """
INSERT INTO budgets_reservation (id, key, project_id, machine_id, state, label, price_version, units, landing, held,
    windows, amounts, cost_micros, created_at, expires_at, ended_at)
SELECT reservation_id, 'call:' || reservation_id, project_id, machine_id, 'settled', label, price_version, 1000, false,
    '{"money": 20000, "calls": 1}', windows, amounts, micros, created_at, created_at + interval '15 minutes', created_at
FROM budgets_ledgerentry WHERE reservation_id IS NOT NULL AND created_at > now() - interval '35 days'
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--entries", default="0,1000000", help="sizes, separated by commas; the first is the baseline"
    )
    parser.add_argument(
        "--whole", action="store_true", help="0, 1 and 10 million: 10 GB, a quarter of an hour"
    )
    parser.add_argument("--pairs", type=int, default=300, help="of reserve and settle, in each round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    sizes = WHOLE if options.whole else tuple(int(size) for size in options.entries.split(","))
    with tempfile.TemporaryDirectory(prefix="autovibe-benchmark-") as directory:
        home = Path(directory)
        home.chmod(0o755)  # PostgreSQL may run as somebody else
        server = Postgres(home / "postgres")
        server.start()
        try:
            found = _rounds(_databases(server, sizes), options.pairs, options.rounds)
        finally:
            server.stop()
    _report(found)


def _databases(server: Postgres, sizes: tuple[int, ...]) -> dict[int, str]:
    """The address of a database of each size."""
    migrate(server.url)
    _worker("prepare", server.url)
    databases = {}
    for size in sizes:
        name = f"entries_{size}"
        server.create_database(name, template="autovibe")
        databases[size] = server.url_of(name)
        _fill(databases[size], size)
    return databases


def _fill(database: str, entries: int) -> None:
    began = time.monotonic()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SELECT budgets_partitions((now() - interval '1 year')::date, 13)")
        for first in range(1, entries + 1, FILLED_AT_ONCE):
            last = min(first + FILLED_AT_ONCE - 1, entries)
            connection.execute(_ENTRIES, {"first": first, "last": last, "entries": entries})
        connection.execute(_RESERVATIONS)
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    print(f"{entries:,} entries written in {time.monotonic() - began:.0f} s", file=sys.stderr)


def _rounds(databases: dict[int, str], pairs: int, rounds: int) -> dict[int, Cost]:
    found: dict[int, list[Cost]] = {size: [] for size in databases}
    for number in range(rounds):
        for size, database in databases.items():
            cost = Cost(**json.loads(_worker("measure", database, str(pairs))))
            found[size].append(cost)
            print(f"round {number + 1} {size:>12,} entries {cost.p50_ms:8.2f} ms", file=sys.stderr)
    return {size: _medians(costs) for size, costs in found.items()}


def _worker(*arguments: str) -> str:
    argv = [sys.executable, "-m", "benchmarks.ledger_worker", *arguments]
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout


def _medians(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(cost, each.name) for cost in costs) for each in fields(Cost)))


def _report(found: dict[int, Cost]) -> None:
    base = next(iter(found.values()))
    print(f"{'Reserve and settle, ms':24}" + "".join(f"{size:>14,}{'ratio':>8}" for size in found))
    for each in fields(Cost):
        values = [getattr(cost, each.name) for cost in found.values()]
        line = "".join(f"{value:>14.2f}{value / getattr(base, each.name):>8.2f}" for value in values)
        print(f"{each.name.replace('_ms', '').replace('_', ' '):24}{line}")
    print(json.dumps({size: asdict(cost) for size, cost in found.items()}))


if __name__ == "__main__":
    main()
