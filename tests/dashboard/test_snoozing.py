"""Snoozing what waits: gone from one person's list and counts for a while, and back when it changes."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from budgets import requests
from checkpoints.models import Checkpoint
from dashboard import snoozing
from dashboard.counts import Counts
from dashboard.models import Snooze
from events.models import Event
from machines.models import Machine
from machines.states import State
from projects.models import Project, User
from tests.dashboard import rows
from tests.dashboard.conftest import Browser

PAGE, SNOOZE, UNDO = "/needs-you/", "/needs-you/snooze/", "/needs-you/snooze/undo/"


@pytest.fixture
def failed(project: Project, genesis: Checkpoint) -> Machine:
    return rows.machine(project, genesis, State.FAILED, sentence="The disk was full.")


def item(machine: Machine) -> str:
    return f"machine:{machine.pk}"


def asked(page: str) -> str:
    """The part of the page that asks for something."""
    return page.partition("<main")[2].partition('id="snoozed"')[0]


def test_it_leaves_the_list_and_the_counts_of_whoever_snoozed_it_and_of_nobody_else(
    browser: Browser, failed: Machine, people: dict[str, User]
) -> None:
    alice = browser("alice")

    page = alice.post(SNOOZE, {"item": item(failed), "for": "hour"}, follow=True).content.decode()

    assert "Snoozed, for you alone." in page
    assert "Snoozed 1" in page
    assert f'id="needs-{failed.handle}"' not in asked(page)
    assert 'data-problems="0"' in page
    assert f'id="needs-{failed.handle}"' not in alice.get("/").content.decode()
    assert Counts(people["alice"]).needing == 0
    assert Counts(people["bob"]).needing == 1
    event = Event.objects.get(kind=snoozing.SNOOZED)
    assert (event.actor, event.subject, event.data["item"]) == (
        "alice",
        people["alice"].subject,
        item(failed),
    )


def test_undo_brings_it_back_and_is_recorded(browser: Browser, failed: Machine) -> None:
    alice = browser("alice")
    alice.post(SNOOZE, {"item": item(failed), "for": "change"})

    page = alice.post(UNDO, {"item": item(failed)}, follow=True).content.decode()

    assert f'id="needs-{failed.handle}"' in asked(page)
    assert "Snoozed 1" not in page
    assert Event.objects.filter(kind=snoozing.WOKEN).count() == 1


def test_it_comes_back_when_its_time_is_over(failed: Machine, people: dict[str, User]) -> None:
    snoozing.snooze(people["alice"], item(failed), "hour")
    assert Counts(people["alice"]).needing == 0

    Snooze.objects.update(until=timezone.now() - timedelta(seconds=1))

    assert Counts(people["alice"]).needing == 1


@pytest.mark.parametrize("span", list(snoozing.FOR))
def test_it_comes_back_when_it_changes(span: str, failed: Machine, people: dict[str, User]) -> None:
    snoozing.snooze(people["alice"], item(failed), span)

    Machine.objects.filter(pk=failed.pk).update(
        ended_at=timezone.now(), sentence="It failed for another reason."
    )

    assert Counts(people["alice"]).needing == 1


def test_that_it_is_heard_from_is_no_change(
    project: Project, genesis: Checkpoint, people: dict[str, User]
) -> None:
    drifted = rows.machine(project, genesis)
    type(drifted.guest).objects.filter(pk=drifted.guest_id).update(drift=["VM 7 has lost its tag."])
    snoozing.snooze(people["alice"], item(drifted), "change")

    Machine.objects.filter(pk=drifted.pk).update(heard_at=timezone.now())

    assert Counts(people["alice"]).needing == 0


def test_morning_is_eight_o_clock_of_tomorrow_where_the_person_is(
    failed: Machine, people: dict[str, User]
) -> None:
    zone = ZoneInfo("Asia/Tokyo")
    with timezone.override(zone):
        until = snoozing.snooze(people["alice"], item(failed), "morning")

    there = until.astimezone(zone) if until else None
    assert there
    assert (there.hour, there.minute) == (8, 0)
    assert there.date() == timezone.now().astimezone(zone).date() + timedelta(days=1)


def test_a_request_can_be_snoozed(browser: Browser, project: Project, people: dict[str, User]) -> None:
    wish = requests.ask_for(rows.budget(project), 2_500_000, by=people["bob"], reason="Long tests")

    page = browser("alice").post(SNOOZE, {"item": f"request:{wish.pk}", "for": "change"}, follow=True)

    assert "Snoozed 1" in page.content.decode()
    assert Counts(people["alice"]).needing == 0


@pytest.mark.parametrize(
    ("named", "span", "status"),
    [
        ("machine:x", "hour", 200),
        ("request:99", "hour", 200),
        ("planet:1", "hour", 404),
        ("machine:x", "ever", 200),
    ],
)
def test_nonsense_snoozes_nothing(
    browser: Browser, failed: Machine, named: str, span: str, status: int
) -> None:
    answer = browser("alice").post(SNOOZE, {"item": named, "for": span}, follow=True)

    assert answer.status_code == status
    assert not Snooze.objects.exists()


def test_nobody_snoozes_what_they_may_not_see(browser: Browser, failed: Machine) -> None:
    page = (
        browser("charlie").post(SNOOZE, {"item": item(failed), "for": "hour"}, follow=True).content.decode()
    )

    assert "It waits for you no more." in page
    assert failed.handle not in page
    assert not Snooze.objects.exists()


def test_the_page_takes_few_queries_with_many_snoozed(
    browser: Browser,
    project: Project,
    genesis: Checkpoint,
    people: dict[str, User],
    django_assert_max_num_queries,
) -> None:
    for _ in range(8):
        made = rows.machine(project, genesis, State.FAILED)
        rows.checkpoint(made, {"a": "b"})
    for made in Machine.objects.all()[:6]:
        snoozing.snooze(people["alice"], item(made), "hour")

    alice = browser("alice")
    with django_assert_max_num_queries(15):
        alice.get(PAGE)
