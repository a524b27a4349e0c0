"""A price that can be reckoned in one's head."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from pytest_django import Settings

from budgets import actions
from budgets.models import Budget, Window
from budgets.prices import Price, Rates
from budgets.reserve import Grant, Shortage
from projects.models import Project

Ask = Callable[..., Grant | Shortage]


@pytest.fixture(autouse=True)
def nothing_kept_back(settings: Settings) -> None:
    """So that sums are easy; landing has tests of its own."""
    settings.BUDGET_LANDING_PERCENT = 0


@pytest.fixture
def ask(project: Project, price: Price) -> Ask:
    """Asks for 100 tokens in and 50 out, unless told otherwise: 200 micros."""

    def asking(
        key: str = "", *, machine_id: UUID | None = None, member_id: int | None = None, **changes: Any
    ) -> Grant | Shortage:
        wanted = {"input_tokens": 100, "output_tokens": 50, "seconds": 60} | changes
        payer = actions.Payer(project.id, machine_id, member_id)
        return actions.reserve_call(key or str(uuid4()), payer=payer, price=price, **wanted)

    return asking


def window(budget: Budget) -> Window:
    """Its balance as it is now."""
    return Window.objects.open().select_related("budget").get(budget=budget)


def balance(budget: Budget) -> tuple[int, int, int]:
    now = window(budget)
    return now.reserved, now.spent, now.overrun


@pytest.fixture
def price() -> Price:
    """One micro per token read, two per token written."""
    rates = Rates(
        input=1_000_000, cache_read=100_000, cache_write=1_000_000, cache_write_1h=1_000_000, output=2_000_000
    )
    return Price("test-model", "test", ((0, rates),))
