"""What VMs and the node used over time, in one SQLite file: rrddata.

A period's row is the mean of the samples taken in it. Rows are kept in three lengths, each for as long as Proxmox VE 9
keeps it; the longer ones are means of the shorter. So a maximum is that of means, which a real one is not.
"""

import json
import logging
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path

Values = dict[str, float]
Sampler = Callable[[], Mapping[str, Values]]  # subject (node, qemu/100) → what it uses now

# Rows by length in steps, and how many of them are kept (pve-cluster: RRD.pm; a step is a minute).
_LEVELS = {1: 1440, 30: 1440, 360: 1440}
# What a timeframe shows: length of a row in steps, and how many rows.
_TIMEFRAMES = {
    "8.4": {"hour": (1, 70), "day": (30, 70), "week": (180, 70), "month": (720, 70), "year": (10080, 70)},
    "9.2": {"hour": (1, 60), "day": (1, 1440), "week": (30, 336), "month": (30, 1440), "year": (360, 1440)},
}
_SAMPLES = 6  # in a step
_SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
    subject TEXT, steps INTEGER, ends INTEGER, data TEXT, PRIMARY KEY (subject, steps, ends)
) WITHOUT ROWID
"""

logger = logging.getLogger(__name__)


class Metrics:
    """The rows of every subject."""

    def __init__(self, path: Path, release: str, step_seconds: int) -> None:
        """`step_seconds`: the length of the shortest rows; 60 on a real Proxmox VE."""
        self._path = path
        self._step = step_seconds
        self._timeframes = _TIMEFRAMES[release]
        self._samples: defaultdict[str, list[Values]] = defaultdict(list)
        self._ends = 0  # when the period being sampled is over
        with closing(self._open()) as file, file:
            file.execute("PRAGMA journal_mode = WAL")
            file.execute(_SCHEMA)

    def watch(self, sampler: Sampler) -> None:
        """Sample for ever, on a thread of its own."""
        threading.Thread(target=self._run, args=(sampler,), name="metrics", daemon=True).start()

    def add(self, samples: Mapping[str, Values], now: float) -> None:
        """Take a sample; what was sampled in a period that is over is written."""
        ends = (int(now) // self._step + 1) * self._step
        if ends != self._ends:
            self._write()
            self._ends = ends
        for subject, values in samples.items():
            self._samples[subject].append(values)

    def rows(self, subject: str, timeframe: str, function: str, now: float) -> list[Values]:
        """What rrddata answers: a row for each period, with its time alone where nothing was sampled."""
        steps, count = self._timeframes[timeframe]
        length = steps * self._step
        last = int(now) // length * length
        found = self._found(subject, steps, last - count * length, last)
        combine = _highest if function == "MAX" else _mean
        times = range(last - (count - 1) * length, last + 1, length)
        rows = [combine(found[at]) | {"time": at} if at in found else {"time": at} for at in times]
        return rows if len(rows[-1]) > 1 else rows[:-1]  # the newest may not have been written yet

    def _found(self, subject: str, steps: int, after: int, until: int) -> dict[int, list[Values]]:
        """Rows of the longest kept length that fits, by the end of the period they are wanted for."""
        level = max(level for level in _LEVELS if steps % level == 0)
        length = steps * self._step
        query = "SELECT ends, data FROM rows WHERE subject = ? AND steps = ? AND ends > ? AND ends <= ?"
        found: defaultdict[int, list[Values]] = defaultdict(list)
        with closing(self._open()) as file:
            for ends, data in file.execute(query, (subject, level, after, until)):
                found[-(-ends // length) * length].append(json.loads(data))
        return found

    def _write(self) -> None:
        """Write the period that is over, and the longer ones that end with it."""
        fresh = [(subject, _mean(values)) for subject, values in self._samples.items()]
        self._samples.clear()
        if not fresh:
            return
        with closing(self._open()) as file, file:
            for steps, kept in _LEVELS.items():
                length = steps * self._step
                ends = -(-self._ends // length) * length
                self._insert(file, steps, ends, fresh if steps == 1 else self._means(file, steps, ends))
                file.execute("DELETE FROM rows WHERE steps = ? AND ends <= ?", (steps, ends - kept * length))

    def _means(self, file: sqlite3.Connection, steps: int, ends: int) -> Iterable[tuple[str, Values]]:
        """The mean of a longer period, as far as it has got."""
        shorter = max(level for level in _LEVELS if level < steps)
        query = "SELECT subject, data FROM rows WHERE steps = ? AND ends > ? AND ends <= ?"
        found: defaultdict[str, list[Values]] = defaultdict(list)
        for subject, data in file.execute(query, (shorter, ends - steps * self._step, ends)):
            found[subject].append(json.loads(data))
        return [(subject, _mean(values)) for subject, values in found.items()]

    def _insert(
        self, file: sqlite3.Connection, steps: int, ends: int, rows: Iterable[tuple[str, Values]]
    ) -> None:
        file.executemany(
            "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)",
            [(subject, steps, ends, json.dumps(values)) for subject, values in rows],
        )

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=10)

    def _run(self, sampler: Sampler) -> None:
        while True:
            try:
                self.add(sampler(), time.time())
            except (OSError, sqlite3.Error):
                logger.exception("What guests use could not be written down.")
            time.sleep(self._step / _SAMPLES)


def _mean(rows: list[Values]) -> Values:
    """The mean of every value, over the rows that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: sum(column) / len(column) for name, column in columns.items()}


def _highest(rows: list[Values]) -> Values:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: max(row[name] for row in rows if name in row) for name in names}
