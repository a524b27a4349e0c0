"""A machine asks for more of its budget from inside its guest, over real HTTP; and prices that change meanwhile."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from budgets import actions as budgets
from budgets import prices
from budgets import requests as actions
from budgets.models import BudgetRequest, PriceOverride, Reservation
from budgets.prices import OFFLINE_MODEL
from events.models import Event
from gateway import guest_requests
from machines.limits.payer import holder_of
from machines.models import Machine
from projects.models import User
from tests.gateway.conftest import Call
from tests.gateway.servers import until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ask(gateway: str, token: str):
    def asking(body: Any = None, *, token: str = token, **changes: Any) -> requests.Response:
        asked = {"resource": "money", "amount": 2_000_000, "reason": "The tests take long.", **changes}
        headers = {"authorization": f"Bearer {token}"}
        url = f"{gateway}/guest/v1/budget-requests"
        if body is not None:
            return requests.post(url, data=body, headers=headers, timeout=10)
        return requests.post(url, json=asked, headers=headers, timeout=10)

    return asking


class TestAsk:
    def test_it_waits_for_an_owner(self, ask, machine: Machine) -> None:
        answer = ask()
        assert answer.status_code == 200, answer.text
        made = BudgetRequest.objects.get()
        assert answer.json() == {
            "id": made.pk, "state": "pending", "scope": "Project demo", "amount": 2_000_000,
        }  # fmt: skip
        assert (made.machine_id, made.asked_by, made.automatic) == (machine.id, None, False)
        assert Event.objects.get(kind="budget.requested").subject == machine.subject

    def test_its_own_limit_comes_first(self, ask, machine: Machine, owner: User) -> None:
        budgets.change_limit(holder_of(machine), "money", 100, by=owner)
        assert ask().json()["scope"] == "Machine m12"

    def test_asked_again_it_is_one_request(self, ask) -> None:
        first = ask()
        assert ask(amount=5).json() == {**first.json(), "amount": 5}
        assert BudgetRequest.objects.count() == 1

    @pytest.mark.parametrize(
        ("changes", "status", "said"),
        [
            ({"amount": "much"}, 400, "whole number"),
            ({"amount": True}, 400, "whole number"),
            ({"amount": -1}, 400, "above 0"),
            ({"resource": "gold"}, 400, "There is no resource"),
            ({"resource": 5}, 400, "is a text"),
            ({"resource": "calls"}, 409, "no limit of calls"),
            ({"period": "\0\ud800"}, 409, "no limit of money per"),
        ],
    )
    def test_what_makes_no_sense_is_told_in_a_sentence(
        self, ask, changes: dict[str, Any], status: int, said: str
    ) -> None:
        answer = ask(**changes)
        assert answer.status_code == status
        assert said in answer.text
        assert not BudgetRequest.objects.exists()

    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100_000, b'{"amount": 1e999}'])
    def test_nor_does_anything_else_break_it(self, ask, body: bytes) -> None:
        assert ask(body=body).status_code == 400

    def test_strangers_ask_for_nothing(self, ask) -> None:
        assert ask(token="avm_invented").status_code == 401

    def test_nobody_can_be_asked_for_ever_be_it_changed_or_anew(self, ask, owner: User) -> None:
        for number in range(guest_requests.HOURLY_MAX):
            assert ask(amount=number + 1).status_code == 200
            if number == 5:
                actions.deny(BudgetRequest.objects.get(), by=owner)
        answer = ask(amount=1000)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "600")
        assert Event.objects.filter(kind="budget.requested").count() == guest_requests.HOURLY_MAX


@pytest.fixture
def _closed_book() -> Iterator[None]:
    yield
    prices.use(prices.Book())


@pytest.mark.usefixtures("_closed_book")
def test_a_price_that_another_process_entered_counts_within_seconds(call: Call) -> None:
    """Nothing tells this process: it is as if the row had been written elsewhere."""
    assert call().status_code == 200
    page = PriceOverride.objects.create(
        model=OFFLINE_MODEL, prices={"input": "1", "output": "2"}, actor="alice"
    )

    def priced_anew() -> bool:
        assert call().status_code == 200
        newest = Reservation.objects.order_by("-created_at").values_list("price_version", flat=True)[0]
        return newest.endswith(f"book {page.pk}")

    assert until(priced_anew, seconds=5)
