"""Sessions, with whose they are: Django's own hold that in their sealed data only, and nobody could list theirs."""

import hashlib
from typing import Any, ClassVar

from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.base_session import AbstractBaseSession, BaseSessionManager
from django.db import models
from django.utils import timezone

from projects.models import User

SIGN_IN = "sign_in"  # in the session's data: {"at", "address", "agent", "how"}, written once


class Session(AbstractBaseSession):
    """A browser that is signed in, or on the way to."""

    user = models.ForeignKey(User, models.CASCADE, null=True, related_name="sessions")
    seen_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[BaseSessionManager[Any]] = BaseSessionManager()

    @classmethod
    def get_session_store_class(cls) -> type[SessionBase]:
        from accounts.sessions import SessionStore

        return SessionStore

    @property
    def handle(self) -> str:
        """What pages call it: its key would let anybody in who reads it there."""
        return hashlib.sha256(self.session_key.encode()).hexdigest()[:16]

    @property
    def sign_in(self) -> dict[str, Any]:
        """When, from where and how its user signed in; empty where no sign-in page was used."""
        return dict(self.get_decoded().get(SIGN_IN, {}))
