"""What is recorded of signing in: no passwords, codes or keys, and of a name that nobody has its beginning only."""

from typing import Any

from allauth.account import signals as account
from allauth.account.internal.flows.login import get_authentication_records
from allauth.mfa import signals as mfa
from allauth.mfa.models import Authenticator
from allauth.socialaccount import signals as social
from allauth.socialaccount.models import SocialLogin
from django.contrib.auth.signals import user_logged_out
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from accounts import oidc
from accounts.models import SIGN_IN
from accounts.principals import acting
from events import actions as events
from events import context
from projects.models import User

STRANGER = "nobody"
UNKNOWN_NAME_MAX = 3  # people type passwords into the wrong field
AGENT_MAX = 200


@receiver(account.user_logged_in)
def _signed_in(request: HttpRequest, user: User, sociallogin: SocialLogin | None = None, **_: Any) -> None:
    how = _ways(request, user)
    request.session[SIGN_IN] = {
        "at": timezone.now().isoformat(),
        "address": context.current().address or request.META.get("REMOTE_ADDR", ""),
        "agent": request.headers.get("User-Agent", "")[:AGENT_MAX],
        "how": how,
    }
    _record("account.signed_in", user, how=how)
    if sociallogin:
        oidc.take_groups(user, sociallogin.account.extra_data)


@receiver(account.user_signed_up)
def _signed_up(user: User, **_: Any) -> None:
    _record("account.created", user, username=user.username, email=user.email)


@receiver(user_logged_out)
def _signed_out(user: User | None, **_: Any) -> None:
    if user:
        _record("account.signed_out", user)


# Those of the rows, because allauth reports only after the commit, and not what commands and the admin do.
@receiver(post_save, sender=Authenticator)
def _factor_added(instance: Authenticator, created: bool, **_: Any) -> None:
    if created:
        _record_change("account.factor_added", instance)


@receiver(post_delete, sender=Authenticator)
def _factor_removed(instance: Authenticator, **_: Any) -> None:
    _record_change("account.factor_removed", instance)


@receiver(mfa.authentication_failed)
def _factor_failed(user: User, authenticator: Authenticator, **_: Any) -> None:
    _record("account.factor_failed", user, **_factor(authenticator))


@receiver(social.social_account_added)
def _connected(request: HttpRequest, sociallogin: SocialLogin, **_: Any) -> None:
    _record("account.connected", sociallogin.user, uid=sociallogin.account.uid)


@receiver(social.social_account_removed)
def _disconnected(socialaccount: Any, **_: Any) -> None:
    _record("account.disconnected", socialaccount.user, uid=socialaccount.uid)


def record_failure(username: str) -> None:
    """An attempt with a wrong password, or a name that nobody has."""
    user = User.objects.filter(username=username).first()
    subject = user.subject if user else "user:unknown"
    name = username if user else f"{username[:UNKNOWN_NAME_MAX]}…"
    events.record("account.sign_in_failed", subject=subject, by=STRANGER, name=name)


def record_refusal(login: SocialLogin, why: str) -> None:
    """Somebody of the company came who may not come in."""
    user = login.user if login.is_existing else None
    subject = user.subject if user else "user:unknown"
    events.record("account.sign_in_refused", subject=subject, by=STRANGER, uid=login.account.uid, why=why)


def _record(kind: str, user: User, **data: Any) -> None:
    events.record(kind, subject=user.subject, by=user.get_username(), **data)


def _record_change(kind: str, authenticator: Authenticator) -> None:
    user: User = authenticator.user
    events.record(kind, subject=user.subject, by=acting(user), **_factor(authenticator))


def _factor(authenticator: Authenticator) -> dict[str, Any]:
    return {"factor": authenticator.type, "name": authenticator.data.get("name", "")}


def _ways(request: HttpRequest, user: User) -> list[str]:
    """How somebody showed who they are, step by step: ["password", "totp"]."""
    records = get_authentication_records(request, user)
    return [
        str(record.get("type") or record["method"]) for record in records if not record.get("reauthenticated")
    ]
