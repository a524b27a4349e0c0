"""What operators do with upstreams and their keys. Secrets go in here, and come out nowhere but in requests."""

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import transaction

from events import actions as events
from gateway import secrets
from gateway.models import Upstream, UpstreamKey
from gateway.upstreams import outgoing, registry
from projects.errors import Conflict, Invalid, NotThere

_PORTS = {"http": 80, "https": 443}


def find(name: str) -> Upstream:
    """Raises `NotThere`."""
    try:
        return Upstream.objects.prefetch_related("keys").get(name=name)
    except Upstream.DoesNotExist:
        raise NotThere(f"There is no upstream {name}. Those of the environment are changed there.") from None


@transaction.atomic
def add(*, by: str, name: str, **fields: Any) -> Upstream:
    """A new upstream, without keys yet. Raises `Conflict` or `Invalid`."""
    if Upstream.objects.filter(name=name).exists():
        raise Conflict(f"There is an upstream {name} already.")
    upstream = Upstream(name=name, **fields)
    _save(upstream)
    told("upstream.added", upstream, by=by, base_url=upstream.base_url)
    return upstream


@transaction.atomic
def change(upstream: Upstream, *, by: str, **fields: Any) -> Upstream:
    """Set some fields. Raises `Invalid`."""
    before = {name: getattr(upstream, name) for name in fields}
    for name, value in fields.items():
        setattr(upstream, name, value)
    _save(upstream)
    told("upstream.changed", upstream, by=by, before=before, **fields)
    return upstream


@transaction.atomic
def remove(upstream: Upstream, *, by: str) -> None:
    """With its keys. Calls under way go on."""
    told("upstream.removed", upstream, by=by)
    upstream.delete()


@transaction.atomic
def set_key(upstream: Upstream, label: str, *, by: str, secret: str = "", **fields: Any) -> UpstreamKey:
    """Add a key, or change it; without a `secret` it keeps the one it has. Raises `Invalid`."""
    known = upstream.keys.filter(label=label).first()
    key = known or UpstreamKey(upstream=upstream, label=label)
    before = {name: getattr(key, name) for name in fields} if known else {}
    for name, value in fields.items():
        setattr(key, name, value)
    put_secret(key, secret)
    _save(key)
    told("upstream.key_set", upstream, by=by, before=before, key=label, secret_changed=bool(secret), **fields)
    return key


@transaction.atomic
def remove_key(upstream: Upstream, label: str, *, by: str) -> None:
    """Raises `NotThere`."""
    if not upstream.keys.filter(label=label).delete()[0]:
        raise NotThere(f"The upstream {upstream} has no key {label}.")
    told("upstream.key_removed", upstream, by=by, key=label)


def put_secret(key: UpstreamKey, secret: str) -> None:
    """A new secret is a new beginning; "" leaves the old one. Raises `Invalid` where there is none then."""
    if secret:
        if not secret.isascii() or not secret.isprintable() or " " in secret:
            raise Invalid("A key is printable ASCII without spaces: it is sent in an HTTP header.")
        key.sealed = secrets.seal(registry.SECRETS, secret.encode())
        key.refused_at = key.cooled_until = None
        key.last_error = ""
    elif not key.sealed:
        raise Invalid(f"The key {key.label} needs a secret.")


def require_address(base_url: str) -> None:
    """Refuses at once what could never be connected to; a name is looked up when it is. Raises `Invalid`."""
    parts = urlsplit(base_url)
    if parts.username or parts.password:
        raise Invalid("base_url: a key is added as a key of the upstream, and not written into its address.")
    try:
        outgoing.require(ipaddress.ip_address(parts.hostname or ""), parts.port or _PORTS[parts.scheme])
    except ValueError:  # a name
        return
    except outgoing.Forbidden as error:
        raise Invalid(f"base_url: {error.strerror}.") from None


def told(kind: str, upstream: Upstream, *, by: str, **data: Any) -> None:
    """Record it, and have this process see it at once; others do in two seconds."""
    events.record(kind, subject=f"upstream:{upstream.name}", by=by, **data)
    transaction.on_commit(registry.forget)


def _save(row: Upstream | UpstreamKey) -> None:
    try:
        row.full_clean()
    except ValidationError as error:
        fields = error.message_dict.items()
        raise Invalid(" ".join(f"{name}: {' '.join(said)}" for name, said in fields)) from None
    if isinstance(row, Upstream):
        require_address(row.base_url)
    row.save()
