"""A company's OpenID Connect: who of its people may come in, and which of its groups stand for ours."""

from typing import Any

from allauth.socialaccount.models import SocialLogin
from django.conf import settings
from django.contrib.auth.models import Group
from django.db import transaction

from events import actions as events
from projects.models import User

CONNECT = "connect"
VERIFIED = (True, "true")  # some providers say it in words; "false" is one as well


def refusal(login: SocialLogin) -> str:
    """Why the company's person may not come in, or connect; empty if they may."""
    told = claims(login.account.extra_data)
    if sentence := _of_domain(str(told.get("email", "")), told.get("email_verified") in VERIFIED):
        return sentence
    if login.is_existing or login.state.get("process") == CONNECT:
        return ""
    if not settings.OIDC_SIGN_UP:
        return (
            f"Nobody here is connected to that account of {settings.OIDC_NAME}. Sign in another way and connect it on "
            "your account's page, or ask for an invitation."
        )
    if told.get("email") and User.objects.filter(email__iexact=told["email"]).exists():
        return (
            "Somebody here has that e-mail address already. If it is you, sign in another way and connect "
            f"{settings.OIDC_NAME} on your account's page."
        )
    return ""


def claims(told: dict[str, Any]) -> dict[str, Any]:
    """What the provider says of the person, in the ID token and at its userinfo endpoint."""
    return {**told.get("id_token", {}), **told.get("userinfo", {})}


@transaction.atomic
def take_groups(user: User, told: dict[str, Any]) -> None:
    """Put the user into the groups that the claim stands for, and out of those that it could stand for and does not."""
    if not settings.OIDC_GROUPS_CLAIM:
        return
    said = claims(told).get(settings.OIDC_GROUPS_CLAIM) or []
    wanted = {settings.OIDC_GROUPS[name] for name in _list(said) if name in settings.OIDC_GROUPS}
    before = set(user.groups.values_list("name", flat=True))
    after = (before - set(settings.OIDC_GROUPS.values())) | wanted
    if before == after:
        return
    user.groups.remove(*Group.objects.filter(name__in=before - after))
    user.groups.add(*(Group.objects.get_or_create(name=name)[0] for name in sorted(after - before)))
    events.record(
        "account.groups_changed",
        subject=user.subject,
        by=user.username,
        before=sorted(before),
        after=sorted(after),
    )


def _list(said: Any) -> list[str]:
    return [said] if isinstance(said, str) else [str(name) for name in said]


def _of_domain(email: str, verified: bool) -> str:
    allowed = settings.OIDC_ALLOWED_DOMAINS
    if not allowed or (verified and email.rpartition("@")[2].lower() in allowed):
        return ""
    return f"Only people with a confirmed e-mail address of {' or '.join(allowed)} may come in this way."
