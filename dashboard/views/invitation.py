"""An invitation's link: whoever is signed in joins, a stranger makes an account.

The code is taken out of the address at once, so that it reaches no log, no history and no other server by a Referer;
the browser's session holds which invitation it has shown the code of.
"""

from typing import Any

from allauth.core.internal import ratelimit
from django.conf import settings
from django.contrib.auth.forms import UserCreationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts import actions as accounts
from projects import invitations
from projects.errors import NotThere, Refusal
from projects.models import Invitation, User

SHOWN = "invitation"  # in the session
RATES = {SHOWN: "30/5m/ip"}
PAGE = "dashboard/invitation.html"
TOO_MANY = "Too many links were tried from your address. Wait a few minutes."
NO_LINK = "Open the link of your invitation; this page alone does not know which one it is."


class JoinForm(UserCreationForm[User]):
    """A name and a password, as Django checks them."""

    class Meta:
        model = User
        fields = ("username",)

    def clean_username(self) -> str:
        name = str(super().clean_username())
        if name.lower() in settings.ACCOUNT_USERNAME_BLACKLIST:
            raise ValidationError("This name is taken.")
        return name


@require_safe
@never_cache
def opened(request: HttpRequest, code: str) -> HttpResponse:
    """The link itself."""
    if not ratelimit.consume(request, app="dashboard", action=SHOWN, config=RATES, limit_get=True):
        return _refused(request, TOO_MANY, 429)
    try:
        invitation = invitations.find(code)
    except NotThere as error:
        return _refused(request, error, 404)
    except invitations.Gone as gone:
        return _refused(request, gone, 410)
    request.session[SHOWN] = str(invitation.pk)
    return redirect("dashboard:invitation_shown")


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def shown(request: HttpRequest) -> HttpResponse:
    """GET says what it is for, POST joins."""
    invitation = _held(request)
    if invitation is None:
        return _refused(request, NO_LINK, 404)
    try:
        invitations.check(invitation)
        return _joined(request, invitation) if request.method == "POST" else _page(request, invitation)
    except invitations.Gone as gone:
        return _refused(request, gone, 410)
    except Refusal as refusal:
        return _page(request, invitation, refusal=refusal, status=refusal.status)


def _held(request: HttpRequest) -> Invitation | None:
    """The invitation whose code this browser has shown."""
    number: str | None = request.session.get(SHOWN)
    found = Invitation.objects.select_related("project", "invited_by")
    return found.filter(pk=number).first() if number else None


def _joined(request: HttpRequest, invitation: Invitation) -> HttpResponse:
    to = f"{reverse('dashboard:fleet')}?project={invitation.project.slug}"
    if isinstance(request.user, User):
        invitations.accept(invitation, request.user)
        del request.session[SHOWN]
        return redirect(to)
    form = JoinForm(request.POST)
    if not form.is_valid():
        return _page(request, invitation, form=form, status=422)
    user = form.save(commit=False)
    invitations.join(invitation, user)
    del request.session[SHOWN]
    return accounts.sign_in(request, user, how="invitation", to=to)


def _page(request: HttpRequest, invitation: Invitation, *, status: int = 200, **more: Any) -> HttpResponse:
    context = {"invitation": invitation, "form": JoinForm(), **more}
    return render(request, PAGE, context, status=status)


def _refused(request: HttpRequest, sentence: object, status: int) -> HttpResponse:
    return render(request, PAGE, {"refusal": sentence}, status=status)
