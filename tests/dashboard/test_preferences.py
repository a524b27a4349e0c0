"""What somebody chooses for their pages, and the one zone that every time is in."""

from datetime import UTC, datetime

import pytest
from django.template import Context, Template
from django.test import Client
from django.utils import timezone

from dashboard import words
from dashboard.models import Preferences
from events.models import Event
from machines.models import Machine
from projects.models import Project, User
from tests.dashboard.conftest import Browser

CHOSEN = {"zone": "Asia/Tokyo", "density": "compact", "single_keys": "on"}
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def alice(browser: Browser) -> Client:
    return browser("alice")


def text(client: Client, path: str = "/settings/appearance/") -> str:
    return client.get(path).content.decode()


class TestThePage:
    def test_without_a_choice_the_defaults_are_shown(self, alice: Client) -> None:
        page = text(alice)

        assert 'name="single_keys" checked' in page
        assert 'name="notifies">' in page
        assert 'name="sounds">' in page
        assert 'value="comfortable" checked' in page

    def test_what_is_chosen_holds_and_is_recorded(self, alice: Client, people: dict[str, User]) -> None:
        assert alice.post("/settings/appearance/", CHOSEN).status_code == 302

        kept = Preferences.objects.get(user=people["alice"])
        assert (kept.zone, kept.density, kept.single_keys, kept.sounds) == (
            "Asia/Tokyo",
            "compact",
            True,
            False,
        )
        assert Event.objects.get(kind="user.preferences").actor == "alice"

    def test_the_frame_of_every_page_follows(self, alice: Client) -> None:
        alice.post("/settings/appearance/", {**CHOSEN, "single_keys": "", "notifies": "on", "sounds": "on"})

        page = text(alice, "/budgets/")

        assert 'data-zone="Asia/Tokyo"' in page
        assert 'data-density="compact"' in page
        assert "data-no-keys" in page
        assert "data-sounds" in page
        assert "data-notifies" in page

    def test_a_zone_that_there_is_not_is_refused_and_kept_in_the_field(self, alice: Client) -> None:
        answer = alice.post("/settings/appearance/", {**CHOSEN, "zone": "Mars/Olympus"})

        assert answer.status_code == 422
        assert "There is no time zone Mars/Olympus" in answer.content.decode()
        assert 'value="Mars/Olympus"' in answer.content.decode()
        assert not Preferences.objects.exists()

    def test_nobody_else_sees_anything_of_it(self, alice: Client, browser: Browser) -> None:
        alice.post("/settings/appearance/", CHOSEN)

        assert "Asia/Tokyo" not in text(browser("bob"), "/budgets/")


class TestTheZone:
    def test_is_the_browsers_until_another_is_chosen(self, alice: Client) -> None:
        alice.cookies["zone"] = "Europe/Zurich"
        assert "Times are Europe/Zurich" in text(alice)

        alice.post("/settings/appearance/", CHOSEN)
        assert "Times are Asia/Tokyo" in text(alice)

    @pytest.mark.parametrize("said", ["", "Mars/Olympus", "../../etc/passwd", "<b>"])
    def test_is_utc_where_the_browser_says_nothing_of_use(self, said: str, alice: Client) -> None:
        alice.cookies["zone"] = said

        assert "Times are UTC" in text(alice)

    def test_every_time_of_a_page_is_in_it(self, alice: Client, project: Project) -> None:
        alice.cookies["zone"] = "Asia/Tokyo"

        page = text(alice, "/audit/")

        assert page.count(" JST") >= 2
        assert " UTC" not in page

    def test_programs_hear_utc(self, alice: Client, machine: Machine) -> None:
        Machine.objects.filter(pk=machine.pk).update(created_at=NOON)
        alice.cookies["zone"] = "Asia/Tokyo"

        assert alice.get(f"/api/v1/machines/{machine.handle}/").json()["created_at"] == "2026-11-22T12:00:00Z"

    def test_does_not_outlive_the_request(self, alice: Client) -> None:
        alice.cookies["zone"] = "Asia/Tokyo"
        alice.get("/budgets/")

        assert timezone.get_current_timezone_name() == "UTC"


class TestTheWords:
    def test_are_of_the_zone(self) -> None:
        with timezone.override("Asia/Tokyo"):
            assert words.stamp(NOON) == "2026-11-22 21:00:00 JST"
            assert words.clock(NOON, NOON) == "21:00:00"
            assert words.ago(NOON, NOON.replace(day=25)) == "22 Nov, 21:00"
            shown = Template("{% load look %}{% clock at %}").render(Context({"at": NOON}))
        assert 'title="2026-11-22 21:00:00 JST"' in shown
        assert 'datetime="2026-11-22T12:00:00.000+00:00"' in shown

    def test_a_day_begins_where_one_looks_from(self) -> None:
        late = NOON.replace(hour=23)
        with timezone.override("Asia/Tokyo"):
            assert words.clock(late, late) == "08:00:00"
            assert words.clock(NOON, late) == "22 Nov 21:00:00"
