"""The way back from the end of a machine, as its page offers it."""

import pytest

from checkpoints.models import Checkpoint
from guests.models import Guest
from machines.models import Machine
from machines.states import State
from operations.models import Operation
from projects.models import Project
from tests.dashboard import rows
from tests.dashboard.conftest import Browser


@pytest.fixture
def ended(project: Project, genesis: Checkpoint) -> Machine:
    """Terminated by somebody, with two checkpoints."""
    rows.budget(project)
    made = rows.machine(project, genesis, State.TERMINATED)
    rows.checkpoint(made, {})
    rows.checkpoint(made, {"hello.py": "print('hello')\n"})
    Guest.objects.filter(pk=made.guest_id).update(power=Guest.Power.STOPPED)
    return made


def offered(browser: Browser, machine: Machine, name: str = "alice") -> str:
    page = browser(name).get(f"/machines/{machine.handle}/").content.decode()
    return page.partition('id="go-on"')[2].partition("</div>\n</div>")[0]


def test_who_may_operate_it_lets_it_go_on_from_its_last_checkpoint(browser: Browser, ended: Machine) -> None:
    assert f"Let {ended.handle} go on" in offered(browser, ended)

    browser("alice").post(f"/machines/{ended.handle}/rollback/", {"to": f"{ended.handle}.c2"})

    ended.refresh_from_db()
    assert ended.state == State.RESTORING
    assert Operation.objects.filter(verb="rollback").count() == 1


def test_who_only_looks_is_offered_nothing(browser: Browser, ended: Machine) -> None:
    assert offered(browser, ended, "bob") == ""


def test_one_whose_agent_was_done_is_branched_from(browser: Browser, ended: Machine) -> None:
    Machine.objects.filter(pk=ended.pk).update(exit_code=0)

    card = offered(browser, ended)

    assert "Its agent was done." in card
    assert "go on</button>" not in card
    assert f"Branch from {ended.handle}.c2" in card


def test_one_that_runs_has_no_way_back(browser: Browser, machine: Machine) -> None:
    assert offered(browser, machine) == ""


def test_one_that_left_nothing_can_only_be_spawned_again(
    browser: Browser, project: Project, genesis: Checkpoint
) -> None:
    card = offered(browser, rows.machine(project, genesis, State.FAILED))

    assert "It left no checkpoint to go on from." in card
    assert "Branch from" not in card
    assert "Spawn it again" in card


def test_spawning_again_begins_with_what_was_asked_for_then(browser: Browser, ended: Machine) -> None:
    Machine.objects.filter(pk=ended.pk).update(prompt="Count to ten", type="shell")

    form = browser("alice").get(f"/machines/new/?like={ended.handle}").content.decode()

    assert "Count to ten" in form
    assert f'value="{ended.source.handle}"' in form
    assert browser("charlie").get(f"/machines/new/?like={ended.handle}").status_code == 404
