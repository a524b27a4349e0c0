"""The scrubber: a machine's page as of any of its checkpoints."""

import pytest

from machines.models import Machine
from tests.dashboard import rows
from tests.dashboard.conftest import Browser


def page_of(browser: Browser, address: str, who: str = "alice", **headers: str) -> str:
    return browser(who).get(address, headers=headers).content.decode()


class TestLookingBack:
    def test_now_is_at_the_right_end(self, browser: Browser, machine: Machine) -> None:
        page = page_of(browser, f"/machines/{machine.handle}/")

        assert 'min="1" max="3" value="3" aria-valuetext="now, live"' in page
        assert "You are looking at" not in page

    def test_an_earlier_point_shows_the_machine_as_it_was(self, browser: Browser, machine: Machine) -> None:
        rows.log(machine, "printed afterwards")

        page = page_of(browser, f"/machines/{machine.handle}/?at=1")

        assert "You are looking at" in page
        assert f"/checkpoints/{machine.handle}.c1/" in page
        assert "printed afterwards" not in page
        assert "Calls until then" in page
        assert 'id="log"' not in page

    def test_a_handle_says_the_same_as_a_number(self, browser: Browser, machine: Machine) -> None:
        assert "You are looking at" in page_of(browser, f"/machines/{machine.handle}/?at=c2")

    @pytest.mark.parametrize("at", ["99", "x", "-1", "", "9" * 30, "0"])
    def test_what_there_is_not_is_now(self, browser: Browser, machine: Machine, at: str) -> None:
        assert "You are looking at" not in page_of(browser, f"/machines/{machine.handle}/?at={at}")

    def test_a_branch_and_a_return_are_offered_from_there(self, browser: Browser, machine: Machine) -> None:
        page = page_of(browser, f"/machines/{machine.handle}/?at=1")

        assert "Branch from here" in page
        assert f"/machines/{machine.handle}/rollback/?to={machine.handle}.c1" in page
        assert "Branch from here" not in page_of(browser, f"/machines/{machine.handle}/?at=1", "bob")

    def test_a_machine_that_left_none_has_no_scrubber(self, browser: Browser, project, genesis) -> None:
        made = rows.machine(project, genesis)

        assert 'id="scrubber"' not in page_of(browser, f"/machines/{made.handle}/")


class TestMoving:
    def test_it_fetches_the_page_s_body_and_names_its_address(
        self, browser: Browser, machine: Machine
    ) -> None:
        response = browser("bob").get(
            f"/machines/{machine.handle}/moment/?at=1", headers={"HX-Request": "true"}
        )

        body = response.content.decode()
        assert "<html" not in body
        assert f'data-address="/machines/{machine.handle}/?at=1"' in body
        assert f'hx-get="/machines/{machine.handle}/?at=1"' in body  # the doorbell does not lead back to now

    def test_the_right_end_is_the_live_page(self, browser: Browser, machine: Machine) -> None:
        response = browser("bob").get(
            f"/machines/{machine.handle}/moment/?at=3", headers={"HX-Request": "true"}
        )

        assert response.headers["HX-Redirect"] == f"/machines/{machine.handle}/"
