"""Saying something to an agent on its machine's page, without a browser: words, rights, refusals; and the receipt."""

import json

import pytest

from machines.models import Machine, Message
from machines.states import State
from tests.dashboard.conftest import Browser


def put_into(machine: Machine, state: State) -> None:
    Machine.objects.filter(pk=machine.pk).update(state=state)


class TestSaying:
    def test_it_is_said_and_told_when_it_is_heard(self, browser: Browser, machine: Machine) -> None:
        page = browser("alice").post(
            f"/machines/{machine.handle}/message/", {"text": "Buzz at 7."}, follow=True
        )

        said = Message.objects.get()
        assert (said.text, said.author, said.at_once) == ("Buzz at 7.", "alice", False)
        assert "You said:" in page.content.decode()
        assert "when it ends its turn" in page.content.decode()

    def test_others_see_who_said_it(self, browser: Browser, machine: Machine) -> None:
        browser("alice").post(f"/machines/{machine.handle}/message/", {"text": "Buzz at 7."})

        page = browser("bob").get(f"/machines/{machine.handle}/").content.decode()
        assert "alice said:" in page
        assert 'id="say-text"' not in page

    @pytest.mark.parametrize(
        ("state", "words", "interrupts"),
        [(State.RUNNING, "after a checkpoint", True), (State.PAUSED, "is resumed", False)],
    )
    def test_it_says_what_will_happen(
        self, browser: Browser, machine: Machine, state: State, words: str, interrupts: bool
    ) -> None:
        put_into(machine, state)

        page = browser("alice").get(f"/machines/{machine.handle}/").content.decode()
        assert words in page[page.index('id="say-hint"') :]
        assert ("Interrupt now" in page) is interrupts

    def test_what_is_refused_is_not_typed_again(self, browser: Browser, machine: Machine) -> None:
        put_into(machine, State.TERMINATED)

        answer = browser("alice").post(f"/machines/{machine.handle}/message/", {"text": "Buzz <7>."})

        page = answer.content.decode()
        assert answer.status_code == 409
        assert "autovibe branch" in page
        assert "Buzz &lt;7&gt;." in page
        assert f'hx-get="/machines/{machine.handle}/"' in page

    @pytest.mark.parametrize(("who", "status"), [("alice", 302), ("bob", 403), ("charlie", 404)])
    def test_who_may(self, browser: Browser, machine: Machine, who: str, status: int) -> None:
        answer = browser(who).post(f"/machines/{machine.handle}/message/", {"text": "Buzz at 7."})

        assert answer.status_code == status

    def test_many_messages_cost_no_more_queries(
        self, browser: Browser, machine: Machine, django_assert_max_num_queries
    ) -> None:
        alice = browser("alice")
        with django_assert_max_num_queries(40) as none:
            alice.get(f"/machines/{machine.handle}/")
        Message.objects.bulk_create(Message(machine=machine, text=f"{n}") for n in range(20))
        with django_assert_max_num_queries(40) as many:
            alice.get(f"/machines/{machine.handle}/")

        assert len(many) == len(none)


class TestReceipt:
    def test_it_comes_as_a_file_and_so_far_while_the_machine_goes_on(
        self, browser: Browser, machine: Machine
    ) -> None:
        page = browser("bob").get(f"/machines/{machine.handle}/?tab=cost").content.decode()
        answer = browser("bob").get(f"/machines/{machine.handle}/receipt.json")

        assert "Receipt so far" in page
        assert answer["Content-Disposition"] == f'attachment; filename="{machine.handle}.receipt.json"'
        assert json.loads(answer.content)["entries"][0]["complete"] is False

    def test_outsiders_get_none(self, browser: Browser, machine: Machine) -> None:
        assert browser("charlie").get(f"/machines/{machine.handle}/receipt.json").status_code == 404
