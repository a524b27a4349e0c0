"""The command on the cluster behind the server: what its last check found, or a new check."""

from __future__ import annotations

import time
from argparse import Namespace

from autovibe_cli import formats
from autovibe_cli.client import Json
from autovibe_cli.errors import Failure
from autovibe_cli.grammar import Commands, Session

POLL_SECONDS = 0.5
PATIENCE_SECONDS = 300
_STYLES = {"ok": "green", "warning": "yellow", "missing": "red", "unknown": "yellow"}


def add(commands: Commands) -> None:
    command = commands.verb(
        "proxmox",
        _proxmox,
        "What the last check of the Proxmox cluster found; for staff.",
        examples=["proxmox", "proxmox check"],
    )
    command.add_argument("check", nargs="?", choices=["check"], help="have it checked now, and wait")


def _proxmox(session: Session, args: Namespace) -> int:
    found = _checked(session) if args.check else session.client.get("proxmox")
    session.out.show(found, lambda diagnosis: _render(session, diagnosis))
    return 1 if found["status"] == "missing" else 0


def _checked(session: Session) -> Json:
    asked: Json = session.client.post("proxmox", "check")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found: Json = session.client.patiently(lambda: session.client.get("proxmox"))
        if found["id"] >= asked["id"] and found["finished_at"]:
            return found
        time.sleep(POLL_SECONDS)
    raise Failure(f"The check is not done after {PATIENCE_SECONDS} s. Is a worker running?")


def _render(session: Session, diagnosis: Json) -> None:
    out, section = session.out, ""
    for finding in diagnosis["findings"]:
        if finding["section"] != section:
            section = finding["section"]
            out.line(section, "bold")
        out.line(f"  {finding['status']:<8} {finding['name']}", _STYLES.get(finding["status"], ""))
        out.line(f"           {finding['sentence']}")
        for command in finding["commands"]:
            out.line(f"             {command}", "cyan")
    if diagnosis["finished_at"]:
        out.notice(f"Checked {formats.when(diagnosis['finished_at'])}.")
    else:
        out.notice(f"A check is under way since {formats.when(diagnosis['asked_at'])}.")
