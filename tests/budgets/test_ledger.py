"""Ends of holds: settled once, released, expired, overrun; and the sums."""

from datetime import timedelta
from io import StringIO
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from budgets import actions, ledger
from budgets.models import Budget, LedgerEntry, Reservation, Window
from budgets.prices import Price, Usage
from budgets.reserve import Grant
from events.models import Event
from projects.errors import Conflict, Invalid
from projects.models import Project, User
from tests.budgets.conftest import Ask, balance, window

USED = Usage(input_tokens=60, cache_read_tokens=30, output_tokens=10)  # 60 + 3 + 20 = 83 micros


@pytest.fixture
def budget(project: Project, alice: User) -> Budget:
    return actions.set_limit(project, "money", 1000, by=alice)


@pytest.fixture
def held(budget: Budget, ask: Ask) -> UUID:
    """A hold of 200 micros."""
    grant = ask("call:1")
    assert isinstance(grant, Grant)
    return grant.reservation_id


def entries() -> QuerySet[LedgerEntry]:
    """What was consumed; limits are entered too."""
    return LedgerEntry.objects.exclude(kind="limit")


class TestSettle:
    def test_it_charges_what_was_used_and_frees_the_rest(
        self, budget: Budget, held: UUID, price: Price
    ) -> None:
        assert actions.settle(held, USED, price) == 83
        assert balance(budget) == (0, 83, 0)

    def test_it_charges_once_however_often_it_is_asked(
        self, budget: Budget, held: UUID, price: Price
    ) -> None:
        actions.settle(held, USED, price)
        assert actions.settle(held, Usage(output_tokens=50), price) == 83
        assert not ledger.release(held)
        assert actions.settle_in_full(held) == 83
        assert balance(budget) == (0, 83, 0)
        assert entries().count() == 1

    def test_it_keeps_the_figures_apart_in_the_ledger(self, held: UUID, price: Price) -> None:
        actions.settle(held, USED, price)
        entry = entries().get()
        assert (entry.input_tokens, entry.cached_tokens, entry.output_tokens) == (60, 30, 10)
        assert (entry.kind, entry.label, entry.price_version) == ("usage", "test-model", "test")

    def test_it_counts_tokens_and_calls_on_budgets_for_those(
        self, budget: Budget, project: Project, alice: User, price: Price, ask: Ask
    ) -> None:
        tokens = actions.set_limit(project, "tokens", 1000, by=alice)
        calls = actions.set_limit(project, "calls", 3, by=alice)
        grant = ask()
        assert isinstance(grant, Grant)
        actions.settle(grant.reservation_id, USED, price)
        assert (balance(tokens), balance(calls)) == ((0, 100, 0), (0, 1, 0))


class TestRelease:
    def test_it_restores_what_was_there(self, budget: Budget, held: UUID) -> None:
        assert balance(budget) == (200, 0, 0)
        assert ledger.release(held)
        assert balance(budget) == (0, 0, 0)
        assert not entries().exists()


class TestReapExpired:
    def test_it_charges_a_hold_in_full_when_nobody_came_back(self, budget: Budget, held: UUID) -> None:
        assert actions.reap_expired(timezone.now() + timedelta(seconds=59)) == 0
        assert actions.reap_expired(timezone.now() + timedelta(seconds=61)) == 1
        assert actions.reap_expired(timezone.now() + timedelta(seconds=61)) == 0
        assert balance(budget) == (0, 200, 0)
        assert entries().get().kind == "assumed"
        assert Reservation.objects.get().state == "expired"

    def test_a_late_settlement_corrects_it(self, budget: Budget, held: UUID, price: Price) -> None:
        actions.reap_expired(timezone.now() + timedelta(seconds=61))
        assert actions.settle(held, USED, price) == 83
        assert actions.settle(held, USED, price) == 83
        assert balance(budget) == (0, 83, 0)
        assert list(entries().order_by("id").values_list("kind", "micros", "calls")) == [
            ("assumed", 200, 1),
            ("correction", -117, 0),
        ]
        assert not ledger.verify()


class TestOverrun:
    """A provider bills more than the bound; it must be recorded, and the limit must still hold."""

    BILLED = Usage(input_tokens=100, output_tokens=500)  # 1100 micros, of which 200 were held

    def test_it_records_all_of_it_and_keeps_spent_within_the_limit(
        self, budget: Budget, held: UUID, price: Price
    ) -> None:
        assert actions.settle(held, self.BILLED, price) == 1100
        assert balance(budget) == (0, 1000, 100)
        assert entries().get().micros == 1100
        assert not ledger.verify()

    def test_a_raised_limit_pays_for_it_first(
        self, budget: Budget, held: UUID, price: Price, project: Project, alice: User
    ) -> None:
        actions.settle(held, self.BILLED, price)
        actions.set_limit(project, "money", 1150, by=alice)
        assert balance(budget) == (0, 1100, 0)
        assert actions.left(actions.Payer(project.id)) == 50


class TestLedgerEntry:
    def test_it_cannot_be_changed_or_deleted(self, held: UUID, price: Price) -> None:
        actions.settle(held, USED, price)
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            LedgerEntry.objects.update(micros=0)
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            LedgerEntry.objects.all().delete()


class TestSetLimit:
    def test_it_cannot_go_below_what_is_spent_or_held(
        self, budget: Budget, held: UUID, project: Project, alice: User
    ) -> None:
        with pytest.raises(Conflict, match=r"spent or promised 0\.0002 USD already"):
            actions.set_limit(project, "money", 199, by=alice)
        assert window(actions.set_limit(project, "money", 200, by=alice)).left == 0

    @pytest.mark.parametrize(("resource", "limit"), [("gold", 1), ("money", -1), ("calls", 2**63)])
    def test_it_refuses_what_is_no_limit(
        self, project: Project, alice: User, resource: str, limit: int
    ) -> None:
        with pytest.raises(Invalid, match="A budget is a number"):
            actions.set_limit(project, resource, limit, by=alice)

    def test_it_says_who_changed_it(self, budget: Budget) -> None:
        event = Event.objects.get(kind="budget.limit_set")
        assert (event.actor, event.data["limit"], event.data["before"]) == ("alice", 1000, 0)


class TestSummary:
    def test_it_shows_every_budget_of_the_project(self, budget: Budget, held: UUID, project: Project) -> None:
        summary = actions.summary(project)
        assert summary["currency"] == "USD"
        assert [(b["scope"], b["reserved"], b["left"]) for b in summary["budgets"]] == [
            ("Project demo", 200, 800)
        ]


class TestVerify:
    def test_the_command_is_content_with_honest_books(self, held: UUID, price: Price) -> None:
        actions.settle(held, USED, price)
        out = StringIO()
        call_command("ledger", "verify", stdout=out)
        assert "adds up" in out.getvalue() or "add up" in out.getvalue()

    def test_the_command_names_a_balance_that_was_tampered_with(self, budget: Budget, held: UUID) -> None:
        Window.objects.update(spent=5)
        errors = StringIO()
        with pytest.raises(CommandError, match="1 balances do not add up"):
            call_command("ledger", "verify", stderr=errors)
        assert "limit 1000, entries say 1000; holds 200, reservations say 200; consumed 5, entries say 0" in (
            errors.getvalue()
        )
