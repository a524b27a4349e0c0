"""What a machine will probably use, as the spawn form and the machine's page tell it."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, expect, sync_playwright

from checkpoints.models import Checkpoint
from machines.forecast import predict
from machines.forecast.estimate import Range
from machines.models import Machine
from machines.states import State
from projects.models import Project
from tests.dashboard import rows
from tests.dashboard.conftest import Browser

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
ASKED = {"project": "demo", "type": "vibe", "prompt": "Write tests for the parser"}


@pytest.fixture
def past(project: Project, genesis: Checkpoint) -> None:
    """Eight machines that wrote tests, for about fifty cents each."""
    rows.budget(project)
    for number in range(8):
        now = timezone.now()
        machine = rows.machine(
            project, genesis, State.TERMINATED, prompt=f"Write tests for part {number}",
            run_started_at=now - timedelta(minutes=6 + number), ended_at=now,
        )  # fmt: skip
        rows.call(machine, cost_micros=480_000 + 10_000 * number)
        predict.record_truth(machine)


class TestTheForm:
    def ask(self, client: Client, **changes: str) -> Any:
        return client.post("/machines/new/prediction/", ASKED | changes)

    def test_it_tells_ranges_and_offers_a_limit(self, browser: Browser, past: None) -> None:
        page = self.ask(browser("alice")).content.decode()

        assert "most likely $0.5" in page
        assert "from 8 past machines of this type" in page
        assert 'data-fill="cap"' in page

    def test_it_says_that_there_is_not_enough_history(self, browser: Browser, project: Project) -> None:
        page = self.ask(browser("alice")).content.decode()

        assert "Not enough history: a prediction needs 5 machines" in page
        assert "data-fill" not in page

    def test_it_says_what_it_leaves_of_the_budget(
        self, browser: Browser, past: None, project: Project
    ) -> None:
        page = self.ask(browser("alice")).content.decode()
        rows.budget(project, 400_000, period="day")
        scarce = self.ask(browser("alice")).content.decode()

        assert re.search(r"It leaves about \$19\.4\d of \$20\.00 in all", page)
        assert "Only $0.40 of $0.40 a day is left: it will probably pause before it is done." in scarce
        assert 'class="meter t-bad"' in scarce

    def test_without_a_prompt_it_says_what_will_be_here(self, browser: Browser, past: None) -> None:
        assert "appears here as you write" in self.ask(browser("alice"), prompt=" ").content.decode()

    def test_a_branch_asks_for_its_source_s_project(
        self, browser: Browser, project: Project, genesis: Checkpoint
    ) -> None:
        source = rows.checkpoint(rows.machine(project, genesis), {"a": "b"}, begun=True)

        page = browser("alice").get(f"/checkpoints/{source.handle}/branch/").content.decode()

        assert 'name="project" value="demo"' in page
        assert 'hx-post="/machines/new/prediction/"' in page

    @pytest.mark.parametrize(("who", "status"), [("bob", 403), ("charlie", 404), ("", 302)])
    def test_it_is_for_those_who_may_spawn(self, who: str, status: int, browser: Browser, past: None) -> None:
        assert self.ask(browser(who)).status_code == status


class TestTheMachinesPage:
    @pytest.fixture
    def expecting(self, machine: Machine) -> Callable[..., str]:
        """The page of a machine of which so much was expected; it has spent 1.2 cents."""

        def page_of(client: Client, low: int, high: int, **change: Any) -> str:
            ranges = {"cost_micros": Range(low, (low + high) // 2, high, high)}
            predict.remember(machine, predict.Expectation(7, ranges, 30_000, b""))
            Machine.objects.filter(pk=machine.pk).update(**change)
            page = client.get(f"/machines/{machine.handle}/?tab=cost").content.decode()
            return page.partition('id="expected"')[2].partition("</section>")[0]

        return page_of

    def test_while_it_runs_only_too_much_is_a_verdict(self, expecting: Callable, browser: Browser) -> None:
        row = expecting(browser("alice"), 50_000, 90_000)

        assert "$0.05 to $0.09" in row
        assert "$0.01</td>" in row
        assert "less</span>" not in row

    @pytest.mark.parametrize(
        ("low", "high", "verdict"),
        [(1_000, 5_000, "more"), (10_000, 20_000, "within"), (50_000, 90_000, "less")],
    )
    def test_at_the_end_it_says_whether_it_was_true(
        self, low: int, high: int, verdict: str, expecting: Callable, browser: Browser
    ) -> None:
        ended = {"state": State.TERMINATED, "ended_at": timezone.now()}

        assert f"{verdict}</span>" in expecting(browser("alice"), low, high, **ended)

    def test_where_nothing_was_expected_there_is_no_such_row(
        self, machine: Machine, browser: Browser
    ) -> None:
        assert 'id="expected"' not in browser("alice").get(f"/machines/{machine.handle}/").content.decode()


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="There is no Chromium; set CHROMIUM to one, or use bin/test.")
@pytest.mark.django_db(transaction=True)
class TestInABrowser:
    @pytest.fixture
    def page(self, live_server: Any, past: None, browser: Browser) -> Iterator[Page]:
        session = browser("alice").cookies["sessionid"].value
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            context = chromium.new_context(viewport={"width": 360, "height": 800})
            context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
            page = context.new_page()
            page.goto(f"{live_server.url}/machines/new/")
            yield page
            chromium.close()

    def test_it_follows_the_prompt_and_the_suggestion_fills_the_limit(self, page: Page) -> None:
        page.get_by_label("Prompt", exact=True).fill("Write tests for the parser")
        expect(page.get_by_text("most likely $0.5")).to_be_visible()

        page.get_by_role("button", name="Limit it to").click()

        expect(page.get_by_label("Limit for this machine")).to_have_value("0.60")
        expect(page.get_by_label("Limit for this machine")).to_be_focused()
