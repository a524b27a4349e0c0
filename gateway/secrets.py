"""Encryption of what the database keeps for the gateway: Fernet, under keys derived from SECRET_KEY.

Who can read SECRET_KEY can read everything sealed here; a copy of the database alone tells nothing.
"""

from base64 import urlsafe_b64encode
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from events.keys import derived


class Unreadable(Exception):
    """Sealed under a SECRET_KEY that is not known here any more, or damaged."""


def seal(purpose: str, content: bytes) -> bytes:
    """Encrypt `content`; what is sealed for one purpose cannot be opened for another."""
    return _fernet(purpose).encrypt(content)


def unseal(purpose: str, sealed: bytes) -> bytes:
    """The content again. Raises `Unreadable`."""
    try:
        return _fernet(purpose).decrypt(sealed)
    except InvalidToken:
        raise Unreadable(
            "It was sealed under another SECRET_KEY; add that one to SECRET_KEY_FALLBACKS."
        ) from None


def resealed(purpose: str, sealed: bytes) -> bytes | None:
    """The same content under the newest key; None where it is under that one already. Raises `Unreadable`."""
    try:
        _derived(purpose, (settings.SECRET_KEY,)).decrypt(sealed)
    except InvalidToken:
        return seal(purpose, unseal(purpose, sealed))
    return None


def _fernet(purpose: str) -> MultiFernet:
    return _derived(purpose, (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=32)
def _derived(purpose: str, keys: tuple[str, ...]) -> MultiFernet:
    """The first key seals, all of them open."""
    return MultiFernet([Fernet(urlsafe_b64encode(derived(purpose, key))) for key in keys])
