"""What keeping checkpoints takes: what their files amount to, what of it is kept once, and how small that is then.

Only contents count, in our database. What snapshots take up on a storage, Proxmox does not say.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from checkpoints.models import Checkpoint
from projects.models import Project

# Contents that one checkpoint of a project alone has. Each list, each part, and each content is looked at once.
_OWN = """
WITH listed AS (
    SELECT manifest_id AS digest, count(*) AS checkpoints, min(id::text)::uuid AS checkpoint
    FROM checkpoints_checkpoint WHERE project_id = %(project)s AND manifest_id IS NOT NULL GROUP BY manifest_id
), part AS (
    SELECT p.digest, min(l.digest) AS first, max(l.digest) AS last
    FROM listed l JOIN checkpoints_manifest m USING (digest), unnest(m.parts) AS p(digest) GROUP BY p.digest
), content AS (
    SELECT c.sha256, min(part.first) AS first, max(part.last) AS last
    FROM part JOIN checkpoints_manifestpart m USING (digest), unnest(m.contents) AS c(sha256) GROUP BY c.sha256
)
SELECT l.checkpoint, sum(b.size), sum(octet_length(b.body))
FROM content JOIN listed l ON l.digest = content.first JOIN checkpoints_blob b USING (sha256)
WHERE content.first = content.last AND l.checkpoints = 1 GROUP BY l.checkpoint
"""

_SUMS = """
WITH listed AS (
    SELECT manifest_id AS digest, count(*) AS times FROM checkpoints_checkpoint
    WHERE project_id = %(project)s AND manifest_id IS NOT NULL AND id <> ALL(%(without)s::uuid[])
        AND (%(origin)s = '' OR origin = %(origin)s)
    GROUP BY manifest_id
), part AS (
    SELECT p.digest, sum(l.times) AS times
    FROM listed l JOIN checkpoints_manifest m USING (digest), unnest(m.parts) AS p(digest) GROUP BY p.digest
), content AS (
    SELECT c.sha256, sum(part.times) AS times
    FROM part JOIN checkpoints_manifestpart m USING (digest), unnest(m.contents) AS c(sha256) GROUP BY c.sha256
)
SELECT
    (SELECT coalesce(sum(m.size::numeric * l.times), 0) FROM listed l JOIN checkpoints_manifest m USING (digest)),
    (SELECT coalesce(sum(octet_length(m.body)), 0) FROM part JOIN checkpoints_manifestpart m USING (digest)),
    coalesce(sum(b.size * content.times), 0), coalesce(sum(b.size), 0), coalesce(sum(octet_length(b.body)), 0)
FROM content JOIN checkpoints_blob b USING (sha256)
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """Bytes of a number of checkpoints together."""

    logical_bytes: int  # of all files of all of them, as if each had its own
    lists_bytes: int  # of the lists of files, as they are kept
    held_bytes: int  # of the files whose contents are kept, as if each checkpoint had its own
    unique_bytes: int  # of the same, each content once
    stored_bytes: int  # of the same, compressed

    @property
    def dedup_ratio(self) -> float | None:
        """How many bytes of files one stored byte stands for; None where nothing is stored."""
        return round(self.held_bytes / self.stored_bytes, 2) if self.stored_bytes else None


def of_project(project: Project, *, origin: str = "", without: Collection[UUID] = ()) -> Figures:
    """The project's checkpoints together, or those of one machine (`origin`); as if those `without` were gone."""
    asked: dict[str, Any] = {"project": project.pk, "origin": origin, "without": list(without)}
    with connection.cursor() as cursor:
        cursor.execute(_SUMS, asked)
        return Figures(*map(int, cursor.fetchone()))


def reckon(project: Project) -> int:
    """Note with each checkpoint what it alone has; returns for how many that was news.

    Others of its project count, those of other projects do not: nobody is told what is in them.
    """
    with connection.cursor() as cursor:
        cursor.execute(_OWN, {"project": project.pk})
        own = {key: (int(unique), int(stored)) for key, unique, stored in cursor.fetchall()}
    listed = Checkpoint.objects.filter(project=project).exclude(manifest=None)
    noted = listed.values_list("pk", "unique_bytes", "stored_bytes")
    news = [key for key, *before in noted if tuple(before) != own.get(key, (0, 0))]
    # One by one: rows that others lock at the same time are not waited for with others in hand.
    for key in news:
        unique, stored = own.get(key, (0, 0))
        Checkpoint.objects.filter(pk=key).exclude(manifest=None).update(
            unique_bytes=unique, stored_bytes=stored
        )
    return len(news)
