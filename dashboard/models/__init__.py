"""What the pages themselves remember. Everything that they show lives in the rooms below."""

from dashboard.models.preferences import Preferences
from dashboard.models.screen import Screen
from dashboard.models.snooze import Snooze

__all__ = ["Preferences", "Screen", "Snooze"]
