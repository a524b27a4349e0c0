"""First run: what is missing before machines can run, and doing it in place."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from budgets import money
from budgets.limits import Holder, change_limit
from budgets.resources import Period
from checkpoints import actions as checkpoints
from dashboard import start
from dashboard.pages import PageRequest, page, show
from machines import actions as machines
from projects import actions as projects
from projects.errors import Refusal
from projects.models import Project
from projects.permissions import require
from projects.roles import Right

TYPE = "vibe"  # needs nothing in the template


@require_safe
@page
def index(request: PageRequest) -> HttpResponse:
    return show(request, "dashboard/start.html", "start", start.view(request.user))


@require_POST
@page
def budget(request: PageRequest) -> HttpResponse:
    """A limit on the project's money, by the day."""
    project = _project(request, Right.BUDGETS)
    try:
        limit = money.parse(request.POST.get("amount", ""))
        change_limit(Holder.of_project(project), "money", limit, by=request.user, period=Period.DAY)
        messages.success(request, f"{project.slug} may spend so much a day from now on.")
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect("dashboard:start")


@require_POST
@page
def machine(request: PageRequest) -> HttpResponse:
    """A machine that does the demo. The same form sent twice is one machine."""
    project = _project(request, Right.SPAWN)
    try:
        made = machines.spawn(
            project=project,
            source=checkpoints.genesis_of(project),
            type_name=TYPE,
            prompt=start.DEMO,
            by=request.user,
            idempotency_key=request.POST.get("op") or None,
        )
    except Refusal as refusal:
        messages.error(request, str(refusal))
        return redirect("dashboard:start")
    return redirect("dashboard:machine", made.handle)


@require_POST
@page
def dismiss(request: PageRequest) -> HttpResponse:
    """Leave it off the fleet page."""
    start.dismiss(request.user)
    messages.success(request, "The first steps are off this page. You find them under More.")
    return redirect("dashboard:fleet")


def _project(request: PageRequest, right: Right) -> Project:
    project = projects.find(request.POST.get("project", ""), user=request.user)
    require(request.user, right, project)
    return project
