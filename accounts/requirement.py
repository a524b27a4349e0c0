"""`REQUIRE_MFA`: who may go no further than their account's page before they have a second factor."""

from collections.abc import Awaitable, Callable
from typing import Any

from allauth.mfa.models import Authenticator
from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect

from projects.models import User

ALLOWED = ("/account/", "/sign-out/", "/static/", "/healthz", "/wall/")  # a wall's address is its own key
SECOND_FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
SENTENCE = "A second factor is required here. Set one up on your account's page first."

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


def is_required_of(user: User | AnonymousUser) -> bool:
    """Whether such a user needs a second factor."""
    if settings.REQUIRE_MFA == "nobody" or not isinstance(user, User):
        return False
    return settings.REQUIRE_MFA == "all" or user.administers


def is_missing(user: User | AnonymousUser) -> bool:
    """Whether one is required of `user` that was not set up yet."""
    if not is_required_of(user):
        return False
    return not Authenticator.objects.filter(user_id=user.pk, type__in=SECOND_FACTORS).exists()


class SecondFactorMiddleware:
    """Sends whoever lacks it to their account's page, which says why. API tokens are not asked."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(ALLOWED) or not is_missing(_user(request)):
            return self._get_response(request)
        if request.path.startswith("/api/"):
            problem = {"type": "urn:autovibe:second-factor-required", "title": "Forbidden", "status": 403}
            problem |= {"detail": SENTENCE, "request_id": getattr(request, "request_id", None)}
            return JsonResponse(problem, status=403, content_type="application/problem+json")
        return HttpResponse(status=401) if "HX-Request" in request.headers else redirect("dashboard:account")


class SecondFactorSockets:
    """The same for WebSockets: to them, whoever lacks it is a stranger."""

    def __init__(self, inner: Application) -> None:
        self._inner = inner

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if await database_sync_to_async(is_missing)(_settled(scope["user"])):
            scope = {**scope, "user": AnonymousUser()}
        await self._inner(scope, receive, send)


def _user(request: HttpRequest) -> User | AnonymousUser:
    """Without a query where nobody needs a second factor anyway."""
    return AnonymousUser() if settings.REQUIRE_MFA == "nobody" else _settled(request.user)


def _settled(user: Any) -> User | AnonymousUser:
    """What is behind the lazy objects of middleware, for `isinstance`."""
    return user if user.is_authenticated else AnonymousUser()
