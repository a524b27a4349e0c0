"""autovibe itself as a Django app: for its system checks and commands. It has no tables."""

from django.apps import AppConfig


class Autovibe(AppConfig):
    name = "autovibe"

    def ready(self) -> None:
        from autovibe import security  # noqa: F401 - registers its checks
