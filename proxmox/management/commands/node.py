"""`manage.py node`: serve the embedded node; everything it does is in `proxmox.node`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from proxmox.node import options, server


class Command(BaseCommand):
    help = "Serve a Proxmox VE API on this computer, with guests that are directories and processes."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        options.add_arguments(parser)

    def handle(self, *args: Any, **arguments: Any) -> None:
        server.run(options.from_arguments(arguments))
