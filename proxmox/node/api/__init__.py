"""The handlers of the API, one module per part of it. Importing a module registers its routes."""

from importlib import import_module

_MODULES = (
    *("cluster", "storage", "tasks", "vms", "config", "power", "snapshots", "clone", "agent", "backup"),
    *("vzdump", "prune"),
    *("content", "images", "storage_config", "disks", "cloudinit", "node"),
    *("console", "metrics", "access.login", "access.users", "access.roles", "access.acl"),
    *("firewall.options", "firewall.rules", "firewall.sets", "firewall.aliases"),
)


def load() -> None:
    """Register every route."""
    for module in _MODULES:
        import_module(f"{__name__}.{module}")
