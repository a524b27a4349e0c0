"""The tree of a project's checkpoints, drawn as lanes: newest first, a column for each line that is open."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator

from autovibe_cli import formats
from autovibe_cli.client import Json
from autovibe_cli.grammar import Commands, Session

NODES_MAX = 500
FOLD = 3
_STYLES = {"broken": "red", "requested": "yellow", "pruning": "dim", "pruned": "dim", "verified": "green"}


def add(commands: Commands) -> None:
    tree = commands.verb(
        "tree",
        _tree,
        "The checkpoints of a project as a tree, newest first.",
        examples=["tree demo", "tree demo --from m12.c3 --all"],
    )
    tree.add_argument("project", metavar="PROJECT")
    tree.add_argument("--from", dest="root", metavar="CHECKPOINT", help="only what descends from this one")
    tree.add_argument("--before", metavar="CHECKPOINT", help="only what is older than this one")
    tree.add_argument("--all", action="store_true", help=f"fold nothing (else runs of more than {FOLD})")
    tree.add_argument(
        "--limit",
        metavar="N",
        type=formats.count,
        default=100,
        help=f"at most so many (100, up to {NODES_MAX})",
    )


def _tree(session: Session, args: Namespace) -> None:
    found = session.client.get(
        "projects",
        args.project,
        "tree",
        root=args.root,
        before=args.before,
        limit=min(args.limit, NODES_MAX),
        fold=0 if args.all else FOLD,
    )

    def render(answer: Json) -> None:
        for lanes, text, style in drawn(answer):
            session.out.line(f"{lanes}  {text}".rstrip(), style)
        if not answer["nodes"]:
            session.out.notice("No checkpoints yet.")
        if answer["before"]:
            session.out.notice(f"Older ones: {session.prog} tree {args.project} --before {answer['before']}")

    session.out.show(found, render)


def drawn(tree: Json) -> Iterator[tuple[str, str, str]]:
    """Rows from the newest to the oldest: the lanes as they stand there, what is told, and its style."""
    lanes = {lane["name"]: lane for lane in tree["lanes"]}
    parents = {lane["name"]: lane["forks_at"] for lane in tree["lanes"]}
    rows = [*tree["nodes"], *tree["folds"]]
    columns = _Columns()
    for row in sorted(rows, key=lambda one: one["created_at"], reverse=True):
        handle = row.get("handle")
        ending = [name for name in columns.open if handle and parents[name] == handle and name != row["lane"]]
        at = columns.take(row["lane"], ending)
        if merged := columns.merge(at, ending):
            yield merged, "", "dim"
        yield columns.line(at, _sign(row)), _told(row, lanes[row["lane"]], tree["currency"]), _style(row)


class _Columns:
    """Which lane has which column, from the left; a column whose lane ended is free for another."""

    def __init__(self) -> None:
        self._lanes: list[str | None] = []

    @property
    def open(self) -> list[str]:
        return [lane for lane in self._lanes if lane is not None]

    def take(self, lane: str, ending: list[str]) -> int:
        """The column of that lane; a new one takes over from a lane that ends here, or what is free."""
        if lane in self._lanes:
            return self._lanes.index(lane)
        heir = ending[0] if ending else None
        if heir in self._lanes or None in self._lanes:
            at = self._lanes.index(heir)
        else:
            at = len(self._lanes)
            self._lanes.append(None)
        self._lanes[at] = lane
        return at

    def merge(self, at: int, ending: list[str]) -> str:
        """Lead the lanes that end here to that column; "" where there is none to lead."""
        places = sorted(self._lanes.index(lane) for lane in ending if lane in self._lanes)
        if not places:
            return ""
        cells = [self._joint(place, at, places) for place in range(len(self._lanes))]
        for place in places:
            self._lanes[place] = None
        return "".join(cells).rstrip()

    def _joint(self, place: int, at: int, places: list[int]) -> str:
        first, last = min(at, *places), max(at, *places)
        rule = "─" if first <= place < last else " "
        if place == at:
            sign = "├" if last > at and first == at else "┤" if last == at else "┼"
        elif place in places:
            sign = "╯" if place == last else "╰" if place == first else "┴"
        else:
            sign = "│" if self._lanes[place] else rule
        return sign + rule

    def line(self, at: int, sign: str) -> str:
        cells = [sign if place == at else "│" if lane else " " for place, lane in enumerate(self._lanes)]
        return " ".join(cells).rstrip()


def _sign(row: Json) -> str:
    if "handle" not in row:
        return "┊"
    if row["state"] in ("broken", "pruned", "pruning"):
        return "×"
    if row["name"] or row["kind"] in ("manual", "final", "genesis"):
        return "◆"
    return "○" if row["logical"] else "●"


def _style(row: Json) -> str:
    if "handle" not in row:
        return "dim"
    if row["name"] or row["pinned"]:
        return "bold"
    return _STYLES.get(row["standing"], "dim" if row["logical"] else "")


def _told(row: Json, lane: Json, currency: str) -> str:
    cost = f", {formats.money(row['cost_micros'], currency)}" if row["cost_micros"] else ""
    if "handle" not in row:
        return f"{row['count']} more, {row['first']} to {row['last']}{cost}"
    words = [row["handle"], row["standing"]]
    words += [f"“{row['name']}”"] if row["name"] else []
    words += ["pinned"] if row["pinned"] else []
    told = f"{'  '.join(words)}  {row['why']}{cost}, {formats.age(row['created_at'])} ago"
    begins = row["handle"] == lane["name"] and lane["machine"]
    return f"{told}  [{lane['machine']} {lane['state']}: {lane['title']}]" if begins else told
