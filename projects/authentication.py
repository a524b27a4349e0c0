"""Who is calling the API: `Authorization: Bearer av_…`."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from events import context
from projects.models import ApiToken, User

# Writing "last used" on every call would make each read a write.
LAST_USED_RESOLUTION = timedelta(minutes=1)
MACHINE = "avm_"  # how the keys of machines begin: see `machines.authentication`


class TokenAuthentication(BaseAuthentication):
    """Named API tokens; only hashes are compared."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        key = bearer(request)
        if key is None or key.startswith(MACHINE):
            return None
        return self.by_key(key, request.META.get("REMOTE_ADDR"))

    def by_key(self, key: str, address: str | None) -> tuple[User, ApiToken]:
        """The token's user, within its bounds. Raises `AuthenticationFailed`."""
        alive = ApiToken.objects.alive().select_related("user")
        token = alive.filter(digest=ApiToken.digest_of(key)).first()
        if token is None:
            raise AuthenticationFailed("This API token is unknown, expired or revoked.")
        return in_use(token, address)

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def bearer(request: Request) -> str | None:
    """The key that is shown: `Authorization: Bearer …`. None where another scheme is used, or none."""
    scheme, _, key = get_authorization_header(request).decode("latin-1").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def in_use(token: ApiToken, address: str | None) -> tuple[User, ApiToken]:
    """Its user, within its bounds; that it was used, and from where, is noted on it and in what it leads to."""
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > LAST_USED_RESOLUTION:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now, last_used_ip=address)
    token.user.bounds = token.bounds
    context.identify(str(token))
    return token.user, token


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema tells of it. drf-spectacular finds it by itself, once it is imported."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}
