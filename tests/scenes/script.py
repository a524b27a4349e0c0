"""A scene's script: what happened how long ago. It is played in order, each act at its own moment."""

from collections.abc import Callable
from datetime import datetime, timedelta

import time_machine
from django.db import transaction

Act = Callable[[], object]


class Script:
    """Acts by when they happened; later ones may rely on what earlier ones made."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._acts: list[tuple[datetime, Act]] = []

    def at(self, moment: datetime, act: Act) -> None:
        self._acts.append((moment, act))

    def before(self, minutes: float, act: Act) -> None:
        """So many minutes ago."""
        self.at(self.ago(minutes), act)

    def ago(self, minutes: float) -> datetime:
        return self.now - timedelta(minutes=minutes)

    def play(self) -> None:
        """Everything in the order of its time. Of acts at the same moment the first told is the first done."""
        for moment, act in sorted(self._acts, key=lambda one: one[0]):
            with time_machine.travel(moment, tick=False), transaction.atomic():
                act()
        self._acts.clear()
