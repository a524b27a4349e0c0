"""The frame around every page: where one is, where one can go, what is counted, and which version it is of."""

from typing import Any

from django.test import Client

from dashboard import version
from dashboard.counts import Counts
from dashboard.views import frame
from machines.models import Machine
from machines.states import State
from projects.models import Project, User
from tests.dashboard.conftest import Browser


def text(client: Client, path: str = "/", **headers: str) -> str:
    return client.get(path, headers=headers).content.decode()


class TestTheBar:
    def test_the_page_one_is_on_is_marked(self, browser: Browser, project: Project) -> None:
        assert 'href="/budgets/" aria-current="page"' in text(browser("alice"), "/budgets/")

    def test_a_page_behind_it_is_marked_as_within(self, browser: Browser, project: Project) -> None:
        page = text(browser("alice"), f"/p/{project.slug}/ledger/")

        assert 'href="/budgets/" aria-current="true"' in page
        assert 'aria-current="page"' not in page.partition("<main")[0]

    def test_every_place_in_it_is_there(self, staff: Client) -> None:
        bar = text(staff).partition("<main")[0]
        addresses = {part.partition('"')[0] for part in bar.split('<a class="nav-link" href="')[1:]}

        assert {"/", "/needs-you/", "/budgets/", "/audit/"} <= addresses
        assert len(addresses) <= 8
        assert {staff.get(address).status_code for address in addresses} == {200}

    def test_what_is_for_administrators_is_shown_to_them(self, staff: Client, browser: Browser) -> None:
        for address in ("/settings/", "/styleguide/", "/admin/"):
            assert f'href="{address}"' in text(staff)
            assert f'href="{address}"' not in text(browser("bob"))

    def test_strangers_get_none_of_it(self) -> None:
        page = text(Client(), "/sign-in/")

        assert "data-palette" not in page
        assert "hx-get" not in page


class TestTheCounts:
    def test_they_are_what_waits_for_this_person(
        self, browser: Browser, machine: Machine, people: dict[str, User]
    ) -> None:
        Machine.objects.filter(pk=machine.pk).update(state=State.PAUSED, paused_for="budget")
        assert Counts(people["alice"]).needing == 1

        assert 'data-problems="1"' in text(browser("alice"), "/counts/")
        assert 'data-problems="0"' in text(browser("charlie"), "/counts/")

    def test_they_take_the_place_of_those_in_the_bar(self, browser: Browser, machine: Machine) -> None:
        page, counts = text(browser("alice"), "/budgets/"), text(browser("alice"), "/counts/")

        for name in ("needing-count", "operating"):
            assert page.count(f'id="{name}"') == 1
            assert counts.count(f'id="{name}" ') == 1
        assert counts.count("hx-swap-oob") == 2

    def test_they_are_cheap(
        self, browser: Browser, machine: Machine, django_assert_max_num_queries: Any
    ) -> None:
        alice = browser("alice")
        with django_assert_max_num_queries(
            4
        ):  # the session, its person, what that person chose, and the counts
            alice.get("/counts/")


class TestTheVersion:
    def test_the_page_says_which_it_is_of(self, browser: Browser) -> None:
        page = text(browser("alice"))

        assert f'data-version="{version.digest()}"' in page
        assert f"autovibe {version.settings.VERSION}" in page

    def test_it_is_another_when_a_page_is_made_of_something_else(self, settings: Any, tmp_path: Any) -> None:
        (tmp_path / "templates").mkdir()
        settings.BASE_DIR = tmp_path
        digests = set()
        for words in ("Hello", "Good day"):
            (tmp_path / "templates" / "base.html").write_text(words)
            version.digest.cache_clear()
            digests.add(version.digest())
        version.digest.cache_clear()

        assert len(digests) == 2


class TestTheStyleguide:
    def test_it_shows_every_section_in_both_themes(self, staff: Client) -> None:
        page = text(staff, "/styleguide/")
        sections = list(frame.STYLEGUIDE.glob("*.html"))

        assert len(sections) >= 8
        assert page.count("guide-light") == page.count("guide-dark") == len(sections)

    def test_every_tone_is_there(self, staff: Client) -> None:
        page = text(staff, "/styleguide/")

        assert all(f"pill t-{tone}" in page for tone in frame.TONES)

    def test_it_is_for_administrators(self, browser: Browser) -> None:
        assert browser("bob").get("/styleguide/").status_code == 403
