"""The servers that answer model calls: which there are, who may answer what, and how they are asked."""

from gateway.upstreams import catalog, health, refusals, registry, transport
from gateway.upstreams.choice import Offers, known_offers, offers
from gateway.upstreams.registry import Target

__all__ = ["Offers", "Target", "close", "known_offers", "nobody_answers", "offers"]


def nobody_answers() -> bool:
    """There is no upstream at all: the offline model answers. The rows may have to be read again."""
    registry.refresh()
    return not registry.targets()


async def close() -> None:
    """Close what this event loop opened, and know nothing any more."""
    await refusals.stop()
    await transport.close()
    registry.reset()
    health.reset()
    catalog.reset()
