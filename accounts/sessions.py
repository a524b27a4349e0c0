"""Where sessions are kept (`SESSION_ENGINE`): in the database, with their user and when they were last used."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends import db
from django.utils import timezone

if TYPE_CHECKING:
    from accounts.models import Session

# Writing it down at every request would make each read a write.
SEEN_RESOLUTION = timedelta(minutes=1)


class SessionStore(db.SessionStore):
    """Django's database sessions on `accounts.models.Session`."""

    @classmethod
    def get_model_class(cls) -> "type[Session]":
        from accounts.models import Session

        return Session

    def create_model_instance(self, data: dict[str, Any]) -> "Session":
        return _of_its_user(cast("Session", super().create_model_instance(data)), data)

    async def acreate_model_instance(self, data: dict[str, Any]) -> "Session":
        return _of_its_user(cast("Session", await super().acreate_model_instance(data)), data)

    def _get_session_from_db(self) -> "Session | None":
        row: Session | None = super()._get_session_from_db()  # type: ignore[misc]
        if row and _is_stale(row):
            self.model.objects.filter(pk=row.pk).update(seen_at=timezone.now())
        return row

    async def _aget_session_from_db(self) -> "Session | None":
        row: Session | None = await super()._aget_session_from_db()  # type: ignore[misc]
        if row and _is_stale(row):
            await self.model.objects.filter(pk=row.pk).aupdate(seen_at=timezone.now())
        return row


def _of_its_user(row: "Session", data: dict[str, Any]) -> "Session":
    row.user_id = int(data[SESSION_KEY]) if SESSION_KEY in data else None
    return row


def _is_stale(row: "Session") -> bool:
    return timezone.now() - row.seen_at > SEEN_RESOLUTION
