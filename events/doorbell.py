"""Ring at open pages: something they show has changed. They read it again over HTTP, as themselves."""

from collections.abc import Iterable
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction

from events.layer import NotifyLayer, notify


def ring(groups: Iterable[str], message: dict[str, Any]) -> None:
    """Deliver `{"type": "doorbell", **message}` to `groups` when the caller's transaction commits, or never.

    Put ids into `message`, not contents. Raises ValueError when it is too long for a notification.
    """
    layer, names, rung = get_channel_layer(), list(groups), {"type": "doorbell", **message}
    if isinstance(layer, NotifyLayer):
        notify(rung, groups=names)
    else:
        transaction.on_commit(lambda: _send(layer, names, rung), robust=True)


def _send(layer: Any, groups: list[str], message: dict[str, Any]) -> None:
    for group in groups:
        async_to_sync(layer.group_send)(group, message)
