"""The tables of this room, a module each noun."""

from budgets.models.breaker import Breaker
from budgets.models.budget import Budget, usual_marks
from budgets.models.ledger import LedgerEntry, months_of
from budgets.models.pool import Deal, Pool, PoolMember
from budgets.models.price import PriceOverride, Rerating
from budgets.models.reservation import Reservation
from budgets.models.sharing import BudgetRequest, Transfer
from budgets.models.window import Window

__all__ = [
    "Breaker",
    "Budget",
    "BudgetRequest",
    "Deal",
    "LedgerEntry",
    "Pool",
    "PoolMember",
    "PriceOverride",
    "Rerating",
    "Reservation",
    "Transfer",
    "Window",
    "months_of",
    "usual_marks",
]
