"""Commands that compare checkpoints: what changed from one to another, and two branches since they parted."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from urllib.parse import parse_qs, urlsplit

from autovibe_cli import formats
from autovibe_cli.client import Json
from autovibe_cli.grammar import Commands, Session
from autovibe_cli.output import Output

_WITHOUT = {
    "binary": "binary",
    "large": "too large to compare",
    "unkept": "its content is in the snapshot only",
    "damaged": "its content is damaged in the store",
    "link": "a link",
}
_STATUS = {
    "here": "only {here}",
    "there": "only {there}",
    "same": "both, the same way",
    "conflict": "both, differently",
}


def add(commands: Commands) -> None:
    diff = commands.verb(
        "diff",
        _diff,
        "What changed from one checkpoint to another.",
        examples=["diff m12.c1 m12.c4", "diff --stat demo.c0 m12.c4", "diff m12.c1 m12.c4 src/main.py"],
    )
    diff.add_argument("before", metavar="CHECKPOINT")
    diff.add_argument("after", metavar="CHECKPOINT")
    diff.add_argument("path", metavar="PATH", nargs="?", help="only this file")
    diff.add_argument("--stat", action="store_true", help="only which files, and how much")
    compare = commands.verb(
        "compare",
        _compare,
        "Two branches since they parted: who changed which files, and what it cost.",
        examples=["compare m12.c9 m15.c7"],
    )
    compare.add_argument("here", metavar="CHECKPOINT")
    compare.add_argument("there", metavar="CHECKPOINT")
    for parser in (diff, compare):
        _add_git(parser)


def _add_git(parser: ArgumentParser) -> None:
    parser.add_argument("--git", action="store_true", help="with what git keeps in .git")


def _whole(session: Session, *segments: str, rows: str, **query: object) -> Json:
    """An answer with all of its pages."""
    answer: Json = session.client.get(*segments, **query)
    following = answer["next"]
    while following:
        # Behind a proxy the address may name another host; its query is what counts.
        after = parse_qs(urlsplit(following).query)["after"][0]
        page = session.client.get(*segments, **query, after=after)
        answer[rows] += page[rows]
        following = page["next"]
    return {**answer, "next": None}


def _diff(session: Session, args: Namespace) -> None:
    git = None if args.git else "false"
    answer = _whole(
        session, "checkpoints", args.before, "diff", rows="changes", to=args.after, path=args.path, git=git
    )

    def render(found: Json) -> None:
        changes = found["changes"]
        if not changes:
            session.out.notice(f"{found['from']} and {found['to']} hold the same {args.path or 'files'}.")
        elif args.stat:
            _print_stat(session.out, found)
        else:
            for change in changes:
                _print_change(session.out, change)

    session.out.show(answer, render)


def _print_change(out: Output, change: Json) -> None:
    told = f"{_named(change)}: {change['change']}, {_sizes(change)}"
    if change["diff"]:
        out.diff(change["diff"])
    else:
        out.line(f"{told}; {_WITHOUT.get(change['without'], 'no line differs')}", "bold")


def _print_stat(out: Output, found: Json) -> None:
    out.table(
        ["CHANGE", "LINES", "SIZE", "FILE"],
        [(one["change"], _lines(one), _sizes(one), _named(one)) for one in found["changes"]],
    )
    many, totals = len(found["changes"]), found["totals"]
    grown = totals["bytes_after"] - totals["bytes_before"]
    out.line(f"{many} file{'' if many == 1 else 's'} changed, {_grown(grown)}")


def _named(change: Json) -> str:
    return f"{change['before_path']} → {change['path']}" if change["before_path"] else str(change["path"])


def _lines(change: Json) -> str:
    if change["diff"] is None:
        return "-"
    body = change["diff"].split("\n")[2:]  # below the two lines that name the file
    return f"+{sum(line[:1] == '+' for line in body)} −{sum(line[:1] == '-' for line in body)}"


def _sizes(change: Json) -> str:
    return f"{formats.size(change['size_before'])} → {formats.size(change['size_after'])}"


def _grown(number: int) -> str:
    return f"{'−' if number < 0 else '+'}{formats.size(abs(number))}"


def _compare(session: Session, args: Namespace) -> None:
    git = None if args.git else "false"
    query = {"with": args.there, "git": git}
    answer = _whole(session, "checkpoints", args.here, "compare", rows="files", **query)

    def render(found: Json) -> None:
        here, there = found["here"], found["there"]
        session.out.line(f"Both come from {found['ancestor']}{_based(found)}.")
        session.out.table(
            ["SINCE THEN", "CHECKPOINTS", "TURNS", "COST", "FILES", "GROWN"],
            [_side(side, found["currency"]) for side in (here, there)],
        )
        if not found["files"]:
            session.out.notice("Neither changed a file.")
            return
        session.out.line()
        names = {"here": here["handle"], "there": there["handle"]}
        session.out.table(
            ["CHANGED BY", here["handle"], there["handle"], "FILE"],
            [_file(one, names) for one in found["files"]],
        )
        conflicts = found["totals"]["conflict"]
        if conflicts:
            session.out.line(f"{conflicts} changed by both, differently", "yellow")

    session.out.show(answer, render)


def _based(found: Json) -> str:
    if found["base"] == found["ancestor"]:
        return ""
    return f", whose files are not known any more; compared with those of {found['base']}"


def _side(side: Json, currency: str) -> tuple[object, ...]:
    return (
        side["handle"],
        side["checkpoints"],
        side["turns"],
        formats.money(side["cost_micros"], currency),
        side["changed"],
        _grown(side["grown_bytes"]),
    )


def _file(file: Json, names: dict[str, str]) -> tuple[object, ...]:
    return (
        _STATUS[file["status"]].format(**names),
        file["here"] or "-",
        file["there"] or "-",
        file["path"],
    )
