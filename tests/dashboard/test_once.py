"""A form that is sent twice is done once."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as configured
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.utils import timezone

from autovibe.models import KeptAnswer
from autovibe.repeats import DONE, SAID
from budgets.models import BudgetRequest
from checkpoints.models import Checkpoint
from machines.models import Machine
from machines.states import State
from operations.models import Operation
from projects import members
from projects.actions import admit
from projects.models import ApiToken, Project, User
from projects.roles import Role
from tests.dashboard import rows
from tests.dashboard.conftest import Browser

FORM = re.compile(r"<form\b(?=[^>]*\bmethod=\"post\").*?</form>", re.S)


def key_of(page: str, action: str) -> str:
    """The key in the form that is sent there."""
    form = next(form for form in FORM.findall(page) if f'action="{action}"' in form)
    found = re.search(r'name="once" value="([^"]+)"', form)
    assert found
    return found[1]


@pytest.fixture
def form(project: Project, genesis: Checkpoint) -> dict[str, object]:
    """A filled-in form for a new machine, in a project with money."""
    rows.budget(project)
    return {
        "once": str(uuid4()),
        "op": str(uuid4()),
        "project": "demo",
        "type": "vibe",
        "prompt": "Say hello.",
    }


class TestEveryForm:
    def test_each_of_the_dashboard_carries_a_key(self) -> None:
        templates = Path(configured.BASE_DIR) / "templates"
        forms = {
            f"{path.relative_to(templates)}: {form[:100]}": form
            for room in ("dashboard", "parts")
            for path in (templates / room).rglob("*.html")
            for form in FORM.findall(path.read_text())
        }

        keyless = [
            where for where, form in forms.items() if "{% once %}" not in form and "logout" not in form
        ]

        assert len(forms) > 30
        assert keyless == []

    def test_every_showing_has_another(self, browser: Browser, machine: Machine) -> None:
        alice, where = browser("alice"), f"/machines/{machine.handle}/terminate/"

        first, second = (key_of(alice.get(where).content.decode(), where) for _ in range(2))

        assert first != second


class TestARepeat:
    def test_it_leads_where_the_first_one_did_and_says_so(self, browser: Browser, machine: Machine) -> None:
        alice, where = browser("alice"), f"/machines/{machine.handle}/pause/"
        key = str(uuid4())

        first = alice.post(where, {"once": key})
        alice.get(first["Location"])
        second = alice.post(where, {"once": key})

        assert second["Location"] == first["Location"] == f"/machines/{machine.handle}/"
        assert Operation.objects.filter(verb="pause").count() == 1
        assert SAID in alice.get(second["Location"]).content.decode()

    def test_back_and_the_button_again_spawn_no_second_machine(
        self, browser: Browser, form: dict[str, object]
    ) -> None:
        alice = browser("alice")

        first, second = alice.post("/machines/new/", form), alice.post("/machines/new/", form)

        assert first["Location"] == second["Location"]
        assert Machine.objects.count() == 1

    def test_a_key_that_is_shown_once_is_not_kept_for_whoever_asks_again(
        self, browser: Browser, project: Project
    ) -> None:
        asked = {"once": str(uuid4()), "name": "ci", "scopes": ["spawn_machines"], "days": "30"}
        alice = browser("alice")

        first, second = (alice.post("/settings/tokens/", asked) for _ in range(2))

        assert (first.status_code, second.status_code) == (200, 409)
        assert DONE in second.content.decode()
        assert ApiToken.objects.count() == 1
        kept = KeptAnswer.objects.get()
        assert (kept.location, bytes(kept.sealed)) == ("", b"")

    def test_whoever_left_is_not_shown_the_link_of_their_invitation_again(
        self, browser: Browser, project: Project, people: dict[str, User]
    ) -> None:
        admit(project, people["charlie"], Role.OWNER, by=people["alice"])
        charlie, where = browser("charlie"), "/p/demo/members/invite/"
        asked = {"once": str(uuid4()), "role": "viewer", "days": "3"}
        first = charlie.post(where, asked).content.decode()
        members.remove(project, "charlie", by=people["alice"])

        second = charlie.post(where, asked).content.decode()

        assert "/invitation/" in first
        assert "/invitation/" not in second
        assert "alice" not in second

    def test_a_script_is_told_in_words(self, browser: Browser, machine: Machine) -> None:
        alice, where = browser("alice"), f"/checkpoints/{machine.handle}.c2/mark/"
        asked = {"once": str(uuid4()), "pinned": "1"}

        first, second = (alice.post(where, asked, headers={"HX-Request": "true"}) for _ in range(2))

        assert (first.status_code, second.status_code) == (204, 409)
        assert second["Content-Type"].startswith("text/plain")
        assert second.content.decode() == DONE

    @pytest.mark.parametrize(
        "onward", ["/invitation/a-code/", "/wall/a-key/", "/nowhere/at/all/", f"/?q={'a' * 200}"]
    )
    def test_where_it_led_is_kept_only_of_our_pages_whose_address_is_no_secret(
        self, browser: Browser, machine: Machine, onward: str
    ) -> None:
        alice, where = browser("alice"), f"/machines/{machine.handle}/pause/"
        asked = {"once": str(uuid4()), "next": onward}

        first, second = (alice.post(where, asked) for _ in range(2))

        assert first["Location"] == onward
        assert second.status_code == 409
        assert KeptAnswer.objects.get().location == ""

    def test_being_asked_for_the_password_first_is_no_answer(
        self, browser: Browser, project: Project, alice: User
    ) -> None:
        alice.set_password("a long enough passphrase")
        alice.save()
        asked = {"once": str(uuid4()), "name": "ci", "scopes": ["spawn_machines"]}

        response = browser("alice").post("/settings/tokens/", asked)

        assert response["Location"].startswith("/account/confirm/")
        assert KeptAnswer.objects.count() == 0

    def test_a_form_that_was_changed_since_is_another(self, browser: Browser, machine: Machine) -> None:
        alice, where = browser("alice"), f"/checkpoints/{machine.handle}.c2/mark/"
        key = str(uuid4())

        alice.post(where, {"once": key, "pinned": "1"})
        alice.post(where, {"once": key, "pinned": "0"})

        assert not Checkpoint.objects.get(handle=f"{machine.handle}.c2").pinned

    def test_so_is_one_with_another_file(self, browser: Browser, form: dict[str, object]) -> None:
        alice = browser("alice")

        for content in (b"one", b"two"):
            upload = SimpleUploadedFile("a.txt", content)
            alice.post("/machines/new/", form | {"op": str(uuid4()), "uploads": upload})

        assert Machine.objects.count() == 2

    def test_keys_of_two_people_have_nothing_to_do_with_each_other(
        self, browser: Browser, machine: Machine
    ) -> None:
        asked = {"once": str(uuid4())}

        browser("alice").post(f"/machines/{machine.handle}/pause/", asked)

        assert browser("bob").post(f"/machines/{machine.handle}/pause/", asked).status_code == 403
        assert browser("charlie").post(f"/machines/{machine.handle}/pause/", asked).status_code == 404

    def test_what_was_refused_may_be_asked_for_again(
        self, browser: Browser, project: Project, genesis: Checkpoint, form: dict[str, object]
    ) -> None:
        alice = browser("alice")
        project.budgets.all().delete()
        refused = alice.post("/machines/new/", form)
        rows.budget(project)

        done = alice.post("/machines/new/", form)

        assert refused.status_code >= 400
        assert done.status_code == 302

    def test_a_forged_form_learns_nothing(self, browser: Browser, machine: Machine, alice: User) -> None:
        asked, where = {"once": str(uuid4())}, f"/machines/{machine.handle}/pause/"
        browser("alice").post(where, asked)
        forger = Client(enforce_csrf_checks=True)
        forger.force_login(alice)

        assert forger.post(where, asked).status_code == 403

    def test_what_was_refused_on_the_page_that_follows_may_be_asked_for_again(
        self, browser: Browser, machine: Machine
    ) -> None:
        alice, asked = browser("alice"), {"once": str(uuid4())}
        Machine.objects.filter(pk=machine.pk).update(state=State.PAUSING)
        refused = alice.post(f"/machines/{machine.handle}/pause/", asked)
        Machine.objects.filter(pk=machine.pk).update(state=State.RUNNING)

        alice.post(f"/machines/{machine.handle}/pause/", asked)

        assert refused.status_code == 302
        assert Operation.objects.filter(verb="pause").count() == 1

    def test_a_form_that_only_grew_a_row_has_done_nothing(
        self, browser: Browser, form: dict[str, object]
    ) -> None:
        grown = [browser("alice").post("/machines/new/", form | {"add_file": "1"}) for _ in range(2)]

        assert [response.status_code for response in grown] == [200, 200]

    def test_after_a_day_nobody_remembers(self, browser: Browser, machine: Machine) -> None:
        alice, where = browser("alice"), f"/checkpoints/{machine.handle}.c2/mark/"
        asked = {"once": str(uuid4()), "pinned": "1"}
        alice.post(where, asked)
        KeptAnswer.objects.update(created_at=timezone.now() - timedelta(hours=25))
        Checkpoint.objects.update(pinned=False)

        alice.post(where, asked)

        assert Checkpoint.objects.get(handle=f"{machine.handle}.c2").pinned
        assert KeptAnswer.objects.count() == 1

    def test_without_a_key_nothing_is_kept(self, browser: Browser, machine: Machine) -> None:
        browser("alice").post(f"/machines/{machine.handle}/pause/")

        assert KeptAnswer.objects.count() == 0


@pytest.mark.django_db(transaction=True)
class TestTwoAtTheSameTime:
    def sent_by_each(self, browser: Browser, where: str, asked: dict[str, Any]) -> list[Any]:
        clients = [browser("alice"), browser("alice")]

        def send(client: Client) -> Any:
            try:
                return client.post(where, asked)
            finally:
                connection.close()

        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(send, clients))

    def test_make_one_machine(self, browser: Browser, form: dict[str, object]) -> None:
        first, second = self.sent_by_each(browser, "/machines/new/", form)

        assert first["Location"] == second["Location"]
        assert Machine.objects.count() == 1

    def test_ask_once(self, browser: Browser, project: Project) -> None:
        budget = rows.budget(project)
        asked = {"once": str(uuid4()), "budget": str(budget.pk), "amount": "5", "note": "More tests."}

        self.sent_by_each(browser, "/p/demo/budget/ask/", asked)

        assert BudgetRequest.objects.count() == 1
