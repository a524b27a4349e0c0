"""Who is at work on an account: for what Django reports without saying who did it."""

from allauth.core import context

from events.actions import SYSTEM
from projects.models import User


def acting(user: User) -> str:
    """Who is signed in; on the way in, that is `user`; on the command line, the system."""
    if not context.request:
        return SYSTEM
    return str((context.request.user if context.request.user.is_authenticated else user).get_username())
