"""Commands on one's API tokens."""

from __future__ import annotations

from argparse import Namespace

from autovibe_cli import formats
from autovibe_cli.client import Json
from autovibe_cli.grammar import Commands, Session

SCOPES = {
    "view": "view_project",
    "audit": "read_audit",
    "spawn": "spawn_machines",
    "operate": "operate_machines",
    "budgets": "manage_budgets",
    "manage": "manage_project",
    "administer": "administer",
}
LISTED = 200


def named(scopes: list[str]) -> list[str]:
    """What `--scope` calls them."""
    short = {scope: name for name, scope in SCOPES.items()}
    return [short.get(scope, scope) for scope in scopes]


def add(commands: Commands) -> None:
    token = commands.noun("token", "Keys for programs that act for you: list them, make, renew and end them.")
    listing = token.verb(
        "list",
        _list,
        "Your tokens, as far as the one in use covers them.",
        examples=["token list", "token list --dead"],
    )
    listing.add_argument("--user", metavar="NAME", help="whose, for administrators; '*': everybody's")
    listing.add_argument("--dead", action="store_true", help="expired and revoked ones, too")
    create = token.verb(
        "create",
        _create,
        "Make one that can do no more, and lives no longer, than the one in use. Its key is printed once.",
        examples=[
            "token create ci --scope spawn --project demo",
            "token create reports --scope view --days 30",
        ],
    )
    create.add_argument("name", metavar="NAME", help="where it will be used")
    create.add_argument(
        "--scope",
        action="append",
        required=True,
        choices=SCOPES,
        help="what it may do, of what you may do; several times for several",
    )
    create.add_argument("--project", metavar="PROJECT", help="the only one that it is good for")
    create.add_argument("--days", metavar="N", type=formats.count, help="how long it lives; usually 90")
    rotate = token.verb(
        "rotate",
        _rotate,
        "A new key for a token; the old one ends.",
        examples=["token rotate 12", "token rotate 12 --grace 60"],
    )
    rotate.add_argument("id", metavar="ID", help="from token list")
    rotate.add_argument(
        "--grace", metavar="MINUTES", type=formats.count, default=0, help="how long the old key lives on"
    )
    revoke = token.verb(
        "revoke", _revoke, "End a token at once, with all that it minted.", examples=["token revoke 12"]
    )
    revoke.add_argument("id", metavar="ID", help="from token list")


def _list(session: Session, args: Namespace) -> None:
    query = {"user": args.user, "dead": "true" if args.dead else None}

    def render(answer: Json) -> None:
        rows = [
            (
                one["id"],
                one["name"],
                f"{one['prefix']}…",
                one["user"],
                one["project"] or "-",
                formats.when_next(one["expires_at"]) if one["state"] == "alive" else one["state"],
                formats.age(one["last_used_at"]) if one["last_used_at"] else "-",
                ",".join(named(one["scopes"])),
            )
            for one in answer["results"]
        ]
        session.out.table(["ID", "NAME", "BEGINS", "USER", "PROJECT", "ENDS", "USED", "MAY"], rows)
        if answer["more"]:
            session.out.notice(f"There are more than {LISTED}.")

    session.out.show(session.client.get_all("tokens", limit=LISTED, **query), render)


def _create(session: Session, args: Namespace) -> None:
    body = {
        "name": args.name,
        "scopes": [SCOPES[name] for name in args.scope],
        "project": args.project,
        "days": args.days,
    }
    _show(session, session.client.post("tokens", body=body))


def _rotate(session: Session, args: Namespace) -> None:
    _show(session, session.client.post("tokens", args.id, "rotate", body={"grace_minutes": args.grace}))


def _revoke(session: Session, args: Namespace) -> None:
    session.client.delete("tokens", args.id)
    session.out.notice(f"Token {args.id} has ended.")


def _show(session: Session, made: Json) -> None:
    """The key alone on stdout, so that it can be piped to where it is kept."""

    def render(one: Json) -> None:
        session.out.line(one["key"])
        session.out.notice(
            f"Token {one['id']}, {one['name']}, until {formats.when_next(one['expires_at'])}. Shown once."
        )

    session.out.show(made, render)
