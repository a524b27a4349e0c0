"""What every page does first: know who is asking, and say 404 where something is not there for them."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account.internal.flows import reauthentication
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.middleware import HtmxDetails

from projects.errors import NotThere, Refusal
from projects.models import User

View = Callable[..., HttpResponseBase]


class PageRequest(HttpRequest):
    """A request that has passed `page`: somebody is signed in."""

    user: User
    htmx: HtmxDetails


def page(view: View) -> View:
    """Decorate a view of the dashboard.

    Strangers are sent to sign in; a fragment that asks for them gets 401 instead, and what is on screen stays. A form
    may name the page to go on with afterwards, as `next`.
    """

    @wraps(view)
    def wrapped(request: PageRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return HttpResponse(status=401) if request.htmx else redirect_to_login(request.get_full_path())
        try:
            response = view(request, *args, **kwargs)
        except NotThere as error:
            raise Http404(str(error)) from None
        except Refusal as refusal:
            response = _refused(request, refusal)
        if request.method == "POST" and response.status_code == 302:
            response = _onward(request, response)
        # Page and fragment share an address.
        patch_vary_headers(response, ["HX-Request"])
        return response

    return wrapped


def _refused(request: PageRequest, refusal: Refusal) -> HttpResponse:
    if request.htmx:
        return HttpResponse(str(refusal), status=refusal.status, content_type="text/plain; charset=utf-8")
    return render(request, "refused.html", {"sentence": str(refusal)}, status=refusal.status)


def _onward(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    asked = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(asked, allowed_hosts={request.get_host()}):
        return redirect(asked)
    return response


def confirm(request: HttpRequest) -> None:
    """Ask for the password again where signing in is a while ago; the POST goes on then. Keys outlive sessions."""
    reauthentication.raise_if_reauthentication_required(request, app="")


def mistyped(request: HttpRequest, name: str) -> str | None:
    """What was typed instead of the name that a destructive act asks for, "" for nothing; None where it is right."""
    typed = request.POST.get("typed", "").strip()
    return None if typed == name else typed


def number(text: str) -> int:
    """A row's number out of an address; 0 for anything that is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0


def show(
    request: PageRequest, template: str, fragment: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    """The page; or only its named fragment, when htmx asks."""
    name = f"{template}#{fragment}" if request.htmx else template
    return render(request, name, context, status=status)
