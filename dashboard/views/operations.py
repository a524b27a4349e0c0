"""What is under way: the list, one operation with its steps and the logs of its tasks, and making one end."""

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from dashboard import ending, operation
from dashboard import operations as page_of
from dashboard.pages import PageRequest, mistyped, page, show
from operations import actions
from operations.models import Operation
from projects.errors import Refusal
from projects.models import User
from projects.permissions import require_operating

LIST = "dashboard/operations.html"


@require_safe
@page
def index(request: PageRequest) -> HttpResponse:
    """The page; or the drawer, which any page may fetch and which then fetches its list by itself."""
    context = page_of.view(request.user, page_of.Filter.read(request.GET))
    own = (request.htmx.target or "").endswith("operations")
    return show(request, LIST, "operations" if own else "drawer", context)


@require_safe
@page
def detail(request: PageRequest, operation_id: UUID) -> HttpResponse:
    found = actions.find(operation_id, user=request.user)
    context = {"row": page_of.one(request.user, found), "lines": operation.lines(found)}
    return show(request, "dashboard/operation.html", "operation", context)


@require_http_methods(["GET", "HEAD", "POST"])
@page
def cancel(request: PageRequest, operation_id: UUID) -> HttpResponse:
    """Have one end that no worker has begun. GET says what follows, POST does it."""
    return _end(request, operation_id, "cancel", actions.cancel)


@require_http_methods(["GET", "HEAD", "POST"])
@page
def give_up(request: PageRequest, operation_id: UUID) -> HttpResponse:
    """Do not wait for an operator any longer. GET says what follows, POST does it."""
    return _end(request, operation_id, "give_up", actions.give_up)


def _end(request: PageRequest, operation_id: UUID, act: str, ask: Callable[..., None]) -> HttpResponse:
    found = actions.find(operation_id, user=request.user)
    require_operating(request.user, found)
    row = page_of.one(request.user, found)
    wrong = mistyped(request, row.thing.name) if row.act and ending.loses(found) else None
    if request.method != "POST" or wrong is not None:
        context = {"row": row, "act": act, "sentences": ending.of(found, row.thing)}
        asked = {"typed": wrong is not None, "mistyped": wrong}
        status = 422 if request.method == "POST" else 200
        return show(request, "dashboard/operation_end.html", "card", context | asked, status)
    said = ending.SAID.get(found.verb, "{title} {name} ends as soon as a worker comes to it.")
    said = said.format(title=row.title, name=row.thing.name)
    _ask(request, found, request.user, ask, said)
    return redirect(row.thing.address or "dashboard:operations")


def _ask(request: PageRequest, found: Operation, by: User, ask: Callable[..., None], said: str) -> None:
    try:
        ask(found, by=by)
    except Refusal as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, said)
