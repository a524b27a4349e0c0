"""What one's account page shows: how one signs in, and where one is signed in."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.utils.dateparse import parse_datetime

from accounts import actions, requirement
from accounts.models import Session
from projects.models import User

# What a browser's User-Agent holds, most telling first: nearly all of them claim to be Safari.
BROWSERS = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari"}
SYSTEMS = {
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
}
WAYS = {
    "password": "password",
    "totp": "authenticator app",
    "recovery_codes": "recovery code",
    "webauthn": "passkey",
    "invitation": "invitation",
}


@dataclass(frozen=True)
class Row:
    """One browser that is signed in."""

    handle: str
    here: bool
    device: str
    how: str
    address: str
    since: datetime | None
    seen_at: datetime


def view(user: User, session_key: str | None) -> dict[str, Any]:
    """For the user that sees it in the session with that key."""
    factors = list(Authenticator.objects.filter(user=user).order_by("created_at"))
    codes = next((each for each in factors if each.type == Authenticator.Type.RECOVERY_CODES), None)
    return {
        "app": next((each for each in factors if each.type == Authenticator.Type.TOTP), None),
        "passkeys": [each for each in factors if each.type == Authenticator.Type.WEBAUTHN],
        "codes": codes,
        "codes_left": len(codes.wrap().get_unused_codes()) if codes else 0,
        "missing": requirement.is_missing(user),
        "sessions": [_row(each, session_key) for each in actions.sessions(user)],
        "company": settings.OIDC_NAME if settings.OIDC_ISSUER else "",
        "connected": SocialAccount.objects.filter(user=user),
    }


def device(agent: str) -> str:
    """A User-Agent in two words: “Firefox on Linux”."""
    browser = next((name for mark, name in BROWSERS.items() if mark in agent), "Some browser")
    system = next((name for mark, name in SYSTEMS.items() if mark in agent), "")
    return f"{browser} on {system}" if system else browser


def _row(session: Session, session_key: str | None) -> Row:
    told = session.sign_in
    return Row(
        handle=session.handle,
        here=session.session_key == session_key,
        device=device(told.get("agent", "")),
        how=", ".join(WAYS.get(way, settings.OIDC_NAME) for way in told.get("how", [])),
        address=told.get("address", ""),
        since=parse_datetime(told["at"]) if "at" in told else None,
        seen_at=session.seen_at,
    )
