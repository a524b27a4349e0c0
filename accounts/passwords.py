"""Changes of passwords, wherever they are made: on a page, in the admin, or by `manage.py changepassword`."""

from typing import Any

from allauth.core import context

from accounts.models import Session
from accounts.principals import acting
from events import actions as events
from projects.models import User


class Watch:
    """A password validator that refuses none. Django tells validators of every password that was saved."""

    def validate(self, password: str, user: Any = None) -> None:
        pass

    def get_help_text(self) -> str:
        return ""

    def password_changed(self, password: str, user: User) -> None:
        """Whoever used the old one in another browser is out."""
        here = context.request.session.session_key if context.request else None
        ended, _ = Session.objects.filter(user=user).exclude(session_key=here).delete()
        events.record("account.password_changed", subject=user.subject, by=acting(user), sessions_ended=ended)
