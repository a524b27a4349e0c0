"""The settings page: for staff, from what the last check has written down, and a check for the asking."""

import pytest
from django.test import Client
from django.utils import timezone

from dashboard import consumers
from guests import diagnoses
from guests.models import Diagnosis, Stray
from operations.models import Operation, Status
from projects.models import Project, User
from proxmox.diagnosis.findings import Report, missing, ok
from tests.dashboard.conftest import Browser

COMMAND = "pveum pool add 'autovibe' && echo <done>"


@pytest.fixture
def checked(db: None) -> Diagnosis:
    report = Report((ok("Quorum", "The cluster can decide."), missing("Pool", "It is not there.", COMMAND)))
    return Diagnosis.objects.create(
        asked_by="alice", finished_at=timezone.now(), status=report.status, findings=report.plain()
    )


def text(client: Client, **headers: str) -> str:
    return client.get("/settings/", headers=headers).content.decode()


class TestThePage:
    def test_before_the_first_check_it_says_how_to_have_one(self, staff: Client) -> None:
        page = text(staff)

        assert "has not been checked yet" in page
        assert "manage.py proxmox check" in page

    def test_it_shows_what_was_found_with_the_command_to_copy(
        self, staff: Client, checked: Diagnosis
    ) -> None:
        page = text(staff)

        assert "Not ready: 1 thing missing." in page
        assert "pveum pool add &#x27;autovibe&#x27; &amp;&amp; echo &lt;done&gt;</pre>" in page
        assert page.count("data-copy=") == 1
        assert "0 s ago" in page

    def test_it_shows_the_settings_and_not_the_secret(self, staff: Client, settings: object) -> None:
        settings.PROXMOX_TOKEN = "autovibe@pve!agents=very-secret"  # type: ignore[attr-defined]
        page = text(staff)

        assert "autovibe@pve!agents" in page
        assert "very-secret" not in page

    def test_only_staff_are_led_to_it(self, staff: Client, browser: Browser) -> None:
        assert 'href="/settings/"' in staff.get("/").content.decode()
        assert 'href="/settings/"' not in browser("bob").get("/").content.decode()

    def test_a_fragment_is_the_page_without_its_frame(self, staff: Client, checked: Diagnosis) -> None:
        fragment = text(staff, **{"HX-Request": "true"})

        assert "<html" not in fragment
        assert "Not ready" in fragment


class TestCheckNow:
    def test_it_asks_for_a_check_and_the_page_says_that_it_is_under_way(
        self, staff: Client, checked: Diagnosis
    ) -> None:
        response = staff.post("/settings/")

        assert response["Location"] == "/settings/"
        asked = diagnoses.latest()
        assert asked
        assert asked.asked_by == "alice"
        page = text(staff)
        assert "Checking" in page
        assert "Check now" not in page
        assert "Not ready" in page  # the last result stays until the next one

    def test_others_may_not(self, browser: Browser, people: dict[str, User]) -> None:
        assert browser("bob").post("/settings/").status_code == 403
        assert not Diagnosis.objects.exists()


@pytest.mark.django_db(transaction=True)
class TestTheDoorbell:
    async def test_it_rings_for_staff_only(self, people: dict[str, User]) -> None:
        people["alice"].is_staff = True

        assert await consumers._may_hear(people["alice"], [diagnoses.SUBJECT])
        assert not await consumers._may_hear(people["bob"], [diagnoses.SUBJECT])


class TestStrays:
    @pytest.fixture
    def stray(self, db: None) -> Stray:
        return Stray.objects.create(
            vmid=77001, node="pve1", name="lost", why="No machine accounts for it.", confirmed=True
        )

    def test_they_are_shown_with_what_can_be_done(self, staff: Client, stray: Stray) -> None:
        page = text(staff)

        assert "VM 77001 lost" in page
        assert "Destroy VM 77001" in page

    def test_one_is_left_alone_on_request(self, staff: Client, stray: Stray) -> None:
        staff.post("/settings/strays/77001/", {"do": "ignore"})

        assert "77001" not in text(staff)

    def test_before_one_is_destroyed_its_number_has_to_be_typed(self, staff: Client, stray: Stray) -> None:
        for typed in ("", "77002"):
            asked = staff.post("/settings/strays/77001/", {"do": "destroy", "typed": typed})

            assert asked.status_code == 422
            assert "with its disk and its snapshots" in asked.content.decode()
        assert "That is not 77001" in asked.content.decode()

    def test_one_that_nothing_proves_to_be_ours_is_not_destroyed(self, staff: Client, stray: Stray) -> None:
        asked = {"do": "destroy", "typed": "77001"}
        page = staff.post("/settings/strays/77001/", asked, follow=True).content.decode()

        assert "qm destroy 77001 --purge" in page
        assert Stray.objects.filter(pk=77001).exists()


class TestWorkThatWaits:
    def test_it_is_shown_with_what_to_do(self, staff: Client, project: Project) -> None:
        Operation.objects.create(
            verb="destroy", subject="guest:1", project=project, lock="guest:1", task="x",
            status=Status.NEEDS_OPERATOR, error="VM 10012 is locked. On node pve1 run: qm unlock 10012",
        )  # fmt: skip

        page = text(staff)

        assert "Destroy in project demo" in page
        assert "qm unlock 10012" in page
