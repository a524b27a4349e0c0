"""One checkpoint: its files, and what changed since another."""

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from checkpoints import actions
from dashboard import checkpoint, machine
from dashboard.pages import PageRequest, page, show
from machines import actions as machines
from machines.models import Machine


@require_safe
@page
def detail(request: PageRequest, handle: str) -> HttpResponse:
    """`?path=` shows a file; `?to=` compares with that checkpoint instead of with its parent."""
    found = actions.find(handle, user=request.user)
    before, after = (found.parent, found)
    if asked := request.GET.get("to"):
        before, after = found, actions.find(asked, user=request.user)
    changed, more, problem = checkpoint.changes(before, after) if before else ([], 0, "")
    path = request.GET.get("path", "")
    origin = machines.machine_of(found)
    operable = request.user.has_perm("projects.operate_machines", found.project)
    context = {
        "checkpoint": found,
        "machine": origin,
        "operable": operable,
        "returnable": operable
        and origin
        and "rollback" in origin.verbs
        and machine.can_return(origin, found),
        "branching": found.branching,
        "branches": Machine.objects.filter(source=found).order_by("number"),
        "listing": checkpoint.listing(found),
        "shown": checkpoint.shown(found, path) if path else None,
        "before": before,
        "after": after,
        "changes": changed,
        "more_changes": more,
        "problem": problem,
    }
    return show(request, "dashboard/checkpoint.html", "checkpoint", context)
