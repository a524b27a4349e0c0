"""The tree of a project's checkpoints, a page at a time: nodes, newest first, the lanes they lie on, and folds.

A lane is a stretch of one machine's checkpoints of which each follows on the one before. Another begins where a machine
was spawned, and where one went back. Whose lanes they are is told in `machines.keeping.trees`. Queries only.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from django.db.models import BigIntegerField, Exists, F, OuterRef, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce

from checkpoints.models import Checkpoint
from checkpoints.reading import lines
from checkpoints.states import State
from projects.models import Project

NODES_MAX = 500


@dataclass(frozen=True, slots=True)
class Node:
    """A checkpoint in the tree."""

    handle: str
    parent: str | None
    lane: str
    number: int
    kind: str
    trigger: str
    why: str
    state: str
    standing: str
    logical: bool  # it shares the state of an earlier one
    ram: bool
    pinned: bool
    name: str
    created_at: datetime
    call_number: int | None
    spent_micros: int  # by its machine, so far
    cost_micros: int  # of that, since the machine's checkpoint before it
    changed: int  # files that differ from the parent's
    forked: bool  # a lane goes off here

    @property
    def plain(self) -> bool:
        """Whether nobody would miss it in a list: one of many, and nothing about it."""
        settled = self.state in (State.CAPTURED, State.PRUNED)
        automatic = self.kind == Checkpoint.Kind.AUTOMATIC and self.trigger != Checkpoint.Trigger.RISK
        return automatic and settled and not (self.pinned or self.name or self.forked)


@dataclass(frozen=True, slots=True)
class Lane:
    """A stretch of one machine's checkpoints. It is called by its first."""

    name: str
    origin: str
    forks_at: str | None  # the checkpoint that it goes off from; None where everything begins
    began_at: datetime


@dataclass(frozen=True, slots=True)
class Fold:
    """Checkpoints that follow each other on a lane and are left out; asked for by `first`, they are shown."""

    lane: str
    first: str
    last: str
    count: int
    created_at: datetime  # of the last
    cost_micros: int
    changed: int


@dataclass(frozen=True, slots=True)
class Tree:
    """A page of it. `before` is where the next, older, page begins."""

    nodes: list[Node]
    lanes: list[Lane]
    folds: list[Fold]
    before: str | None


def tree(
    project: Project,
    *,
    root: Checkpoint | None = None,
    before: Checkpoint | None = None,
    limit: int = NODES_MAX,
    fold: int = 0,
    unfold: Collection[str] = (),
) -> Tree:
    """At most `limit` checkpoints of the project, newest first; of `root` and what descends from it alone.

    `fold`: of more plain ones than that in a row, the tree says only how many they are; 0 folds none. `unfold` names
    the `first` of folds to leave open. Two queries, whatever the size of the project.
    """
    limit = min(max(limit, 1), NODES_MAX)
    found = list(_page(project, root, before)[: limit + 1])
    shown = found[:limit]
    lanes = _Lanes(project, {one.origin for one in shown})
    nodes = [_node(one, lanes.of(one).name) for one in shown]
    folds = list(_folds(nodes, fold, unfold)) if fold > 0 else []
    hidden = {node.handle for members in folds for node in members}
    return Tree(
        nodes=[node for node in nodes if node.handle not in hidden],
        lanes=lanes.named({node.lane for node in nodes}),
        folds=[_fold(members) for members in folds],
        before=shown[-1].handle if len(found) > limit else None,
    )


_SHOWN = (
    "handle", "origin", "number", "kind", "trigger", "why", "state", "ram", "pinned", "name", "created_at",
    "call_number", "spent_micros", "changed", "backup", "proven_depth", "parent__handle", "shares__backup",
)  # fmt: skip


def _page(project: Project, root: Checkpoint | None, before: Checkpoint | None) -> QuerySet[Checkpoint]:
    found = Checkpoint.objects.filter(project=project).order_by("-created_at", "-id")
    if root:
        found = found.filter(pk__in=RawSQL(*lines.below(root)))
    if before:
        same = Q(created_at=before.created_at, pk__lt=before.pk)
        found = found.filter(Q(created_at__lt=before.created_at) | same)
    ahead = Checkpoint.objects.filter(origin=OuterRef("origin"), number=OuterRef("number") - 1)
    follows = Q(origin=OuterRef("origin"), number=OuterRef("number") + 1)
    return (
        found.select_related("parent", "shares")
        .only(*_SHOWN)
        .annotate(
            ahead_micros=Coalesce(ahead.values("spent_micros")[:1], 0, output_field=BigIntegerField()),
            forked=Exists(Checkpoint.objects.filter(parent=OuterRef("pk")).exclude(follows)),
        )
    )


def _node(checkpoint: Any, lane: str) -> Node:
    """`checkpoint`: with what `_page` annotates."""
    return Node(
        handle=checkpoint.handle,
        parent=checkpoint.parent.handle if checkpoint.parent else None,
        lane=lane,
        number=checkpoint.number,
        kind=checkpoint.kind,
        trigger=checkpoint.trigger,
        why=checkpoint.why,
        state=checkpoint.state,
        standing=checkpoint.standing,
        logical=checkpoint.shares_id is not None,
        ram=checkpoint.ram,
        pinned=checkpoint.pinned,
        name=checkpoint.name,
        created_at=checkpoint.created_at,
        call_number=checkpoint.call_number,
        spent_micros=checkpoint.spent_micros,
        cost_micros=checkpoint.spent_micros - checkpoint.ahead_micros,
        changed=checkpoint.changed,
        forked=checkpoint.forked,
    )


class _Lanes:
    """The lanes of some machines."""

    def __init__(self, project: Project, origins: Collection[str]) -> None:
        begun = Checkpoint.objects.filter(project=project, origin__in=origins).exclude(
            parent__origin=F("origin"), parent__number=F("number") - 1
        )
        self._starts: dict[str, list[int]] = defaultdict(list)
        self._lanes: dict[tuple[str, int], Lane] = {}
        for handle, origin, number, forks_at, at in begun.order_by("number").values_list(
            "handle", "origin", "number", "parent__handle", "created_at"
        ):
            self._starts[origin].append(number)
            self._lanes[origin, number] = Lane(handle, origin, forks_at, at)

    def of(self, checkpoint: Checkpoint) -> Lane:
        """The one that began last before that checkpoint, or with it."""
        starts = self._starts[checkpoint.origin]
        return self._lanes[checkpoint.origin, starts[bisect_right(starts, checkpoint.number) - 1]]

    def named(self, names: Collection[str]) -> list[Lane]:
        """Those of these names, oldest first."""
        found = (lane for lane in self._lanes.values() if lane.name in names)
        return sorted(found, key=lambda lane: (lane.began_at, lane.name))


def _folds(nodes: Iterable[Node], fold: int, unfold: Collection[str]) -> Iterator[list[Node]]:
    """Runs of more than `fold` plain nodes of a lane, oldest first in each. A lane's ends are never among them."""
    by_lane: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        by_lane[node.lane].append(node)
    for lane in by_lane.values():
        inner = sorted(lane, key=lambda node: node.number)[1:-1]
        for plain, run in groupby(inner, key=lambda node: node.plain):
            members = list(run)
            if plain and len(members) > fold and members[0].handle not in unfold:
                yield members


def _fold(members: list[Node]) -> Fold:
    return Fold(
        lane=members[0].lane,
        first=members[0].handle,
        last=members[-1].handle,
        count=len(members),
        created_at=members[-1].created_at,
        cost_micros=sum(node.cost_micros for node in members),
        changed=sum(node.changed for node in members),
    )
