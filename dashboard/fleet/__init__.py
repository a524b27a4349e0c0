"""The fleet: what the page of all machines shows, and what may be asked of many at once."""

from dashboard.fleet.groups import GROUPS, Group
from dashboard.fleet.page import view
from dashboard.fleet.search import Filter

__all__ = ["GROUPS", "Filter", "Group", "view"]
