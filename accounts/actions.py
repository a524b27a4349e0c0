"""What may be asked of accounts: let somebody in, end their sessions, forget their second factors."""

from typing import cast

from allauth.account.internal.flows.login import record_authentication
from allauth.account.utils import perform_login
from allauth.mfa.models import Authenticator
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.models import Session
from events import actions as events
from projects.errors import NotThere
from projects.models import User


def sign_in(request: HttpRequest, user: User, *, how: str, to: str = "") -> HttpResponse:
    """Sign in somebody who has shown otherwise who they are ("invitation"), and lead them to the address `to`.

    As on the sign-in page: it is recorded, listed, and a second factor is asked for where there is one.
    """
    record_authentication(request, user, method=how)
    return cast("HttpResponse", perform_login(request, user, redirect_url=to or None))


def sessions(user: User) -> QuerySet[Session]:
    """The user's browsers, the one that was used last first."""
    return Session.objects.filter(user=user, expire_date__gt=timezone.now()).order_by("-seen_at")


@transaction.atomic
def end_session(user: User, handle: str, *, by: User) -> None:
    """Sign out one browser of the user. Raises `NotThere`."""
    session = next((each for each in sessions(user) if each.handle == handle), None)
    if session is None:
        raise NotThere("That session has ended already.")
    session.delete()
    events.record("account.session_ended", subject=user.subject, by=by.username, before=session.sign_in)


@transaction.atomic
def end_sessions(user: User, *, but: str | None = None, by: str) -> int:
    """Sign out all browsers of the user, except the one with the session key `but`; how many those were."""
    ended, _ = Session.objects.filter(user=user).exclude(session_key=but).delete()
    events.record("account.sessions_ended", subject=user.subject, by=by, ended=ended)
    return ended


@transaction.atomic
def forget_factors(user: User) -> list[str]:
    """Remove all second factors and passkeys of somebody who has lost them; which kinds those were."""
    found = Authenticator.objects.filter(user=user)
    kinds = sorted(found.values_list("type", flat=True))
    found.delete()
    return kinds
