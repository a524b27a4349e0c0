"""Who may answer a call, and in which order they are asked."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from math import log

from gateway.upstreams import registry
from gateway.upstreams.registry import Target


@dataclass(frozen=True, slots=True)
class Offers:
    """The targets that may serve a model, in the order to try them."""

    targets: list[Target]
    offline: bool  # no upstream was ever configured: the offline model answers

    @property
    def free(self) -> bool:
        """Whoever of them answers, it costs no money."""
        return bool(self.targets) and all(target.free for target in self.targets)


def offers(dialect: str, model: str, *, whose: str = "") -> Offers:
    """Who may answer calls to `model` in this dialect. In a thread: the rows may have to be read again."""
    registry.refresh()
    return known_offers(dialect, model, whose=whose)


def known_offers(dialect: str, model: str, *, whose: str = "") -> Offers:
    """The same from memory, for the event loop."""
    able = [target for target in registry.targets() if target.serves(dialect, model)]
    return Offers(in_order(able, whose), offline=registry.offline())


def in_order(targets: Iterable[Target], whose: str) -> list[Target]:
    """By priority; within one, by a draw in which each target's chance is its share.

    `whose` (a machine's id) draws always the same: providers cache prompts per account, so a machine that changed its
    key with every call would pay for its whole conversation again and again. It is rendezvous hashing with weights:
    without its first target a machine goes to its second, and all others stay where they are.
    """
    return sorted(targets, key=lambda target: (target.priority, -_score(target, whose)))


def _score(target: Target, whose: str) -> float:
    digest = blake2b(f"{whose}\0{target.identity}".encode(), digest_size=8).digest()
    # 52 bits and a half: between 0 and 1, and never either.
    drawn = ((int.from_bytes(digest, "big") >> 12) + 0.5) / 2**52
    return -target.share / log(drawn)
