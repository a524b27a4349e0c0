"""Which browser an attempt to sign in comes from: a stranger's failures must not lock out whom the name belongs to.

A device cookie (OWASP, "Slow Down Online Guessing Attacks with Device Cookies"): a browser that has signed in under a
name has attempts of its own for it. allauth does the counting (ACCOUNT_RATE_LIMITS).
"""

import secrets

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

COOKIE = "browser"
MAX_AGE = 365 * 24 * 3600


def known_browser(request: HttpRequest, username: str) -> str:
    """The browser's own name, if it has signed in as `username` before; else empty, as for all strangers."""
    try:
        told = signing.loads(request.COOKIES.get(COOKIE, ""), salt=COOKIE, max_age=MAX_AGE)
    except signing.BadSignature:
        return ""
    return str(told.get(username.lower(), ""))


def remember_browser(request: HttpRequest, response: HttpResponse, username: str) -> None:
    """From now on this browser is known for `username`, and for who signed in from it before."""
    try:
        told = signing.loads(request.COOKIES.get(COOKIE, ""), salt=COOKIE, max_age=MAX_AGE)
    except signing.BadSignature:
        told = {}
    told = dict([*told.items(), (username.lower(), secrets.token_urlsafe(9))][-5:])
    response.set_cookie(
        COOKIE,
        signing.dumps(told, salt=COOKIE),
        max_age=MAX_AGE,
        path="/",
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
