"""Whose socket it is: they may be signed out, or lose rights, while it is open."""

from typing import Any

from channels.auth import get_user
from django.contrib.auth.models import AnonymousUser

from accounts.sessions import SessionStore
from projects.models import User


async def signed_in(scope: dict[str, Any]) -> User | AnonymousUser:
    """As they are now, not as they were at the handshake; nobody once they are inactive or their session has ended."""
    found: User | AnonymousUser = await get_user({"session": SessionStore(scope["session"].session_key)})
    return found
