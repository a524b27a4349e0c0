"""One verb for many machines: exactly those that were listed, each with its own permission."""

import re
from itertools import pairwise

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from checkpoints.models import Checkpoint
from dashboard.fleet import bulk
from machines.models import Machine
from machines.states import State
from operations.models import Operation
from projects import actions as projects
from projects import members
from projects.models import Project, User
from projects.roles import Role
from tests.dashboard import rows
from tests.dashboard.conftest import Browser

PAGE = "/machines/many/"


@pytest.fixture
def three(project: Project, genesis: Checkpoint) -> list[Machine]:
    """Running, running, and paused."""
    return [rows.machine(project, genesis, state) for state in (State.RUNNING, State.RUNNING, State.PAUSED)]


def listed(browser: Client, verb: str, *machines: Machine, **also: str) -> str:
    chosen = {"machine": [one.handle for one in machines], "verb": verb, **also}
    return browser.get(PAGE, chosen).content.decode()


def tokens(card: str) -> list[str]:
    """The machines that a card's form would act upon."""
    return re.findall(r'name="machine" value="([^"]+)"', card)


def states(machines: list[Machine]) -> list[str]:
    return [Machine.objects.get(pk=one.pk).state for one in machines]


class TestTheCard:
    def test_it_lists_which_and_which_not_and_why(self, browser: Browser, three: list[Machine]) -> None:
        first, second, paused = three

        card = listed(browser("alice"), "pause", *three)

        assert tokens(card) == [f"{first.handle}:running", f"{second.handle}:running"]
        assert "Pause 2 machines</button>" in card
        assert f"{paused.handle} is paused; pause is not possible now." in card

    def test_all_that_match_are_looked_up_again(
        self, browser: Browser, three: list[Machine], project: Project, genesis: Checkpoint
    ) -> None:
        alice = browser("alice")
        fourth = rows.machine(project, genesis, prompt="Something else entirely")

        card = listed(alice, "terminate", three[0], all="1", q="state:running fizzbuzz")

        assert tokens(card) == [f"{one.handle}:running" for one in three[:2]]
        assert fourth.handle not in card

    def test_a_filter_that_is_not_understood_is_none(self, browser: Browser, three: list[Machine]) -> None:
        card = listed(browser("alice"), "terminate", all="1", q="stat:running")

        assert tokens(card) == []
        assert "There is no field “stat”" in card

    def test_too_many_are_none(
        self, browser: Browser, three: list[Machine], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bulk, "MACHINES_MAX", 2)

        card = listed(browser("alice"), "terminate", all="1")

        assert tokens(card) == []
        assert "more than 2 machines" in card

    def test_machines_of_others_are_not_there(self, browser: Browser, three: list[Machine]) -> None:
        card = listed(browser("charlie"), "terminate", *three)

        assert tokens(card) == []
        assert three[0].handle not in card

    def test_whoever_may_only_look_is_told_so(self, browser: Browser, three: list[Machine]) -> None:
        card = listed(browser("bob"), "pause", *three)

        assert tokens(card) == []
        assert card.count("You may not operate it.") == 3

    def test_a_verb_that_there_is_not_is_no_page(self, browser: Browser) -> None:
        assert browser("alice").get(PAGE, {"verb": "explode"}).status_code == 404

    def test_it_costs_as_many_queries_for_many_as_for_few(
        self, browser: Browser, project: Project, genesis: Checkpoint, django_assert_max_num_queries
    ) -> None:
        alice = browser("alice")
        made = [rows.machine(project, genesis) for _ in range(20)]
        with django_assert_max_num_queries(12) as few:
            listed(alice, "pause", *made[:2])
        with django_assert_max_num_queries(12) as many:
            listed(alice, "pause", *made)

        assert len(many) <= len(few)


class TestActing:
    def test_exactly_those_that_were_listed_are_paused(
        self, browser: Browser, three: list[Machine], project: Project, genesis: Checkpoint
    ) -> None:
        alice = browser("alice")
        card = listed(alice, "pause", *three)
        rows.machine(project, genesis)

        told = alice.post(PAGE, {"verb": "pause", "machine": tokens(card)}).content.decode()

        assert states(three) == [State.PAUSING, State.PAUSING, State.PAUSED]
        assert Operation.objects.filter(verb="pause").count() == 2
        assert "asked of 2 of 2 machines" in told

    def test_one_that_changed_meanwhile_is_left_and_said(
        self, browser: Browser, three: list[Machine]
    ) -> None:
        alice = browser("alice")
        sent = tokens(listed(alice, "terminate", *three))
        Machine.objects.filter(pk=three[2].pk).update(state=State.RUNNING)

        told = alice.post(PAGE, {"verb": "terminate", "machine": sent, "count": "3"}).content.decode()

        assert states(three) == [State.STOPPING, State.STOPPING, State.RUNNING]
        assert "It was paused when you chose it, and is running now." in told

    def test_terminating_takes_their_number(self, browser: Browser, three: list[Machine]) -> None:
        alice = browser("alice")
        sent = tokens(listed(alice, "terminate", *three))

        for count in ("", "2", "three"):
            answer = alice.post(PAGE, {"verb": "terminate", "machine": sent, "count": count})
            assert answer.status_code == 422
            assert tokens(answer.content.decode()) == sent

        assert states(three) == [State.RUNNING, State.RUNNING, State.PAUSED]

    def test_sending_it_twice_does_it_once(self, browser: Browser, three: list[Machine]) -> None:
        alice = browser("alice")
        sent = tokens(listed(alice, "checkpoint", three[0]))

        for _ in range(2):
            alice.post(PAGE, {"verb": "pause", "machine": [*sent, *sent]})

        assert Operation.objects.filter(verb="pause").count() == 1

    def test_one_that_came_to_nothing_is_tried_again_when_it_is_sent_again(
        self, browser: Browser, three: list[Machine]
    ) -> None:
        form = {"verb": "pause", "machine": f"{three[0].handle}:paused", "once": "the form"}
        alice = browser("alice")
        assert "when you chose it" in alice.post(PAGE, form).content.decode()

        assert alice.post(PAGE, form).status_code == 200

    def test_each_is_asked_for_with_its_own_permission(
        self, browser: Browser, three: list[Machine], people: dict[str, User]
    ) -> None:
        other = projects.create(slug="shop", by=people["charlie"])
        theirs = rows.machine(other, three[0].source)

        told = (
            browser("charlie")
            .post(PAGE, {"verb": "pause", "machine": [f"{one.handle}:running" for one in (theirs, three[0])]})
            .content.decode()
        )

        assert states([theirs, three[0]]) == [State.PAUSING, State.RUNNING]
        assert "asked of 1 of 2 machines" in told

    @pytest.mark.parametrize("token", ["", "m1", "m1:", ":running", "x:y:z", "m99999999999:running"])
    def test_nonsense_is_said_and_does_nothing(self, token: str, browser: Browser, machine: Machine) -> None:
        told = browser("alice").post(PAGE, {"verb": "pause", "machine": token})

        assert told.status_code == 200
        assert states([machine]) == [State.RUNNING]

    def test_members_pause_what_they_made_themselves(
        self, browser: Browser, three: list[Machine], project: Project, people: dict[str, User]
    ) -> None:
        members.set_role(project, "bob", Role.MEMBER, by=people["alice"])
        Machine.objects.filter(pk=three[0].pk).update(created_by=people["bob"])

        assert tokens(listed(browser("bob"), "pause", *three)) == [f"{three[0].handle}:running"]


@pytest.mark.django_db(transaction=True)
def test_each_machine_is_a_transaction_of_its_own(browser: Browser, three: list[Machine]) -> None:
    """None waits for the locks of 500 others, and what was done stays done if the process dies on the way."""
    alice = browser("alice")
    card = listed(alice, "terminate", *three)
    once = re.search(r'name="once" value="([^"]+)"', card)
    assert once

    with CaptureQueriesContext(connection) as asked:
        alice.post(PAGE, {"verb": "terminate", "machine": tokens(card), "count": "3", "once": once[1]})

    log = [query["sql"] for query in asked]
    changes = [at for at, sql in enumerate(log) if sql.startswith('UPDATE "machines_machine"')]
    between = [log[before:after].count("COMMIT") for before, after in pairwise(changes)]
    assert states(three) == [State.STOPPING] * 3
    assert len(between) >= 2
    assert sum(count > 0 for count in between) >= 2
