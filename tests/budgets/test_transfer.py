"""Transfers between projects: both owners agree, both books change, nothing is made of nothing."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from budgets import actions, ledger, transfers
from budgets.models import Budget, LedgerEntry, Transfer, Window
from budgets.reserve import Grant
from events.models import Event
from projects import actions as projects
from projects.errors import Conflict, Invalid
from projects.models import Project, User
from tests.budgets.conftest import Ask


@pytest.fixture
def other(people: dict[str, User]) -> Project:
    """Bob's project, with 500."""
    made = projects.create(slug="other", by=people["bob"])
    actions.set_limit(made, "money", 500, by=people["bob"])
    return made


@pytest.fixture
def mine(project: Project, alice: User) -> Project:
    """Alice's project, with 1000."""
    actions.set_limit(project, "money", 1000, by=alice)
    return project


def limits() -> list[int]:
    """Of both projects, by name."""
    return list(Window.objects.open().order_by("budget__scope").values_list("limit", flat=True))


class TestPropose:
    def test_nothing_moves_before_the_other_side_agrees(
        self, mine: Project, other: Project, alice: User
    ) -> None:
        made = transfers.propose(mine, other, "money", 300, by=alice)
        assert (made.state, made.other) == ("pending", other)
        assert limits() == [1000, 500]

    def test_one_can_ask_for_a_transfer_as_well_as_offer_one(
        self, mine: Project, other: Project, people: dict[str, User]
    ) -> None:
        made = transfers.propose(mine, other, "money", 300, by=people["bob"])
        assert made.other == mine
        transfers.accept(made, by=people["alice"])
        assert limits() == [700, 800]

    def test_who_owns_both_sides_agrees_for_both(self, mine: Project, alice: User) -> None:
        second = projects.create(slug="second", by=alice)
        actions.set_limit(second, "money", 0, by=alice)
        assert transfers.propose(mine, second, "money", 300, by=alice).state == "made"
        assert limits() == [700, 300]

    def test_strangers_propose_nothing(self, mine: Project, other: Project, people: dict[str, User]) -> None:
        with pytest.raises(PermissionDenied):
            transfers.propose(mine, other, "money", 300, by=people["charlie"])

    def test_the_same_key_is_the_same_proposal(self, mine: Project, other: Project, alice: User) -> None:
        first = transfers.propose(mine, other, "money", 300, by=alice, key="k")
        assert transfers.propose(mine, other, "money", 300, by=alice, key="k") == first
        assert Transfer.objects.count() == 1

    @pytest.mark.parametrize(
        ("resource", "amount"), [("money", 0), ("money", -5), ("gold", 1), ("money", 2**63)]
    )
    def test_it_refuses_what_cannot_be_transferred(
        self, mine: Project, other: Project, alice: User, resource: str, amount: int
    ) -> None:
        with pytest.raises(Invalid):
            transfers.propose(mine, other, resource, amount, by=alice)


class TestAccept:
    def test_it_is_entered_on_both_sides_and_the_standing_limits_follow(
        self, mine: Project, other: Project, people: dict[str, User]
    ) -> None:
        made = transfers.propose(mine, other, "money", 300, by=people["alice"])
        transfers.accept(made, by=people["bob"])
        entered = LedgerEntry.objects.filter(kind="transfer").order_by("id")
        assert [(one.project, one.amounts, one.actor) for one in entered] == [
            (mine, [-300], "bob"),
            (other, [300], "bob"),
        ]
        assert list(Budget.objects.order_by("scope").values_list("limit", flat=True)) == [700, 800]
        assert Event.objects.filter(kind="transfer.made").count() == 2
        assert not ledger.verify()

    def test_what_is_held_or_spent_cannot_be_given(
        self, mine: Project, other: Project, people: dict[str, User], ask: Ask
    ) -> None:
        made = transfers.propose(mine, other, "money", 900, by=people["alice"])
        assert isinstance(ask(), Grant)
        with pytest.raises(Conflict, match=r"has 0\.0008 USD left, and cannot give 0\.0009 USD"):
            transfers.accept(made, by=people["bob"])
        assert limits() == [1000, 500]
        made.refresh_from_db()
        assert made.state == "pending"

    def test_no_limit_becomes_larger_than_a_limit_can_be(
        self, mine: Project, other: Project, people: dict[str, User]
    ) -> None:
        actions.set_limit(other, "money", 2**62, by=people["bob"])
        made = transfers.propose(mine, other, "money", 1, by=people["alice"])
        with pytest.raises(Conflict, match="larger limit than there can be"):
            transfers.accept(made, by=people["bob"])
        assert limits() == [1000, 2**62]

    def test_only_an_owner_of_the_other_side_agrees(
        self, mine: Project, other: Project, people: dict[str, User]
    ) -> None:
        made = transfers.propose(mine, other, "money", 300, by=people["alice"])
        for nobody in ("alice", "charlie"):
            with pytest.raises(PermissionDenied):
                transfers.accept(made, by=people[nobody])

    def test_a_side_without_such_a_budget_is_told_what_to_do(
        self, mine: Project, other: Project, people: dict[str, User]
    ) -> None:
        actions.set_limit(mine, "calls", 10, by=people["alice"])
        made = transfers.propose(mine, other, "calls", 5, by=people["alice"])
        with pytest.raises(Conflict, match="bin/autovibe budget set other calls 0"):
            transfers.accept(made, by=people["bob"])


class TestDecline:
    def test_what_was_declined_or_withdrawn_cannot_be_accepted(
        self, mine: Project, other: Project, people: dict[str, User]
    ) -> None:
        declined = transfers.propose(mine, other, "money", 1, by=people["alice"])
        transfers.decline(declined, by=people["bob"])
        withdrawn = transfers.propose(mine, other, "money", 1, by=people["alice"])
        transfers.withdraw(withdrawn, by=people["alice"])
        for ended in (declined, withdrawn):
            with pytest.raises(Conflict, match="decided already"):
                transfers.accept(ended, by=people["bob"])
        assert limits() == [1000, 500]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(moves=st.lists(st.tuples(st.booleans(), st.integers(1, 1200)), max_size=10))
def test_the_sum_of_all_limits_stays_what_it_was(
    mine: Project, other: Project, people: dict[str, User], moves: list[tuple[bool, int]]
) -> None:
    for forth, amount in moves:
        giver, taker = (mine, other) if forth else (other, mine)
        made = transfers.propose(giver, taker, "money", amount, by=people["alice"])
        try:
            transfers.accept(
                made, by=people["bob" if forth else "alice"]
            ) if made.other == taker else transfers.accept(made, by=people["bob"])
        except Conflict:
            assert min(limits()) < amount
        assert sum(limits()) == 1500
        assert not ledger.verify()


@pytest.mark.django_db(transaction=True)
def test_twenty_who_accept_at_once_make_one_transfer() -> None:
    alice, bob = User.objects.create_user("alice"), User.objects.create_user("bob")
    mine, other = projects.create(slug="demo", by=alice), projects.create(slug="other", by=bob)
    actions.set_limit(mine, "money", 1000, by=alice)
    actions.set_limit(other, "money", 0, by=bob)
    made = transfers.propose(mine, other, "money", 300, by=alice)

    def accept(_: int) -> bool:
        try:
            transfers.accept(Transfer.objects.get(pk=made.pk), by=bob)
            return True
        except Conflict:
            return False
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as threads:
        assert sum(threads.map(accept, range(20))) == 1
    assert limits() == [700, 300]
