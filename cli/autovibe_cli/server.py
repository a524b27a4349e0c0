"""Commands on the server itself: whether it is well, whom it takes you for, its pages, and the profiles kept here."""

from __future__ import annotations

import sys
import webbrowser
from argparse import Namespace
from urllib.parse import quote

from autovibe_cli import formats, profiles, tokens
from autovibe_cli.client import Json
from autovibe_cli.errors import Usage
from autovibe_cli.grammar import Commands, Session


def add(commands: Commands) -> None:
    commands.verb(
        "health",
        _health,
        "Whether all parts of autovibe are at work; exit code 1 unless they are.",
        examples=["health"],
    )
    commands.verb("me", _me, "Who you are to the server, and what your token may.", examples=["me"])
    page = commands.verb(
        "open",
        _open,
        "Open the page of something, or print its address where there is no terminal.",
        examples=["open", "open m12", "open m12.c3", "open demo"],
    )
    page.add_argument(
        "what", metavar="REF", nargs="?", default="", help="a machine, a checkpoint or a project"
    )
    page.add_argument("--print", action="store_true", dest="prints", help="only print the address")
    commands.verb("profiles", _profiles, "The servers that `login` keeps a token for.", examples=["profiles"])
    commands.verb(
        "logout",
        _logout,
        "Forget a server's token. The token itself stays good until it is revoked.",
        examples=["logout", "logout --profile staging"],
    )


def _health(session: Session, args: Namespace) -> int:
    def render(one: Json) -> None:
        session.out.line(one["status"], "green" if one["status"] == "ok" else "yellow")
        details = one["details"] or {}
        session.out.fields(
            [
                *sorted(details.get("parts", {}).items()),
                ("operations that wait for a worker", details.get("queued")),
                ("operations that wait for a person", details.get("needs_operator")),
                ("model calls under way", details.get("calls")),
            ]
        )

    found: Json = session.client.get("health")
    session.out.show(found, render)
    return 0 if found["status"] == "ok" else 1


def _me(session: Session, args: Namespace) -> None:
    def render(one: Json) -> None:
        session.out.line(one["username"], "bold")
        token = one["token"] or {}
        session.out.fields(
            [
                ("kind", one["kind"]),
                ("administers", "yes" if one["administers"] else None),
                ("token", token.get("name")),
                ("which allows", ", ".join(tokens.named(token.get("rights", [])))),
                ("only in", token.get("project")),
                ("until", formats.when_next(token["expires_at"]) if token.get("expires_at") else None),
            ]
        )
        rows = [(each["project"], each["role"] or ", ".join(each["rights"])) for each in one["projects"]]
        session.out.table(["PROJECT", "ROLE"], rows)

    session.out.show(session.client.get("me"), render)


def _open(session: Session, args: Namespace) -> None:
    address = f"{session.client.url}{_page(args.what)}"
    shows = not args.prints and not session.out.as_json and sys.stdout.isatty()
    if shows and webbrowser.open(address):
        session.out.notice(f"Opened {address}")
    else:
        session.out.show({"url": address}, lambda one: session.out.line(one["url"]))


def _page(what: str) -> str:
    """A dot makes it a checkpoint, m and a number a machine; what else there is are projects."""
    if not what:
        return "/"
    if "." in what:
        return f"/checkpoints/{quote(what, safe='')}/"
    if what[0] == "m" and what[1:].isdecimal():
        return f"/machines/{what}/"
    return f"/?project={quote(what, safe='')}"


def _profiles(session: Session, args: Namespace) -> None:
    kept = [{"name": name, "url": url} for name, url in profiles.known()]

    def render(all: Json) -> None:
        session.out.table(["PROFILE", "SERVER"], [(one["name"], one["url"]) for one in all["results"]])
        if not kept:
            session.out.notice(f"None. Keep one: {session.prog} login https://autovibe.example.com")

    session.out.show({"results": kept}, render)


def _logout(session: Session, args: Namespace) -> None:
    name = args.profile or profiles.DEFAULT
    if not profiles.forget(name):
        raise Usage(f"There is no profile {name!r} in {profiles.path()}.")
    session.out.notice(
        f"Forgot the token of profile {name}. Revoke it on the server if nobody needs it any more."
    )
