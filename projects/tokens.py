"""API tokens: minting, rotating, revoking. How one is recognised is in `authentication`.

Whoever calls with a token sees and makes only such tokens as it covers: no sequence of these acts gives a key that
can do more, or lives longer, than the one that was shown. What ends a token ends those that it minted.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from events import actions as events
from projects.bounds import Bounds
from projects.errors import Conflict, Forbidden, Invalid, NotThere
from projects.models import ApiToken, Project, User
from projects.roles import ADMINISTER, Right

DAYS = 90
GRACE_MINUTES_MAX = 7 * 24 * 60
TOKENS_MAX = 200  # alive, of one user
NO_MORE = "The token in use can make none that can do more, or lives longer, than itself."


@transaction.atomic
def mint(
    *, name: str, scopes: Iterable[str], project: Project | None = None, days: int | None = None, by: User
) -> tuple[ApiToken, str]:
    """A new token of `by`, and its key, which cannot be had again.

    `scopes` are `roles.Right`s, and `ADMINISTER` for administrators; seeing goes with each of them. `project` is the
    only one that it is good for; None: all. Raises `Invalid`, and `Forbidden` for more than `by` can do.
    """
    wanted = {Right.VIEW.value, *scopes}
    _lock(by)
    _check(name, wanted, project, by)
    expires_at = _expiry(days, by.bounds)
    bounds = Bounds(frozenset(wanted), project.pk if project else None, expires_at)
    _require_cover(by, bounds)
    if by.api_tokens.alive().count() >= TOKENS_MAX:
        raise Conflict(f"You have {TOKENS_MAX} API tokens. Revoke some that are not used any more.")
    parent = by.bounds.token_id if by.bounds else None
    return _issue("token.minted", by, name=name.strip(), bounds=bounds, project=project, parent_id=parent)


@transaction.atomic
def rotate(token: ApiToken, *, grace_minutes: int = 0, by: User) -> tuple[ApiToken, str]:
    """The same token with a new key and as long a life; the old key dies after the grace, 0: at once.

    Raises `Conflict` for one that is dead already, and `Forbidden` for one of somebody else.
    """
    if not 0 <= grace_minutes <= GRACE_MINUTES_MAX:
        raise Invalid(f"The old key can live on for 0 to {GRACE_MINUTES_MAX} minutes.")
    if token.user_id != by.pk:
        raise Forbidden("Only whoever a token belongs to can have its new key. You can revoke it.")
    _lock(by)
    old = by.api_tokens.alive().select_related("project").filter(pk=token.pk).first()
    if old is None:
        raise Conflict("This token has expired or was revoked: make a new one.")
    _require_cover(by, old.bounds)
    bounds = Bounds(frozenset(old.scopes), old.project_id, _renewed(old, by.bounds))
    made, key = _issue(
        "token.rotated",
        by,
        name=old.name,
        bounds=bounds,
        project=old.project,
        parent_id=old.parent_id,
        before=old.prefix,
        grace_minutes=grace_minutes,
    )
    _replace(old, made, grace_minutes)
    return made, key


@transaction.atomic
def revoke(token: ApiToken, *, by: User) -> None:
    """End it, and those that it minted. Administrators may end everybody's. Nothing happens to one that is dead."""
    if token.user_id != by.pk and not by.administers:
        raise Forbidden("It is somebody else's token.")
    if not by.administers:
        _require_cover(by, token.bounds)
    _lock(token.user)
    _end([token], by=by)


def end_in(project: Project, user: User, *, by: User) -> None:
    """End the tokens of a user that are for that project alone, in the caller's transaction."""
    _lock(user)
    _end(list(user.api_tokens.alive().filter(project=project)), by=by)


def visible(user: User, *, dead: bool = False) -> QuerySet[ApiToken]:
    """Those of the user that the token in use covers; everybody's for administrators. `dead`: all there ever were."""
    every = ApiToken.objects.all() if dead else ApiToken.objects.alive()
    found = every.select_related("project", "user").order_by("-created_at")
    return found if user.administers else found.filter(_covered(user.bounds), user=user)


def find(number: int, *, by: User) -> ApiToken:
    """The token of that number. Raises `NotThere`."""
    if token := visible(by, dead=True).filter(pk=number).first():
        return token
    raise NotThere(f"There is no API token {number} that you may see.")


def _covered(bounds: Bounds | None) -> Q:
    """`Bounds.covers`, for the database."""
    if bounds is None:
        return Q()
    found = Q(scopes__contained_by=sorted(bounds.rights))
    if bounds.project_id:
        found &= Q(project_id=bounds.project_id)
    if bounds.expires_at:
        found &= Q(expires_at__lte=bounds.expires_at)
    return found


def _lock(user: User) -> None:
    """What is done to somebody's tokens is done one after the other, so that a dying one mints no more."""
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    in_use = user.bounds.token_id if user.bounds else None
    if in_use and not ApiToken.objects.alive().filter(pk=in_use).exists():
        raise Forbidden("The token in use has just ended.")


def _check(name: str, wanted: set[str], project: Project | None, by: User) -> None:
    if by.kind != User.Kind.PERSON:
        raise Forbidden("API tokens are for people; machines have one of their own.")
    if not 0 < len(name.strip()) <= 60:
        raise Invalid("A token needs a name, of at most 60 characters.")
    if unknown := wanted - {*Right, ADMINISTER}:
        known = ", ".join([*Right, ADMINISTER])
        raise Invalid(f"{', '.join(sorted(unknown))}: there is no such scope. There are: {known}.")
    if ADMINISTER in wanted and (project or not by.administers):
        raise Forbidden(
            "Only administrators can let a token administer, and only one that is for all projects."
        )


def _require_cover(by: User, bounds: Bounds) -> None:
    if by.bounds is not None and not by.bounds.covers(bounds):
        raise Forbidden(NO_MORE)


def _expiry(days: int | None, within: Bounds | None) -> datetime:
    """In so many days; if that was not said, as usual, and no later than the token in use."""
    longest: int = settings.TOKEN_DAYS_MAX
    if days is not None and not 1 <= days <= longest:
        raise Invalid(f"A token lives for 1 to {longest} days.")
    expires_at = timezone.now() + timedelta(days=days or min(DAYS, longest))
    if days is None and within is not None and within.expires_at is not None:
        return min(expires_at, within.expires_at)
    return expires_at


def _renewed(old: ApiToken, within: Bounds | None) -> datetime:
    """As long a life again as it had, within what is allowed now."""
    longest = timedelta(days=settings.TOKEN_DAYS_MAX)
    life = min(old.expires_at - old.created_at, longest) if old.expires_at else longest
    latest = within.expires_at if within else None
    return min(timezone.now() + life, latest) if latest else timezone.now() + life


def _issue(
    kind: str,
    by: User,
    *,
    name: str,
    bounds: Bounds,
    project: Project | None,
    parent_id: int | None,
    **more: Any,
) -> tuple[ApiToken, str]:
    parent = ApiToken.objects.get(pk=parent_id) if parent_id else None
    token, key = ApiToken.mint(
        by, name, scopes=bounds.rights, project=project, expires_at=bounds.expires_at, parent=parent
    )
    events.record(
        kind,
        subject=by.subject,
        project_id=bounds.project_id,
        by=by.username,
        name=token.name,
        prefix=token.prefix,
        scopes=token.scopes,
        expires_at=bounds.expires_at,
        **more,
    )
    return token, key


def _replace(old: ApiToken, made: ApiToken, grace_minutes: int) -> None:
    """What the old one minted is the new one's."""
    old.children.update(parent=made)
    dies_at = timezone.now() + timedelta(minutes=grace_minutes)
    if grace_minutes:
        old.expires_at = min(old.expires_at or dies_at, dies_at)
    else:
        old.revoked_at = dies_at
    old.save(update_fields=["expires_at", "revoked_at"])


def _end(tokens: list[ApiToken], *, by: User) -> None:
    """These and all that descend from them; those that are dead already keep the time of their death."""
    while tokens:
        for token in tokens:
            if not ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()):
                continue
            events.record(
                "token.revoked",
                subject=token.user.subject,
                project_id=token.project_id,
                by=by.username,
                name=token.name,
                prefix=token.prefix,
            )
        tokens = list(ApiToken.objects.filter(parent__in=tokens, revoked_at=None).select_related("user"))
