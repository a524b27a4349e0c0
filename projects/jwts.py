"""JSON Web Tokens for services: had for an API token, refreshed, revoked. They can do what that token can, no longer.

An access token is good for minutes, a refresh token once. Using one twice says that somebody else has it, and ends the
whole family. Signatures are HMAC-SHA256 under a key derived from SECRET_KEY (RFC 7519, RFC 5869); nothing that could be
used is in the database.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import jwt
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from events import actions as events
from events.keys import derived
from projects.errors import Refusal
from projects.models import ApiToken, JwtFamily

ACCESS = timedelta(minutes=5)
REFRESH = timedelta(days=7)
ALGORITHM = "HS256"
ISSUER = "autovibe"
CLAIMS = ("exp", "iat", "jti", "sub", "use")
DEAD = "This token has expired, was revoked, or is none of ours. Exchange the API token again."


class Dead(Refusal):
    """No token of ours that is good now."""

    status = 401
    type = "unauthenticated"


class Reused(Refusal):
    """A refresh token that had been used before."""

    status = 401
    type = "refresh-token-reused"


@dataclass(frozen=True)
class Pair:
    """Two signed tokens, and when they end."""

    access: str
    refresh: str
    access_expires_at: datetime
    refresh_expires_at: datetime


@transaction.atomic
def exchange(token: ApiToken, *, by: str) -> Pair:
    """The first pair of a new family. `by` is who asks, for the record. Families that have expired are forgotten."""
    token.jwt_families.filter(expires_at__lt=timezone.now()).delete()
    family = JwtFamily(token=token, refresh_id=uuid.uuid4(), expires_at=_until(token, REFRESH))
    family.save(force_insert=True)
    _record("jwt.exchanged", family, by=by)
    return _signed(family)


def refresh(text: str) -> Pair:
    """The next pair. Raises `Dead`, and `Reused` once the family has been ended for it."""
    claims = _read(text, "refresh")
    pair = _next(claims)
    if pair is None:
        raise Reused("This refresh token had been used already: all tokens of its family have been revoked.")
    return pair


@transaction.atomic
def _next(claims: dict[str, Any]) -> Pair | None:
    """None for a token that was used before; that its family ends has to be committed, so it is no exception."""
    family = _family(claims, lock=True)
    if str(family.refresh_id) != claims["jti"]:
        _end(family, "jwt.reused", by=family.token.user.username)
        return None
    family.refresh_id, family.expires_at = uuid.uuid4(), _until(family.token, REFRESH)
    family.save(update_fields=["refresh_id", "expires_at"])
    return _signed(family)


@transaction.atomic
def revoke(text: str) -> None:
    """End the family of an access or refresh token. Raises `Dead` where there is nothing to end."""
    family = _family(_read(text, "access", "refresh"), lock=True)
    _end(family, "jwt.revoked", by=family.token.user.username)


def token_of(text: str) -> ApiToken:
    """The API token that an access token stands for, and its user. Raises `Dead`."""
    return _family(_read(text, "access")).token


def looks_like_one(text: str) -> bool:
    """Whether that can be nothing else: the header of a JWT is JSON in base64."""
    return text.startswith("eyJ")


def _read(text: str, *uses: str) -> dict[str, Any]:
    for key in _keys((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)):
        try:
            claims = jwt.decode(text, key, [ALGORITHM], issuer=ISSUER, options={"require": list(CLAIMS)})
        except jwt.InvalidSignatureError:
            continue
        except jwt.InvalidTokenError:
            break
        if claims["use"] in uses:
            return claims
        break
    raise Dead(DEAD)


def _family(claims: dict[str, Any], *, lock: bool = False) -> JwtFamily:
    found = JwtFamily.objects.alive().select_related("token__user")
    if lock:
        found = found.select_for_update(of=("self",))
    family = found.filter(pk=claims["sub"]).first()
    if family is None:
        raise Dead(DEAD)
    return family


def _signed(family: JwtFamily) -> Pair:
    access_ends = _until(family.token, ACCESS)
    return Pair(
        access=_sign("access", family, uuid.uuid4(), access_ends),
        refresh=_sign("refresh", family, family.refresh_id, family.expires_at),
        access_expires_at=access_ends,
        refresh_expires_at=family.expires_at,
    )


def _sign(use: str, family: JwtFamily, number: uuid.UUID, expires_at: datetime) -> str:
    claims = {
        "iss": ISSUER,
        "sub": str(family.pk),
        "jti": str(number),
        "use": use,
        "iat": timezone.now(),
        "exp": expires_at,
    }
    return jwt.encode(claims, _keys((settings.SECRET_KEY,))[0], ALGORITHM)


def _until(token: ApiToken, life: timedelta) -> datetime:
    """No token outlives the API token that it stands for."""
    ends = timezone.now() + life
    return min(ends, token.expires_at) if token.expires_at else ends


@lru_cache(maxsize=8)
def _keys(secrets: tuple[str, ...]) -> list[bytes]:
    """The first signs, all of them verify."""
    return [derived("jwt", secret) for secret in secrets]


def _end(family: JwtFamily, kind: str, *, by: str) -> None:
    family.revoked_at = timezone.now()
    family.save(update_fields=["revoked_at"])
    _record(kind, family, by=by)


def _record(kind: str, family: JwtFamily, *, by: str) -> None:
    token = family.token
    events.record(
        kind,
        subject=token.user.subject,
        project_id=token.project_id,
        by=by,
        family=str(family.pk),
        name=token.name,
        prefix=token.prefix,
    )
