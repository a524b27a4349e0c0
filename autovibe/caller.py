"""Who is calling the API, as one word: for what is counted and kept for each caller alone."""

from rest_framework.request import Request


def name_of(request: Request) -> str:
    """The user, with the token in use: two tokens of one user may be allowed different things."""
    key = getattr(request.auth, "pk", "")
    return f"{request.user.pk}:{type(request.auth).__name__}:{key}"


def address_of(request: Request) -> str:
    """Where a call comes from that nobody has signed."""
    return f"address:{request.META.get('REMOTE_ADDR', '')}"
