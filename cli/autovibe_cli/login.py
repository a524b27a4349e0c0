"""`login`: ask for a token, try it, keep it."""

from __future__ import annotations

import sys
from argparse import Namespace
from getpass import getpass
from urllib.parse import urlsplit

from autovibe_cli import profiles
from autovibe_cli.client import Client, is_loopback
from autovibe_cli.errors import Usage
from autovibe_cli.grammar import Commands, Session


def add(commands: Commands) -> None:
    login = commands.verb(
        "login",
        _login,
        "Keep address and token of a server.",
        examples=[
            "login https://autovibe.example.com",
            "login https://staging.example.com --profile staging",
        ],
    )
    login.add_argument("url", metavar="URL")


def _login(session: Session, args: Namespace) -> None:
    out, name = session.out, args.profile or profiles.DEFAULT
    profile = profiles.Profile(args.url.rstrip("/"), _token(args.url), "what you entered")
    if args.url.startswith("http://") and not is_loopback(urlsplit(args.url).hostname or ""):
        out.notice("Careful: http:// shows the token to everybody on the way.", "yellow")
    seen = Client(profile, out.notice).get("projects")["results"]
    profiles.save(name, profile.url, profile.token)
    out.line(f"Signed in to {profile.url}; {len(seen)} project{'' if len(seen) == 1 else 's'} in sight.")
    if (first := profiles.find(None, session.prog)).token != profile.token:
        out.notice(f"Without --profile {name}, commands here go to {first.url} ({first.origin}).")


def _token(url: str) -> str:
    """From the terminal without showing it, or from standard input."""
    token = getpass(f"API token for {url} (av_…): ") if sys.stdin.isatty() else sys.stdin.readline()
    if not token.strip().isascii() or not token.strip():
        raise Usage("There is no token. Make one in the admin, under “API tokens”.")
    return token.strip()
