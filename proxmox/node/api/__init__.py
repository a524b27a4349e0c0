"""The handlers of the API, one module per part of it. Importing a module registers its routes."""

from importlib import import_module

_MODULES = ("cluster", "storage", "tasks", "vms", "config", "power", "snapshots", "clone", "agent", "backup")


def load() -> None:
    """Register every route."""
    for module in _MODULES:
        import_module(f"{__name__}.{module}")
