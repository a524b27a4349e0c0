"""What the token in use allows, of what its owner may do."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from projects.roles import ADMINISTER


@dataclass(frozen=True)
class Bounds:
    """`rights` are `roles.Right`s and maybe `ADMINISTER`; `project_id` is the only project, or None for all.

    `expires_at` is when the token ends, None for never; `token_id` which one it is, None if it is no API token.
    """

    rights: frozenset[str]
    project_id: UUID | None = None
    expires_at: datetime | None = None
    token_id: int | None = None

    @property
    def administers(self) -> bool:
        """The system is more than one project."""
        return ADMINISTER in self.rights and self.project_id is None

    def covers(self, other: "Bounds") -> bool:
        """Whether whoever is within `other` can do nothing, and at no time, that is not allowed here as well."""
        in_time = self.expires_at is None or (
            other.expires_at is not None and other.expires_at <= self.expires_at
        )
        return other.rights <= self.rights and self.project_id in (None, other.project_id) and in_time
