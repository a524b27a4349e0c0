"""Logs: the lines of one machine as its page asks for them, as a file, and the search over all of them."""

from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.views.decorators.http import require_safe

from dashboard import log_search, logs
from dashboard.pages import PageRequest, page, show
from machines import actions

TEXT, JSON_LINES = "text/plain; charset=utf-8", "application/jsonl"


@require_safe
@page
def lines(request: PageRequest, handle: str) -> JsonResponse:
    """Lines for the script of the machine's page; `logs.asked` says which."""
    return JsonResponse(logs.asked(actions.find(handle, user=request.user), request.GET))


@require_safe
@page
def file(request: PageRequest, handle: str) -> StreamingHttpResponse:
    """The whole log as a text file; with `?raw=1` to be read in the browser."""
    found = actions.find(handle, user=request.user)
    response = StreamingHttpResponse(logs.text(found.log.order_by("id").aiterator()), content_type=TEXT)
    how = "inline" if "raw" in request.GET else "attachment"
    response["Content-Disposition"] = f'{how}; filename="{found.handle}.log"'
    return response


@require_safe
@page
def index(request: PageRequest) -> HttpResponse:
    """What `?q=` finds in all logs that they may see, older than the line `?before=`."""
    return show(request, "dashboard/logs.html", "results", log_search.view(request.user, request.GET))


@require_safe
@page
def export(request: PageRequest) -> HttpResponse | StreamingHttpResponse:
    """All that the search finds, the oldest first: as text, or with `?as=jsonl` as JSON lines."""
    asked = log_search.Asked.of(request.user, request.GET)
    if asked.problems:
        return HttpResponse("\n".join(asked.problems), status=400, content_type=TEXT)
    as_json = request.GET.get("as") == "jsonl"
    response = StreamingHttpResponse(
        log_search.written(asked, as_json=as_json), content_type=JSON_LINES if as_json else TEXT
    )
    response["Content-Disposition"] = f'attachment; filename="logs.{"jsonl" if as_json else "log"}"'
    return response
