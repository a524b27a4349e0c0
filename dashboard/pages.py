"""What every page does first: know who is asking, and say 404 where something is not there for them."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django_htmx.middleware import HtmxDetails

from projects.errors import NotThere
from projects.models import User

View = Callable[..., HttpResponseBase]


class PageRequest(HttpRequest):
    """A request that has passed `page`: somebody is signed in."""

    user: User
    htmx: HtmxDetails


def page(view: View) -> View:
    """Decorate a view of the dashboard.

    Strangers are sent to sign in; a fragment that asks for them gets 401 instead, and what is on screen stays.
    """

    @wraps(view)
    def wrapped(request: PageRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return HttpResponse(status=401) if request.htmx else redirect_to_login(request.get_full_path())
        try:
            response = view(request, *args, **kwargs)
        except NotThere as error:
            raise Http404(str(error)) from None
        # Page and fragment share an address.
        patch_vary_headers(response, ["HX-Request"])
        return response

    return wrapped


def show(
    request: PageRequest, template: str, fragment: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    """The page; or only its named fragment, when htmx asks."""
    name = f"{template}#{fragment}" if request.htmx else template
    return render(request, name, context, status=status)
