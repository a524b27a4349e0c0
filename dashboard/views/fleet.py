"""The fleet: everything that you may see, what of it needs you, and one verb for many machines."""

from django.http import Http404, HttpResponse
from django.views.decorators.http import require_http_methods, require_safe

from dashboard import copying, fleet, once, shared
from dashboard.fleet import bulk
from dashboard.pages import PageRequest, page, show
from machines.models import Machine
from projects.errors import Invalid


@require_safe
@page
def index(request: PageRequest) -> HttpResponse:
    return shared.among_equals(request, lambda: _shown(request)) if request.htmx else _shown(request)


def _shown(request: PageRequest) -> HttpResponse:
    asked = fleet.Filter.read(request.GET)
    copies = copying.of_fleet(request, project=asked.value("project"), states=asked.states())
    # What is looked at part by part, or chosen from, keeps its rows while it is fetched again.
    steady = request.htmx and (asked.steady or "machine" in request.GET)
    context = fleet.view(request.user, asked, request.GET.get("shown", "") if steady else "")
    return show(request, "dashboard/fleet.html", "fleet", context | {"copies": copies})


@require_http_methods(["GET", "HEAD", "POST"])
@page
def many(request: PageRequest) -> HttpResponse:
    """One verb for many machines: GET lists exactly which, POST asks for it and says what became of each."""
    asked = request.POST if request.method == "POST" else request.GET
    verb = asked.get("verb", "")
    if verb not in bulk.ASK:
        raise Http404("Machines are paused, resumed, terminated, or a checkpoint of them is taken.")
    if request.method == "POST":
        return _done(request, verb)
    wrong = ""
    try:
        machines = bulk.chosen(request.user, request.GET, request.GET.getlist("machine"))
    except Invalid as refusal:
        machines, wrong = Machine.objects.none(), str(refusal)
    return _card(request, bulk.plan(request.user, verb, machines), wrong)


def _done(request: PageRequest, verb: str) -> HttpResponse:
    tokens = list(dict.fromkeys(request.POST.getlist("machine")))
    if verb == "terminate" and request.POST.get("count", "").strip() != str(len(tokens)):
        handles = [token.partition(":")[0] for token in tokens]
        plan = bulk.plan(request.user, verb, bulk.chosen(request.user, {}, handles))
        return _card(request, plan, f"Type {len(plan.taken)}, the number of machines, to terminate them.")
    outcomes = bulk.act(request.user, verb, tokens)
    context = {"outcomes": outcomes, "done": sum(one.done for one in outcomes), "verb": verb}
    if not context["done"]:
        once.was_not_done(request)
    context["back"] = request.POST.get("q", "")
    return show(request, "dashboard/bulk_done.html", "outcomes", context)


def _card(request: PageRequest, plan: bulk.Plan, wrong: str) -> HttpResponse:
    status = 422 if wrong and request.method == "POST" else 200  # a dialog shows what is no error
    asked = request.POST if request.method == "POST" else request.GET
    # `back`: the filter of the list that they were chosen from
    context = {"plan": plan, "wrong": wrong, "back": asked.get("q", "")}
    return show(request, "dashboard/bulk.html", "card", context, status=status)
