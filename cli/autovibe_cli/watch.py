"""Following a machine: what its agent prints, what becomes of it, and how its operations get on."""

from __future__ import annotations

import time
from typing import Any

from autovibe_cli.client import Json
from autovibe_cli.grammar import Session

POLL_SECONDS = 0.4
LINES_MAX = 2000  # per request
EXIT_CODES = {"terminated": 0, "failed": 1, "paused": 3}
INTERRUPTED = 130
# Somebody is working on it, so there are steps to tell.
BUSY = {"requested", "cloning", "provisioning", "pausing", "resuming", "restoring", "stopping"}


def watch(session: Session, reference: str, *, operation: str | None = None, tail: int | None = None) -> int:
    """Tell what happens to the machine until it rests; returns the exit code that says how.

    `operation` is the id of one under way; with `tail`, only so many of the lines printed so far are shown.
    """
    log = Log(session, reference, tail=tail)
    try:
        return _Watch(session, reference, operation).follow(log)
    except KeyboardInterrupt:
        session.out.notice(
            f"\nStopped watching; {reference} goes on. Watch again: {session.prog} machine watch {reference}"
        )
        return INTERRUPTED


class Log:
    """A machine's log, from the beginning or the last `tail` lines, in order and without gaps.

    With `search`, only the lines that say those words.
    """

    def __init__(
        self, session: Session, reference: str, *, tail: int | None = None, search: str | None = None
    ) -> None:
        self._session = session
        self._reference = reference
        self._tail = tail
        self._search = search
        self._after: int | None = None
        self.state = ""

    def advance(self) -> bool:
        """Print what is new, and note the machine's state; whether that was all for now."""
        page = self._page()
        # The state was read before the lines: once it says ended, what the agent printed is among them.
        self.state = page["state"]
        lines = page["lines"]
        shown = lines if self._after is not None or self._tail is None else lines[len(lines) - self._tail :]
        for line in shown:
            self._print(line)
        complete = len(lines) < LINES_MAX or (self._after is None and self._tail is not None)
        self._after = lines[-1]["id"] if lines else self._after or 0
        return complete

    def _page(self) -> Json:
        client, first = self._session.client, self._after is None
        query: Json = {"after": self._after, "limit": LINES_MAX}
        if first and self._tail is not None:
            query = {"tail": 1, "limit": max(self._tail, 1)}
        query["q"] = self._search

        def ask() -> Json:
            page: Json = client.get("machines", self._reference, "log", **query)
            return page

        return ask() if first else client.patiently(ask)

    def _print(self, line: Json) -> None:
        if self._session.out.as_json:
            self._session.out.record(line=line)
        else:
            self._session.out.line(
                line["text"], {"sys": "dim", "err": "yellow", "say": "cyan"}.get(line["stream"], "")
            )


class _Watch:
    """What was told already, so that only news is."""

    def __init__(self, session: Session, reference: str, operation: str | None) -> None:
        self._session = session
        self._reference = reference
        self._operation = operation
        self._machine: Json = {}
        self._told: tuple[Any, ...] = ()

    def follow(self, log: Log) -> int:
        while True:
            complete = log.advance()
            if log.state in BUSY or log.state != self._machine.get("state"):
                self._look()
            if complete and log.state in EXIT_CODES:
                return self._conclude(log.state)
            if complete:
                time.sleep(POLL_SECONDS)

    def _look(self) -> None:
        before, self._machine = self._machine.get("state"), self._ask("machines", self._reference)
        if self._machine["state"] != before:
            self._tell("machine", self._machine, f"{self._machine['handle']} is {self._machine['state']}")
        if operation := self._under_way():
            self._follow_step(operation)

    def _under_way(self) -> Json | None:
        if shown := self._machine.get("operation"):
            return dict(shown)
        return self._ask("operations", self._operation) if self._operation else None

    def _follow_step(self, operation: Json) -> None:
        news = (operation["id"], operation["status"], operation["step"], operation["error"])
        if news == self._told:
            return
        self._told = news
        self._tell("operation", operation, "  " + progress(operation))

    def _conclude(self, state: str) -> int:
        if not self._session.out.as_json:
            _say_how_it_rests(self._session, self._machine)
        return EXIT_CODES[state]

    def _tell(self, kind: str, content: Json, text: str) -> None:
        if self._session.out.as_json:
            self._session.out.record(**{kind: content})
        elif content.get("state") not in EXIT_CODES:  # the conclusion tells those
            self._session.out.notice(text)

    def _ask(self, *segments: str) -> Json:
        def ask() -> Json:
            answer: Json = self._session.client.get(*segments)
            return answer

        return self._session.client.patiently(ask)


def progress(operation: Json) -> str:
    """`clone: copying (waiting)`; with the error, if there is one."""
    step = f": {operation['step']}" if operation.get("step") else ""
    error = f". {operation['error']}" if operation.get("error") else ""
    return f"{operation['verb']}{step} ({operation['status'].replace('_', ' ')}){error}"


def _say_how_it_rests(session: Session, machine: Json) -> None:
    handle, state = machine["handle"], machine["state"]
    style = {"terminated": "green", "paused": "yellow"}.get(state, "red")
    session.out.notice(
        f"{handle} {'is ' * (state == 'paused')}{state}. {machine['sentence']}".rstrip(), style
    )
    if state == "paused":
        session.out.notice(f"Resume it: {session.prog} resume {handle} --watch")
    elif present := machine.get("present"):
        session.out.notice(
            f"What it left: {session.prog} files {present}   What it changed: "
            f"{session.prog} diff {machine['source']} {present}"
        )
