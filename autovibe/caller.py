"""Who is calling the API, as one word: for what is counted and kept for each caller alone."""

import hashlib

from rest_framework.request import Request

from projects.models import User


def name_of(request: Request) -> str:
    """The user, and what the token in use allows: two tokens of one user may be allowed different things."""
    user = request.user
    if not isinstance(user, User):
        return f"address:{request.META.get('REMOTE_ADDR', '')}"
    bounds = user.bounds
    if bounds is None:
        return f"user:{user.pk}"
    if bounds.token_id:
        return f"user:{user.pk}/token:{bounds.token_id}"
    allowed = f"{bounds.project_id} {sorted(bounds.rights)}"
    return f"user:{user.pk}/{hashlib.sha256(allowed.encode()).hexdigest()[:16]}"
