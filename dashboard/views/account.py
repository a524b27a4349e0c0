"""One's own account: password, second factors, passkeys, and the browsers that are signed in. Changing is allauth's."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts import actions
from dashboard import account
from dashboard.pages import PageRequest, page


@require_safe
@never_cache
@page
def index(request: PageRequest) -> HttpResponse:
    """The page."""
    return render(request, "dashboard/account.html", account.view(request.user, request.session.session_key))


@require_POST
@page
def end_sessions(request: PageRequest) -> HttpResponse:
    """Sign out one browser, or all but this one."""
    user = request.user
    if handle := request.POST.get("session"):
        actions.end_session(user, handle, by=user)
        messages.success(request, "That browser is signed out.")
    else:
        actions.end_sessions(user, but=request.session.session_key, by=user.username)
        messages.success(request, "All other browsers are signed out.")
    return redirect("dashboard:account")
