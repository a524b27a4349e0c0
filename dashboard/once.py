"""The key that a form carries, so that it is done once however often it is sent; `autovibe.repeats` looks for it.

A form that stays on the page after it was sent has to be shown anew, or it cannot be sent for a second thing.
"""

import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

FIELD = "once"
View = TypeVar("View", bound=Callable[..., Any])


def field() -> SafeString:
    """A hidden field with a key of its own: each showing of a form may be sent for one thing."""
    return format_html('<input type="hidden" name="{}" value="{}">', FIELD, uuid.uuid4())


def changes_nothing(view: View) -> View:
    """Decorate a view that takes what a form says so far, and only looks: it answers each time anew."""
    view.changes_nothing = True  # type: ignore[attr-defined]
    return view


def was_not_done(request: HttpRequest) -> None:
    """What this form asks for was refused, or it asked for nothing: sent again, it is tried again."""
    request._was_not_done = True  # type: ignore[attr-defined]


def is_done(request: HttpRequest) -> bool:
    """Whether nobody said that it was not."""
    return not hasattr(request, "_was_not_done")
