"""What the page of a project's checkpoint tree shows: rows with their lanes' machines, and what may be done."""

from typing import Any

from django.http import QueryDict

from checkpoints import actions
from checkpoints.models import Checkpoint
from checkpoints.reading.tree import tree
from dashboard import graph
from machines import actions as machines
from machines.keeping.trees import with_machines
from projects.errors import NotThere
from projects.models import Project, User
from projects.roles import Right

ROWS, FOLD = 200, 4


def view(project: Project, user: User, asked: QueryDict) -> dict[str, Any]:
    """`?before=` is where an older page begins, `?open=` names folds to show, `?root=` what to show the tree of."""
    before, root = _named(asked, "before", user), _named(asked, "root", user)
    found = tree(project, root=root, before=before, limit=ROWS, fold=FOLD, unfold=asked.getlist("open"))
    rows = graph.rows(found.nodes, found.folds, found.lanes)
    return {
        "project": project,
        "root": root,
        "before": before,
        "rows": rows,
        "width": graph.width(rows),
        "lanes": {one.lane.name: one for one in with_machines(found.lanes)},
        "older": found.before,
        "query": asked.urlencode(),
        "operable": user.has_perm(f"projects.{Right.OPERATE}", project),
        "spawns": user.has_perm(f"projects.{Right.SPAWN}", project),
    }


def _named(asked: QueryDict, name: str, user: User) -> Checkpoint | None:
    """Raises `NotThere`."""
    handle = asked.get(name)
    return actions.find(str(handle), user=user) if handle else None


def named(reference: str, user: User) -> Checkpoint:
    """The checkpoint of that handle, or the last one of the machine of that handle. Raises `NotThere`."""
    try:
        return actions.find(reference.strip(), user=user)
    except NotThere:
        machine = machines.find(reference.strip(), user=user)
    if machine.present is None:
        raise NotThere(f"{machine.handle} has left no checkpoint yet.")
    return machine.present
