"""The tokens that guests show the gateway: only hashes are kept, and one is alive per machine."""

import secrets

from django.utils import timezone

from machines.models import Machine, MachineToken


def mint(machine: Machine) -> str:
    """A new token for the machine; every earlier one dies."""
    revoke(machine)
    key = f"avm_{secrets.token_urlsafe(32)}"
    MachineToken.objects.create(machine=machine, digest=MachineToken.digest_of(key))
    return key


def fingerprint(key: str) -> str:
    """What may be told of a token: two that differ have different ones."""
    return MachineToken.digest_of(key)[:12]


def revoke(machine: Machine) -> None:
    """Let the machine's tokens die."""
    MachineToken.objects.filter(machine=machine, revoked_at=None).update(revoked_at=timezone.now())


def replays(digest: str) -> bool:
    """Whether the living token of that digest is a replay's."""
    return MachineToken.objects.filter(
        digest=digest, revoked_at=None, machine__replays__isnull=False
    ).exists()


def authenticate(key: str) -> Machine | None:
    """Whose living token this is."""
    alive = MachineToken.objects.filter(digest=MachineToken.digest_of(key), revoked_at=None)
    token = alive.select_related("machine__project", "machine__guest").first()
    return token.machine if token else None
