"""`manage.py hub`: run the hub until it is told to stop."""

import signal
from typing import Any

from django.core.management.base import BaseCommand

from hubs.loop import Hub


class Command(BaseCommand):
    help = "Watch operations, observe guests and enforce limits, until stopped."

    def handle(self, *args: Any, **options: Any) -> None:
        hub = Hub()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: hub.stop())
        self.stdout.write("The hub is up.")
        hub.run()
