"""Commands on the people of a project: its members, invitations, and what its machines may be."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from autovibe_cli import formats
from autovibe_cli.client import Json
from autovibe_cli.grammar import Commands, Session
from autovibe_cli.questions import confirm

ROLES = ("owner", "operator", "member", "viewer", "auditor")
NOTHING = "nothing"


def add(commands: Commands) -> None:
    members = commands.verb("members", _list, "Who is in a project, and as what.", examples=["members demo"])
    members.add_argument("project", metavar="PROJECT")
    member = commands.noun("member", "One member of a project: let them in, change their role, remove them.")
    admit = member.verb(
        "add",
        _set,
        "Let somebody in who has an account, or a group.",
        examples=["member add demo eve", "member add demo eve --role operator", "member add demo group:Team"],
    )
    _named(admit)
    admit.add_argument("--role", choices=ROLES, default="member", help="usually member")
    change = member.verb(
        "role", _set, "Give a member another role.", examples=["member role demo eve viewer"]
    )
    _named(change)
    change.add_argument("role", choices=ROLES, metavar="ROLE", help=", ".join(ROLES))
    remove = member.verb(
        "remove", _remove, "Take a member out. Their machines go on.", examples=["member remove demo eve"]
    )
    _named(remove)
    remove.add_argument("--yes", action="store_true", help="do not ask")
    machines = member.verb(
        "machines",
        _machines,
        "What a project's own machines may do in it, by API and MCP: show it, or set it.",
        examples=["member machines demo", "member machines demo member"],
    )
    machines.add_argument("project", metavar="PROJECT")
    machines.add_argument("role", choices=("member", "viewer", NOTHING), nargs="?")
    _add_invitations(commands)


def _named(parser: ArgumentParser) -> None:
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("name", metavar="NAME", help="a user's, or group: and a group's")


def _add_invitations(commands: Commands) -> None:
    invite = commands.verb(
        "invite",
        _invite,
        "Make a link that lets one person into a project, once. It is printed once.",
        examples=["invite demo", "invite demo --role viewer --note 'Eve of sales' --email eve@example.com"],
    )
    invite.add_argument("project", metavar="PROJECT")
    invite.add_argument("--role", choices=ROLES, default="member", help="usually member")
    invite.add_argument("--note", default="", help="who it is for")
    invite.add_argument("--email", default="", help="where to send it, if e-mail is set up")
    invite.add_argument("--days", metavar="N", type=formats.count, help="how long it is good for; usually 7")
    invitation = commands.noun(
        "invitation", "Invitations that nobody has accepted yet: list them, take one back."
    )
    listing = invitation.verb(
        "list", _invited, "Who is invited to a project.", examples=["invitation list demo"]
    )
    listing.add_argument("project", metavar="PROJECT")
    revoke = invitation.verb(
        "revoke",
        _uninvite,
        "Take one back: its link is worth nothing then.",
        examples=["invitation revoke demo 0b6f2a52-1c1e-4c6f-9f6c-1f6f3f9f2a52"],
    )
    revoke.add_argument("project", metavar="PROJECT")
    revoke.add_argument("id", metavar="ID", help="from invitation list")


def _list(session: Session, args: Namespace) -> None:
    def render(answer: Json) -> None:
        rows = [(one["name"], one["role"], one["people"]) for one in answer["results"]]
        session.out.table(["NAME", "ROLE", "PEOPLE"], rows)
        if answer["machine_role"]:
            session.out.notice(f"Its machines are {answer['machine_role']}s.")

    session.out.show(session.client.get("projects", args.project, "members"), render)


def _set(session: Session, args: Namespace) -> None:
    made = session.client.put("projects", args.project, "members", args.name, body={"role": args.role})
    session.out.show(made, lambda one: session.out.line(f"{one['name']} is {one['role']} of {args.project}."))


def _remove(session: Session, args: Namespace) -> None:
    if not args.yes:
        confirm(f"Remove {args.name} from {args.project}? Their machines go on.")
    session.client.delete("projects", args.project, "members", args.name)
    session.out.notice(f"{args.name} is no member of {args.project} any more.")


def _machines(session: Session, args: Namespace) -> None:
    if args.role is None:
        found = session.client.get("projects", args.project)
    else:
        role = "" if args.role == NOTHING else args.role
        found = session.client.put("projects", args.project, "machine-role", body={"role": role})
    session.out.show(
        found, lambda one: session.out.line(f"Machines of {one['slug']}: {one['machine_role'] or NOTHING}")
    )


def _invite(session: Session, args: Namespace) -> None:
    said = {name: getattr(args, name) for name in ("role", "note", "email", "days")}
    body = {name: value for name, value in said.items() if value}
    made = session.client.post("projects", args.project, "invitations", body=body)

    def render(one: Json) -> None:
        session.out.line(one["link"])
        sent = f" It was sent to {one['email']}." if one["emailed"] else ""
        session.out.notice(
            f"It makes one person {one['role']}, until {formats.when_next(one['expires_at'])}.{sent}"
        )

    session.out.show(made, render)


def _invited(session: Session, args: Namespace) -> None:
    def render(answer: Json) -> None:
        rows = [
            (
                one["id"],
                one["role"],
                one["invited_by"],
                formats.when_next(one["expires_at"]),
                one["note"] or one["email"],
            )
            for one in answer["results"]
        ]
        session.out.table(["ID", "ROLE", "BY", "UNTIL", "WHO"], rows)
        if not rows:
            session.out.notice("Nobody is invited.")

    session.out.show(session.client.get("projects", args.project, "invitations"), render)


def _uninvite(session: Session, args: Namespace) -> None:
    session.client.delete("projects", args.project, "invitations", args.id)
    session.out.notice("The invitation was taken back.")
