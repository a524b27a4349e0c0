"""autovibe itself as a Django app: for its system checks and commands, and what the API keeps of its calls."""

from django.apps import AppConfig
from django.contrib.admin import apps as admin


class Administration(admin.AdminConfig):
    """Django's admin, on a site of ours."""

    default = False
    default_site = "autovibe.site.Site"


class Autovibe(AppConfig):
    default = True
    name = "autovibe"

    def ready(self) -> None:
        from autovibe import security  # noqa: F401 - registers its checks
