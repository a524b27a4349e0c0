"""What administrators may do to accounts of others: keep them out, let them in again, end what they have open."""

from django.db import transaction

from accounts import actions
from events import actions as events
from projects import tokens
from projects.errors import Conflict, Forbidden
from projects.models import User


@transaction.atomic
def deactivate(user: User, *, by: User) -> None:
    """Keep somebody out: sessions end, and tokens are revoked for good. Raises `Conflict` for oneself, `Forbidden`."""
    if user.pk == by.pk:
        raise Conflict("You would lock yourself out.")
    require_above(user, by)
    if not User.objects.filter(pk=user.pk, is_active=True).update(is_active=False):
        return
    actions.end_sessions(user, by=by.username)
    for token in user.api_tokens.filter(revoked_at=None):
        tokens.revoke(token, by=by)
    events.record("account.deactivated", subject=user.subject, by=by.username)
    events.ring("member.removed", subject=user.subject)


@transaction.atomic
def activate(user: User, *, by: User) -> None:
    """Let somebody sign in again. Tokens that were revoked stay so. Raises `Forbidden`."""
    require_above(user, by)
    if User.objects.filter(pk=user.pk, is_active=False).update(is_active=True):
        events.record("account.activated", subject=user.subject, by=by.username)


def sign_out(user: User, *, by: User) -> None:
    """End all sessions of somebody. Raises `Forbidden`."""
    require_above(user, by)
    actions.end_sessions(user, by=by.username)


@transaction.atomic
def forget_factors(user: User, *, by: User) -> None:
    """Remove second factors and passkeys of somebody who has lost them. Raises `Forbidden`."""
    require_above(user, by)
    kinds = actions.forget_factors(user)
    events.record("account.factors_forgotten", subject=user.subject, by=by.username, before=kinds)


def require_above(user: User, by: User) -> None:
    """Administrators do it to those who do not administer, superusers to everybody. Raises `Forbidden`."""
    theirs = User.objects.get(pk=user.pk)  # without the bounds of a token
    above = by.administers and (by.is_superuser or not (theirs.is_staff or theirs.is_superuser))
    if not above and user.pk != by.pk:
        raise Forbidden("Only a superuser may do that to somebody who administers.")
