"""Who is calling the API: `Authorization: Bearer eyJ…`, a JSON Web Token that was had for an API token."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from projects import jwts
from projects.authentication import bearer, in_use
from projects.models import ApiToken, User


class JwtAuthentication(BaseAuthentication):
    """Access tokens. Each is looked up, so that what is revoked ends at once."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        text = bearer(request)
        if text is None or not jwts.looks_like_one(text):
            return None
        return self.by_key(text, request.META.get("REMOTE_ADDR"))

    def by_key(self, text: str, address: str | None) -> tuple[User, ApiToken]:
        """The API token's user, within its bounds. Raises `AuthenticationFailed`."""
        try:
            return in_use(jwts.token_of(text), address)
        except jwts.Dead as dead:
            raise AuthenticationFailed(str(dead)) from None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class JwtScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema tells of it. drf-spectacular finds it by itself, once it is imported."""

    target_class = JwtAuthentication
    name = "jwt"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
