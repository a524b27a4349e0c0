"""The keys that heads of the chain are signed with: Ed25519, derived from secrets that the database does not hold."""

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings

from events.keys import derived


def sign(message: bytes) -> tuple[str, str]:
    """The public key and the signature, in hexadecimal. Signed with the first of `AUDIT_KEY`, else `SECRET_KEY`."""
    own = _private(_secrets()[0])
    return _public(own), own.sign(message).hex()


def public() -> list[str]:
    """Our public keys in hexadecimal, the one in use first: what heads may be signed with."""
    return list(dict.fromkeys(_public(_private(secret)) for secret in _secrets()))


def is_signed(message: bytes, *, key: str, signature: str) -> bool:
    """Whether the signature is that key's."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _secrets() -> tuple[str, ...]:
    return (*settings.AUDIT_KEY, settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


@lru_cache(maxsize=16)
def _private(secret: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(derived("audit", secret))


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()
