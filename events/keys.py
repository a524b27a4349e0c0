"""Keys for one purpose each, derived from secrets that the database does not hold."""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def derived(purpose: str, secret: str) -> bytes:
    """32 bytes that tell nothing of the secret, nor of its keys for other purposes. Frozen: they open what is kept."""
    # No salt: the secrets are long random strings already (RFC 5869 §3.1), and every process must derive the same.
    return HKDF(SHA256(), length=32, salt=None, info=f"autovibe {purpose}".encode()).derive(secret.encode())
