"""A session of an agent, and what is looked at after it: the provider's books beside the ledger, files, the log."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Self

import psycopg
import requests
from psycopg.rows import dict_row

from tests.acceptance import script
from tests.acceptance.figures import Figures
from tests.e2e.stack import Stack, eventually

PROMPT = "calc.py does not add. Mend it, run its tests, and commit."

_ENTRIES = """
    SELECT kind, calls, label AS model, micros, input_tokens, cached_tokens, cache_write_tokens, output_tokens
    FROM budgets_ledgerentry WHERE machine_id = %s AND label <> 'compute' AND kind NOT IN ('limit', 'transfer')
"""
_HELD = "SELECT count(*) AS number FROM budgets_reservation WHERE state = 'held' AND label <> 'compute'"


@dataclass(frozen=True, slots=True)
class Line:
    """What one call comes to, in the provider's books as in ours."""

    model: str
    micros: int
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int

    @classmethod
    def of(cls, model: str, figures: Figures) -> Self:
        written = figures.cache_write + figures.cache_write_1h
        cost = figures.cost_micros(model)
        return cls(model, cost, figures.input, figures.cache_read, written, figures.output)


@dataclass(frozen=True)
class Provider:
    """The scripted upstream, seen from a test."""

    url: str

    def books(self) -> list[dict[str, Any]]:
        """The calls that it has answered, oldest first."""
        found: list[dict[str, Any]] = requests.get(f"{self.url}/books", timeout=10).json()
        return found


class Session:
    """One machine's work. One at a time: what the provider answers meanwhile is taken for this session's."""

    def __init__(self, stack: Stack, provider: Provider, kind: str, **more: Any) -> None:
        self.stack, self.provider = stack, provider
        self._begin = len(provider.books())
        self.handle = stack.spawn(PROMPT, kind, files=[*script.FILES, *more.pop("files", [])], **more)
        self._end: int | None = None
        self.died_at = ""  # when its guest lost its power, if that is what a test is about

    def ends(self) -> Self:
        """Wait for the agent to come to its end, with success."""
        machine = self.stack.await_state(self.handle, "terminated", "paused", seconds=120)
        assert (machine["state"], machine["exit_code"]) == ("terminated", 0), f"{machine}\n{self.log}"
        self._end = len(self.provider.books())
        return self

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What the provider was sent."""
        return [entry["request"] for entry in self._books]

    @property
    def paths(self) -> set[str]:
        return {entry["path"] for entry in self._books}

    @property
    def books(self) -> Counter[Line]:
        """What the provider has counted."""
        return Counter(
            Line.of(entry["request"]["model"], Figures(**entry["figures"])) for entry in self._books
        )

    @property
    def ledger(self) -> Counter[Line]:
        """The same by the ledger, where each call must have been charged once, by the provider's own figures."""
        entries = self._query(_ENTRIES, self.stack.get(f"machines/{self.handle}/")["id"])
        assert {(entry.pop("kind"), entry.pop("calls")) for entry in entries} <= {("usage", 1)}
        return Counter(Line(**entry) for entry in entries)

    @property
    def held(self) -> int:
        """How many calls' holds are open in the whole database."""
        (row,) = self._query(_HELD)
        return int(row["number"])

    @property
    def log(self) -> str:
        lines = self.stack.get(f"machines/{self.handle}/log/", limit=2000)["lines"]
        return "\n".join(line["text"] for line in lines)

    def read(self, path: str) -> str:
        """A file as the last checkpoint has it."""
        last = self.stack.checkpoints(self.handle)[-1]["handle"]
        response = self.stack.call("GET", f"checkpoints/{last}/file/", params={"path": path})
        assert response.ok, response.text
        return response.text

    def is_limited(self, resource: str, limit: int, **more: Any) -> None:
        """Set a limit of the machine."""
        change = {"resource": resource, "limit": limit, **more}
        answer = self.stack.call("PUT", f"machines/{self.handle}/budgets/", json=change)
        assert answer.ok, answer.text

    def is_given(self, resource: str, limit: int) -> None:
        """Raise a limit of the machine, and see it go on by itself."""
        self.is_limited(resource, limit)
        path = f"machines/{self.handle}/"
        eventually(lambda: self.stack.get(path)["state"] != "paused", what=f"{self.handle} to go on")

    @property
    def _books(self) -> list[dict[str, Any]]:
        return self.provider.books()[self._begin : self._end]

    def _query(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        address = self.stack.environment["DATABASE_URL"]
        with psycopg.connect(address, row_factory=dict_row) as connection:
            return connection.execute(query, parameters).fetchall()
