"""Signed heads: that the chain was so long, and ended so, at a time. Kept in the database and in a file outside of it.

With everything in the database removed, the file still says how much there was.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from events.chain import keys
from events.models import Head, Link

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Signed:
    """A head as it is kept and printed."""

    position: int
    digest: str
    signed_at: str  # "2031-05-06T12:00:00Z"
    key: str
    signature: str

    @property
    def is_authentic(self) -> bool:
        """Whether the signature is that of `key`; whose key that is, others know."""
        message = _message(self.position, self.digest, self.signed_at)
        return keys.is_signed(message, key=self.key, signature=self.signature)

    @property
    def line(self) -> str:
        return json.dumps(asdict(self))


class Unreadable(Exception):
    """A file of heads is not there, or holds something else."""


def mind() -> bool:
    """Sign the head of the chain if it has moved; whether it had. The hub's, each minute."""
    last, signed = Link.objects.last(), Head.objects.last()
    if signed and _is_gone(signed):
        logger.error(
            "The chain of events holds no more what was signed at %s, position %d: run manage.py audit verify.",
            signed.signed_at.isoformat(),
            signed.position,
        )
    if last is None or (signed and signed.position == last.position):
        return False
    head = make(last)
    with transaction.atomic():
        Head.objects.create(**asdict(head))
    _keep(head)
    logger.info("Audit head: %s", head.line)
    return True


def make(link: Link) -> Signed:
    """A head, signed now."""
    signed_at = _written(timezone.now())
    key, signature = keys.sign(_message(link.position, link.digest, signed_at))
    return Signed(link.position, link.digest, signed_at, key, signature)


def kept() -> Iterator[Signed]:
    """Those in the database, in the order they were signed."""
    for row in Head.objects.iterator():
        yield Signed(row.position, row.digest, _written(row.signed_at), row.key, row.signature)


def of_file(path: Path) -> Iterator[Signed]:
    """Those in a file, line by line. Raises `Unreadable`."""
    try:
        with path.open() as lines:
            for number, line in enumerate(lines, start=1):
                yield _read(line, f"{path}, line {number}")
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}.") from None


def _read(line: str, where: str) -> Signed:
    try:
        found = Signed(**json.loads(line))
    except (ValueError, TypeError):
        raise Unreadable(f"{where} is no signed head.") from None
    if not isinstance(found.position, int) or not isinstance(found.digest, str):
        raise Unreadable(f"{where} is no signed head.")
    return found


def _keep(head: Signed) -> None:
    """Append it to the file; a disk that is full or away must not keep the hub from its work."""
    try:
        path = Path(settings.AUDIT_HEADS)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as lines:
            lines.write(f"{head.line}\n")
    except OSError as error:
        logger.error("The audit head could not be written to %s: %s", settings.AUDIT_HEADS, error)


def _is_gone(signed: Head) -> bool:
    return not Link.objects.filter(position=signed.position, digest=signed.digest).exists()


def _written(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _message(position: int, digest: str, signed_at: str) -> bytes:
    return f"autovibe audit head\n{position}\n{digest}\n{signed_at}\n".encode()
