"""First run: what is needed before a machine can run, looked at rather than remembered, and what mends it."""

from dashboard.start.facts import DISMISSED
from dashboard.start.page import DEMO, dismiss, strip, view

__all__ = ["DEMO", "DISMISSED", "dismiss", "strip", "view"]
