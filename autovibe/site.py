"""The Django admin's site: administrators get in, others who are signed in are told that they may not."""

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

View = Callable[..., HttpResponse]


class Site(AdminSite):
    site_title = site_header = "autovibe administration"
    index_title = "What there is"
    enable_nav_sidebar = True

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(getattr(request.user, "administers", False))

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        asked: View = super().admin_view(view, cacheable)

        def checked(request: HttpRequest, *args: Any, **more: Any) -> HttpResponse:
            if request.user.is_authenticated and not self.has_permission(request):
                raise PermissionDenied
            return asked(request, *args, **more)

        return update_wrapper(checked, asked)
